"""Error classes to exit codes, in one table."""

from collections.abc import Iterable

from slipway.errors import GateRefusedError, SlipwayError, UserError

EXIT_CODES: dict[type[BaseException], int] = {UserError: 2, GateRefusedError: 3, SlipwayError: 1}
"""The first class that fits counts."""


def worst(failures: Iterable[BaseException]) -> int:
    """The exit code of several failures: our fault before yours before the gate's refusal; 0 for none."""
    return min(map(exit_code, failures), key=(1, 2, 3).index, default=0)


def exit_code(exc: BaseException) -> int:
    """The exit code an error stands for; 1, our fault, for what is in no class."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(exc, kind)), 1)
