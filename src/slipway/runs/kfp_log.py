"""Read the log of KFP's local runner: which task runs, what it says, how it ended."""

import re
import time
from dataclasses import dataclass, field

from slipway.runs.progress import Progress

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"^[\d:.]+ - INFO - Executing task '(.+)'$")
_FINISHED = re.compile(r"^[\d:.]+ - (?:INFO|ERROR) - Task '(.+)' finished with status (SUCCESS|FAILURE)$")
_INDENT = "    "
_EXECUTOR = re.compile(r"^\[KFP Executor [^]]*\]: (.*)$")
_EXCEPTION = re.compile(r"^(?:[\w.]+\.)?([A-Z]\w*): (.*)$|^(?:[\w.]+\.)?([A-Z]\w*(?:Error|Exception|Interrupt|Exit))$")


@dataclass(slots=True)
class LogReader:
    """Follows the log line by line and tells a progress what matters of it."""

    progress: Progress
    executed: set[str] = field(default_factory=set)
    """Tasks that were started."""
    failed: str = ""
    """The last task that failed."""
    last_error: str = ""
    """`Class: message` of the last exception printed."""
    _task: str = ""
    _since_s: float = 0.0
    _in_traceback: bool = False
    _in_input: bool = False

    def feed(self, raw: str) -> None:
        """Take one line of the log."""
        line = _COLOUR.sub("", raw).rstrip()
        if match := _STARTED.match(line):
            self._task, self._since_s = match[1], time.monotonic()
            self._in_traceback = self._in_input = False
            self.executed.add(match[1])
            self.progress.started(_step(match[1]))
        elif match := _FINISHED.match(line):
            ok = match[2] == "SUCCESS"
            if not ok:
                self.failed = match[1]
            self.progress.finished(_step(match[1]), seconds=time.monotonic() - self._since_s, ok=ok)
            self._task = ""
        elif self._task and line.startswith(_INDENT):
            self._said(line.removeprefix(_INDENT))
        else:
            self._note_error(line)

    def _said(self, text: str) -> None:
        self._in_traceback = self._in_traceback or text.startswith("Traceback (most recent call last)")
        if self._in_traceback:
            self._note_error(text)
        elif self._in_input:
            self._in_input = text != "}"
        elif match := _EXECUTOR.match(text):
            self._in_input = match[1].startswith("Got executor_input")  # JSON over many lines follows
        elif text:
            self.progress.line(_step(self._task), text)

    def _note_error(self, text: str) -> None:
        if match := _EXCEPTION.match(text):
            self.last_error = f"{match[1]}: {match[2]}" if match[1] else match[3]


def _step(task: str) -> str:
    return task.replace("-", "_")
