"""The protocol's binary tensor extension: values behind the JSON, little-endian and without gaps, strings after their lengths.

A header says how many bytes the JSON has; each tensor behind it says its own size, `binary_data_size`, in its parameters.
"""

import struct
from collections.abc import Sequence

from slipway.errors import RequestError

HEADER = "Inference-Header-Content-Length"
EXTENSION = "binary_tensor_data"
SIZE = "binary_data_size"
LENGTH = struct.Struct("<I")
"""What stands before each string."""


def json_length(header: str | None, num_bytes: int) -> int | None:
    """How many bytes of the body are JSON; None: all, and there are no values behind it.

    Args:
        header: the value of HEADER; None: it was not sent.
        num_bytes: of the body.
    Raises: RequestError: no number, or more than there are.
    """
    if header is None:
        return None
    if not header.isdecimal() or int(header) > num_bytes:
        raise RequestError(f"{HEADER}: must be the JSON's length in bytes, at most {num_bytes}, got '{header[:40]}'")
    return int(header)


def unpack_strings(data: memoryview, num_items: int, where: str) -> list[bytes]:
    """The strings of a BYTES tensor.

    Raises: RequestError: they are not `num_items`, or do not fill `data` to its end; the message starts with `where`.
    """
    found: list[bytes] = []
    at = 0
    while len(found) < num_items:
        if at + LENGTH.size > len(data):
            raise RequestError(
                f"{where}: ends in string {len(found)} of {num_items}; each needs its length, 4 bytes, before it"
            )
        (length,) = LENGTH.unpack_from(data, at)
        at += LENGTH.size
        if at + length > len(data):
            raise RequestError(f"{where}: string {len(found)} says {length} bytes, {len(data) - at} are there")
        found.append(bytes(data[at : at + length]))
        at += length
    if at != len(data):
        raise RequestError(f"{where}: {len(data) - at} bytes behind the last of {num_items} strings")
    return found


def pack_strings(values: Sequence[str]) -> bytes:
    """The inverse of `unpack_strings`, in UTF-8."""
    encoded = [value.encode() for value in values]
    return b"".join(part for text in encoded for part in (LENGTH.pack(len(text)), text))
