"""Arrays to tensors of the protocol, and back."""

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slipway.errors import RequestError
from slipway.protocol.tensors import BYTES, Tensor, checked, of_array, said


def tensor_of(name: str, value: ArrayLike) -> Tensor:
    """An array as a tensor. Raises: RequestError: of values that the protocol does not have; the message names it."""
    array = np.asarray(value)
    if array.dtype.kind not in "USO":
        return of_array(name, checked(array, name))
    strings = array.ravel().tolist()
    for i, string in enumerate(strings):
        if not isinstance(string, str | bytes):
            raise RequestError(f"{name}[{i}]: an array of objects must hold str or bytes, got {said(string)}")
    return Tensor(name, BYTES, array.shape, strings)


def array_of(tensor: Tensor) -> NDArray[Any]:
    """The values, to be kept and changed; strings as objects: str, or bytes where one of them is no UTF-8."""
    if isinstance(tensor.values, np.ndarray):
        return tensor.values if tensor.values.flags.writeable else tensor.values.copy()
    strings = list(tensor.values)
    with suppress(UnicodeDecodeError):
        strings = [string if isinstance(string, str) else string.decode() for string in strings]
    found = np.empty(len(strings), object)
    found[:] = strings
    return found.reshape(tensor.shape)


def num_bytes(tensor: Tensor) -> int:
    """Of its values."""
    return tensor.values.nbytes if isinstance(tensor.values, np.ndarray) else sum(map(len, tensor.values))


def is_json(tensor: Tensor) -> bool:
    """Whether JSON has values of its kind: bytes it has not."""
    return isinstance(tensor.values, np.ndarray) or not any(isinstance(value, bytes) for value in tensor.values)
