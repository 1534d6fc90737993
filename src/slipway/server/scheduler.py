"""Who runs when: at most as many graphs at a time as there are threads, and what waits together runs together.

A caller is one of the server's worker threads; it blocks until its answer is there. Whoever gets a thread takes requests
of the same graph along that wait behind it, so that a batch forms only of what would have waited anyway.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.engines import Feeds, Session

Outputs = list[NDArray[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """An open graph, and how it runs best; see `plan`."""

    one: Session
    """For many callers at a time, a thread each."""
    whole: Session | None = None
    """For a caller who is alone, on all threads; None where that is no faster."""
    max_batch: int = 1
    """Items of different requests in one call; 1: never together."""
    on_batch: Callable[[int], object] = lambda _items: None
    """Told the items of each call."""


@dataclass(slots=True, eq=False)
class _Waiting:
    graph: Graph
    names: Sequence[str]
    feeds: Feeds
    woken: Lock = field(default_factory=Lock)
    """Held until there is something to do: an answer to take home, or threads to run on."""
    threads: int = 0
    answer: Outputs | None = None
    error: Exception | None = None

    @property
    def num_items(self) -> int:
        first = next(iter(self.feeds.values()))
        return len(first) if first.ndim else 1

    @property
    def done(self) -> bool:
        return self.answer is not None or self.error is not None

    def fits(self, other: "_Waiting") -> bool:
        """Whether both can stand in one batch."""
        return (
            self.graph is other.graph
            and self.names == other.names
            and all(v.shape[1:] == other.feeds[k].shape[1:] for k, v in self.feeds.items())
        )


class Scheduler:
    """The threads of a process, shared by the graphs of all its models. First come, first served."""

    def __init__(self, threads: int) -> None:
        """`threads`: that compute at the same time, >= 1."""
        self.threads = threads
        self._lock, self._free, self._waiting = Lock(), threads, deque[_Waiting]()

    @property
    def depth(self) -> int:
        """Calls that wait for a thread."""
        return len(self._waiting)

    def run(self, graph: Graph, names: Sequence[str], feeds: Feeds) -> Outputs:
        """The graph's outputs of these names; blocks while all threads compute.

        Raises: whatever the engine raises on these feeds; others in the same batch are not touched by it.
        """
        mine = _Waiting(graph, names, feeds)
        mine.woken.acquire()
        with self._lock:
            self._waiting.append(mine)
            self._hand_out()
        mine.woken.acquire()
        if not mine.done:
            self._lead(mine)
        if mine.error is not None:
            raise mine.error
        assert mine.answer is not None, "done"
        return mine.answer

    def _lead(self, mine: _Waiting) -> None:
        session = mine.graph.whole if mine.threads == self.threads and mine.graph.whole is not None else mine.graph.one
        batch = [mine]
        try:
            with self._lock:
                batch += self._companions(mine)
            _answer(batch, session)
        finally:
            with self._lock:
                self._free += mine.threads
                self._hand_out()
            for other in batch[1:]:
                other.woken.release()

    def _hand_out(self) -> None:
        """Free threads to who waits longest; all of them to one who is alone and uses them. The lock is held."""
        while self._free and self._waiting:
            first = self._waiting.popleft()
            alone = self._free == self.threads and not self._waiting and first.graph.whole is not None
            first.threads = self.threads if alone else 1
            self._free -= first.threads
            first.woken.release()

    def _companions(self, mine: _Waiting) -> list[_Waiting]:
        """What joins, out of the queue: no more than leaves other threads their share. The lock is held."""
        if mine.graph.max_batch == 1:  # not by the room that is left: a request of no items leaves some
            return []
        room = min(mine.graph.max_batch, -(-(len(self._waiting) + 1) // self.threads)) - mine.num_items
        found: list[_Waiting] = []
        if room > 0:
            for other in list(self._waiting):
                if other.num_items <= room and mine.fits(other):
                    self._waiting.remove(other)
                    found.append(other)
                    room -= other.num_items
        return found


class Scheduled:
    """A graph as a `Session` that waits for its turn."""

    def __init__(self, graph: Graph, scheduler: Scheduler) -> None:
        self._graph, self._scheduler = graph, scheduler
        self.outputs = graph.one.outputs

    def run(self, names: Sequence[str], feeds: Feeds) -> Outputs:
        """See `Scheduler.run`."""
        return self._scheduler.run(self._graph, names, feeds)


def _answer(batch: Sequence[_Waiting], session: Session) -> None:
    """Every one's answer or error."""
    graph, names = batch[0].graph, batch[0].names
    if len(batch) > 1:
        try:
            joined = {name: np.concatenate([w.feeds[name] for w in batch]) for name in batch[0].feeds}
            ends = np.cumsum([w.num_items for w in batch])[:-1]
            parts = [np.split(output, ends) for output in session.run(names, joined)]
        except Exception:  # noqa: BLE001  whose fault it is: below, each alone
            pass
        else:
            graph.on_batch(int(ends[-1]) + batch[-1].num_items)
            for i, waiting in enumerate(batch):
                waiting.answer = [part[i] for part in parts]
            return
    for waiting in batch:
        try:
            waiting.answer = session.run(names, waiting.feeds)
        except Exception as exc:  # noqa: BLE001  raised again in its own thread
            waiting.error = exc
        graph.on_batch(waiting.num_items)
