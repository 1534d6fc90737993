"""Walks: tables of links, followed until one is broken."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from slipway.errors import ClusterError, SlipwayError

T = TypeVar("T")
OK, BROKEN, SKIPPED = "ok", "broken", "not looked at"
FORBIDDEN = (401, 403)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a link was found to be."""

    state: str
    said: str
    """What was found; of a broken link its cause; of one that was not looked at, why. One line."""
    fix: str = ""
    """What to do about a broken link, in one line."""


@dataclass(frozen=True, slots=True)
class Link(Generic[T]):
    """One thing that must be in order."""

    name: str
    check: Callable[[T], Finding]
    alone: bool = False
    """Whether the links after it can be looked at although it is broken."""
    needed: bool = False
    """Whether they cannot be looked at when this one could not."""


def ok(said: str = "") -> Finding:
    """The link holds."""
    return Finding(OK, _line(said))


def broken(cause: str, fix: str) -> Finding:
    """The link is broken."""
    return Finding(BROKEN, _line(cause), _line(fix))


def skipped(why: str) -> Finding:
    """The link does not matter here, or cannot be looked at."""
    return Finding(SKIPPED, _line(why))


def follow(links: Sequence[Link[T]], subject: T) -> Iterator[tuple[str, Finding]]:
    """Name and finding of every link, as they are looked at; after a broken one that others rest on, none is.

    What an account may not see is not looked at; other errors break the link.
    """
    cut = ""
    for link in links:
        finding = skipped(f"rests on: {cut}") if cut else _look(link, subject)
        if not cut and ((finding.state == BROKEN and not link.alone) or (finding.state == SKIPPED and link.needed)):
            cut = link.name
        yield link.name, finding


def _look(link: Link[T], subject: T) -> Finding:
    try:
        return link.check(subject)
    except ClusterError as exc:
        if exc.status in FORBIDDEN:
            return skipped(str(exc))
        return broken(*_halves(exc))
    except SlipwayError as exc:
        return broken(*_halves(exc))
    except Exception as exc:  # noqa: BLE001  # an object of a shape we did not expect: the other links still tell something
        return broken(f"cannot be looked at: {type(exc).__name__}: {exc}", "a fault of slipway's own: please report it")


def _halves(exc: SlipwayError) -> tuple[str, str]:
    """Cause and advice of an error's line: what comes after its last semicolon is what to do."""
    cause, _, advice = str(exc).rpartition("; ")
    return (cause, advice) if cause else (advice, "see the cause")


def _line(text: str) -> str:
    return " ".join(text.split())
