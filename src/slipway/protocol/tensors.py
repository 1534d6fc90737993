"""Tensors of the protocol: data types, values from and to JSON lists and bytes.

Bytes are little-endian and without gaps; the strings of a BYTES tensor each stand after their length.
"""

import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.errors import RequestError, unknown

NUMERIC: Mapping[str, tuple[str, str]] = {
    "BOOL": ("?", "B"),
    "UINT8": ("<u1", "B"),
    "UINT16": ("<u2", "H"),
    "UINT32": ("<u4", "I"),
    "UINT64": ("<u8", "Q"),
    "INT8": ("<i1", "b"),
    "INT16": ("<i2", "h"),
    "INT32": ("<i4", "i"),
    "INT64": ("<i8", "q"),
    "FP16": ("<f2", "f"),
    "FP32": ("<f4", "f"),
    "FP64": ("<f8", "d"),
}
"""Data type -> numpy's name, and the code of the `array` that takes a JSON list: it refuses what does not fit, and is faster
than numpy."""
BYTES = "BYTES"
DATATYPES = (*NUMERIC, BYTES)
MAX_AXES = 16
MAX_VALUES = 1 << 60
"""Of a shape, axes of length 0 aside: numpy makes no array above it, not even an empty one."""
SLICE = 1 << 17
"""Values of a list converted at a time: between slices other threads, and so the health probes, get their turn."""
_LENGTH = struct.Struct("<I")
_SAID = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """Values with a name. BYTES: a flat list, `str` where JSON brought it and `bytes` where the wire did; else an array."""

    name: str
    datatype: str
    """One of DATATYPES."""
    shape: tuple[int, ...]
    values: NDArray[Any] | Sequence[bytes | str]
    """An array has the tensor's shape."""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The values as they stand on the wire."""
        if isinstance(self.values, np.ndarray):
            return np.ascontiguousarray(self.values, NUMERIC[self.datatype][0]).tobytes()
        return pack_strings(self.values)


def of_array(name: str, values: NDArray[Any]) -> Tensor:
    """A numeric array as a tensor. Raises: RequestError: the protocol has no data type for its kind of values."""
    return Tensor(name, datatype_of(values.dtype, name), values.shape, values)


def datatype_of(dtype: "np.dtype[Any]", where: str) -> str:
    """The protocol's name of a numpy type. Raises: RequestError: it has none; the message starts with `where`."""
    for name, (numpy_name, _) in NUMERIC.items():
        if dtype == np.dtype(numpy_name):
            return name
    raise RequestError(f"{where}: {dtype} is no data type of the protocol; allowed: {', '.join(NUMERIC)}")


def check_header(name: Any, datatype: Any, shape: Any, where: str) -> tuple[str, str, tuple[int, ...]]:
    """Name, data type and shape, once they are what the protocol allows.

    Raises: RequestError: they are not; the message starts with `where`.
    """
    if not isinstance(name, str) or not name:
        raise RequestError(f"{where}.name: must be a string, got {said(name)}")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise RequestError(unknown(f"{where}.datatype", str(datatype)[:40], DATATYPES))
    if not isinstance(shape, Sequence) or isinstance(shape, str) or not all(type(n) is int and n >= 0 for n in shape):
        raise RequestError(f"{where}.shape: must be a list of whole numbers >= 0, got {said(shape)}")
    if len(shape) > MAX_AXES:
        raise RequestError(f"{where}.shape: {len(shape)} axes, allowed are {MAX_AXES}")
    if prod(n or 1 for n in shape) > MAX_VALUES:
        raise RequestError(f"{where}.shape: {said(shape)} is larger than any array can be")
    return name, datatype, tuple(shape)


def from_list(data: Any, datatype: str, shape: Sequence[int], where: str) -> NDArray[Any] | list[bytes | str]:
    """Values from a list of JSON, flat or nested as `shape` says, or from an array that `large.loads` made of a flat one.

    Raises: RequestError: another number of values, or one that does not fit the data type; the message starts with `where`.
    """
    flat = data if isinstance(data, np.ndarray) else _flat(data, shape, where)
    if len(flat) != prod(shape):
        raise RequestError(f"{where}: {len(flat)} values, but shape {list(shape)} says {prod(shape)}")
    if datatype == BYTES:
        for i, value in enumerate(flat):
            if not isinstance(value, str):
                raise RequestError(f"{where}[{i}]: must be a string, got {said(value)}")
        return flat
    name, code = NUMERIC[datatype]
    if isinstance(flat, np.ndarray):
        return narrowed(flat, datatype, where).reshape(shape)
    converted = array(code)
    for start in range(0, len(flat), SLICE):
        part = flat[start : start + SLICE] if len(flat) > SLICE else flat
        try:
            converted.fromlist(part)
        except (TypeError, ValueError, OverflowError):
            raise RequestError(_first_misfit(part, start, datatype, where)) from None
    values = np.frombuffer(converted, np.dtype(code) if datatype != "BOOL" else np.uint8)
    if datatype == "BOOL" and (values > 1).any():
        raise RequestError(f"{where}: BOOL values are true and false, got {values.max()}")
    with np.errstate(over="ignore"):  # FP16 from the array's wider floats: what is too large is found as infinite
        return checked(values.astype(name, copy=False).reshape(shape), where)


