"""Trying again: inference changes nothing on the server, so that what may have been computed can be asked once more."""

import random
import time
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from slipway.errors import ServerError

T = TypeVar("T")
BACKOFF_S = 0.05
"""At most so long before the second attempt; doubled with each further one."""
MAX_BACKOFF_S = 5.0


class Deadline:
    """When a call must have its answer."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._at = time.monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        """Seconds; below 0 once it is over."""
        return self._at - time.monotonic()


def retried(attempt: Callable[[Deadline], T], *, timeout_s: float, sleep: Callable[[float], object]) -> T:
    """What `attempt` returns, tried again after each ServerError that is retryable, as long as the next try can be in time.

    Waits as long as the server asks for, and a random time on top, so that clients turned away together do not come back
    together.

    Args:
        timeout_s: of all attempts and waits together, > 0.
    Raises: ServerError: of the last attempt, with how many there were. Else what `attempt` raises.
    """
    deadline = Deadline(timeout_s)
    for tries in count(1):
        try:
            return attempt(deadline)
        except ServerError as exc:
            wait_s = exc.retry_after_s + random.uniform(0, min(MAX_BACKOFF_S, BACKOFF_S * 2 ** min(tries, 10)))
            if not exc.retryable:
                raise
            if wait_s >= deadline.left_s:
                asked = f", and asks to wait {exc.retry_after_s:g} s" if exc.retry_after_s else ""
                said = f"{exc}; tried {tries} {'times' if tries > 1 else 'time'} within {timeout_s:g} s{asked}"
                raise ServerError(said, retry_after_s=exc.retry_after_s) from exc
            sleep(wait_s)
    raise AssertionError("counts without end")
