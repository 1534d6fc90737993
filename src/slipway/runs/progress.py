"""Who is told how a run gets on. Everything goes to stderr: stdout belongs to results."""

from typing import Any, Protocol


class Progress(Protocol):
    """What a runner tells while it runs; `step` is the task's name with underscores."""

    def started(self, step: str) -> None:
        """A step started."""

    def line(self, step: str, text: str) -> None:
        """A step, or the runner (`step` is empty), said something."""

    def finished(self, step: str, *, seconds: float, ok: bool) -> None:
        """A step ended after `seconds`."""

    def close(self) -> None:
        """The run ended."""


class Console:
    """One line per finished step, what steps say below it, and on a terminal what runs now."""

    def __init__(self) -> None:
        from rich.console import Console as RichConsole

        self._console = RichConsole(stderr=True, highlight=False)
        self._status: Any = None

    def started(self, step: str) -> None:
        """Show the step as running where the line can be replaced later."""
        self.close()
        if self._console.is_terminal:
            self._status = self._console.status(step)
            self._status.start()

    def line(self, step: str, text: str) -> None:  # noqa: ARG002
        """Print what was said, indented."""
        self._print(f"    {text}", style="dim")

    def finished(self, step: str, *, seconds: float, ok: bool) -> None:
        """Print the step's line."""
        self.close()
        self._print(f"  {'✓' if ok else '✗'} {step:<16} {seconds:6.1f} s", style="green" if ok else "red")

    def close(self) -> None:
        """Take the running line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _print(self, text: str, *, style: str) -> None:
        self._console.print(text, style=style, markup=False, soft_wrap=True)
