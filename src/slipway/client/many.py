"""Many items in requests of a few: several requests in flight, answers in order, what cannot be read named."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from slipway.client.by_http import TooLargeError
from slipway.client.prediction import Answered, Prediction, Raw, batches
from slipway.errors import DataError, RequestError

IN_FLIGHT = 4
"""Requests at a time: the server reads some while it computes others."""
ITEM = re.compile(r"item (\d+): (.*)", re.S)
"""How a server names the item of a request that it cannot read."""
Ask = Callable[[Sequence[Raw]], list[Prediction]]
Entry = tuple[str, Raw | DataError]


def stream(ask: Ask, entries: Iterable[Entry], *, max_items: int) -> Iterator[Answered]:
    """One answer an entry, in their order; memory does not grow with their number.

    Raises: what `ask` raises, but for items that cannot be read; answers before are out by then.
    """
    waiting: deque[Future[list[Answered]]] = deque()
    with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="slipway-client") as pool:
        try:
            for batch in batches(entries, max_items):
                waiting.append(pool.submit(answered, ask, batch))
                if len(waiting) > IN_FLIGHT:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def answered(ask: Ask, batch: Sequence[Entry]) -> list[Answered]:
    """An answer an entry. Those that the server cannot read are set aside, and the rest is asked again."""
    errors = {i: str(raw).removeprefix(f"{source}: ") for i, (source, raw) in enumerate(batch) if isinstance(raw, DataError)}
    predictions: dict[int, Prediction] = {}
    while kept := [(i, raw) for i, (_, raw) in enumerate(batch) if i not in errors and not isinstance(raw, DataError)]:
        try:
            predictions = dict(zip((i for i, _ in kept), ask([raw for _, raw in kept]), strict=True))
            break
        except TooLargeError as exc:
            if len(batch) > 1:
                half = len(batch) // 2
                return answered(ask, batch[:half]) + answered(ask, batch[half:])
            errors[0] = str(exc)
        except RequestError as exc:
            named = ITEM.fullmatch(str(exc))
            if named is None or int(named[1]) >= len(kept):
                raise
            errors[kept[int(named[1])][0]] = named[2]
    return [
        Answered(source=source, prediction=predictions.get(i), error=errors.get(i, "")) for i, (source, _) in enumerate(batch)
    ]