def from_bytes(data: memoryview, datatype: str, shape: Sequence[int], where: str) -> NDArray[Any] | list[bytes]:
    """Values as they stand on the wire; an array looks into `data`, without a copy.

    Raises: RequestError: more or fewer bytes than `shape` says; the message starts with `where`.
    """
    if datatype == BYTES:
        return unpack_strings(data, prod(shape), where)
    dtype = np.dtype(NUMERIC[datatype][0])
    if len(data) != prod(shape) * dtype.itemsize:
        raise RequestError(
            f"{where}: {len(data)} bytes, but {datatype} of shape {list(shape)} has {prod(shape) * dtype.itemsize}"
        )
    if datatype == "BOOL" and len(data) and (np.frombuffer(data, np.uint8) > 1).any():
        raise RequestError(f"{where}: BOOL values are 0 and 1, one byte each")
    return checked(np.frombuffer(data, dtype).reshape(shape), where)


def checked(values: NDArray[Any], where: str) -> NDArray[Any]:
    """The values themselves. Raises: RequestError: one is NaN or infinite."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        at = int(np.argmin(np.isfinite(values)))
        raise RequestError(f"{where}[{at}]: {values.flat[at]} is no finite number of {values.dtype.name}; send finite values")
    return values


def narrowed(values: NDArray[Any], datatype: str, where: str) -> NDArray[Any]:
    """Wide values in their data type. Raises: RequestError: one does not fit."""
    dtype = np.dtype(NUMERIC[datatype][0])
    if dtype.kind in "iu" and values.dtype.itemsize > dtype.itemsize and values.size:
        limits = np.iinfo(dtype)
        if values.min() < limits.min or values.max() > limits.max:
            at = int(np.argmax((values < limits.min) | (values > limits.max)))
            raise RequestError(f"{where}[{at}]: {values[at]} does not fit {datatype}")
    with np.errstate(over="ignore"):  # what is too large is found as infinite
        return checked(values.astype(dtype, copy=False), where)


def pack_strings(values: Sequence[bytes | str]) -> bytes:
    """Strings, text in UTF-8, each after its length."""
    encoded = [value.encode() if isinstance(value, str) else value for value in values]
    return b"".join(chain.from_iterable((_LENGTH.pack(len(text)), text) for text in encoded))


def unpack_strings(data: memoryview, count: int, where: str) -> list[bytes]:
    """The inverse of `pack_strings`.

    Raises: RequestError: they are not `count`, or do not fill `data` to its end; the message starts with `where`.
    """
    found: list[bytes] = []
    at = 0
    while len(found) < count:
        if at + _LENGTH.size > len(data):
            raise RequestError(f"{where}: ends in string {len(found)} of {count}; each needs its length, 4 bytes, before it")
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if at + length > len(data):
            raise RequestError(f"{where}: string {len(found)} says {length} bytes, {len(data) - at} are there")
        found.append(bytes(data[at : at + length]))
        at += length
    if at != len(data):
        raise RequestError(f"{where}: {len(data) - at} bytes behind the last of {count} strings")
    return found


def said(value: Any) -> str:
    """What a value of the client's is, for one line."""
    if value is None:
        return "nothing"
    if value == []:
        return "an empty list"
    if isinstance(value, dict):
        return f"an object with {', '.join(sorted(map(str, value))[:5])[:80] or 'nothing in it'}"
    if isinstance(value, list | tuple):
        return (
            str(list(value))
            if len(value) <= 8 and all(type(v) in (int, float, bool) for v in value)
            else f"a list of {len(value)}"
        )
    if isinstance(value, bool):
        return str(value).lower()
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _flat(nested: Any, shape: Sequence[int], where: str) -> list[Any]:
    if not isinstance(nested, list):
        raise RequestError(f"{where}: must be a list, got {said(nested)}")
    data: list[Any] = nested
    depth = 0
    while data and isinstance(data[0], list):
        depth += 1
        if depth >= len(shape):
            raise RequestError(f"{where}: lists nested deeper than shape {list(shape)}")
        if len(data) != prod(shape[:depth]):
            raise RequestError(
                f"{where}: {len(data)} entries at depth {depth}, but shape {list(shape)} says {prod(shape[:depth])}"
            )
        if set(map(type, data)) != {list} or set(map(len, data)) != {shape[depth]}:
            raise RequestError(
                f"{where}: lists of unequal length at depth {depth + 1}; shape {list(shape)} says {shape[depth]}"
            )
        data = list(chain.from_iterable(data))
    return data


def _first_misfit(values: list[Any], start: int, datatype: str, where: str) -> str:
    code = NUMERIC[datatype][1]
    for i, value in enumerate(values, start):
        try:
            array(code, [value])
        except TypeError:
            wanted = "numbers" if code in "fd" else "whole numbers"
            return f"{where}[{i}]: {datatype} holds {wanted} only, got {said(value)}"
        except (ValueError, OverflowError):
            return f"{where}[{i}]: {value} does not fit {datatype}"
    raise AssertionError("one of them does not fit")
