import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import RequestError
from slipway.protocol import large, rest
from slipway.protocol.tensors import NUMERIC


def body(datatype, shape, data):
    tensor = {"name": "x", "shape": shape, "datatype": datatype, "data": data}
    return json.dumps({"inputs": [tensor], "id": "7"}).encode()


def both(monkeypatch, sent):
    """What a body is by either way: a request, or the line that refuses it."""
    found = []
    for least in (0, len(sent) + 1):
        monkeypatch.setattr(large, "LARGE_BYTES", least)
        try:
            found.append(rest.read_request(sent))
        except RequestError as exc:
            found.append(str(exc))
    return found


@pytest.mark.parametrize("datatype", [name for name in NUMERIC if name != "BOOL"])
def test_numbers_are_the_same_by_both_ways(monkeypatch, datatype):
    dtype = np.dtype(NUMERIC[datatype][0])
    info = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    data = [int(info.min) if dtype.kind in "iu" else float(info.min), 0, 1, info.max.item() if dtype.kind == "f" else info.max]
    fast, slow = both(monkeypatch, body(datatype, [2, 2], data))
    assert fast.inputs[0].values.dtype == slow.inputs[0].values.dtype == dtype
    np.testing.assert_array_equal(fast.inputs[0].values, slow.inputs[0].values)
    assert (fast.id, fast.inputs[0].shape) == (slow.id, slow.inputs[0].shape) == ("7", (2, 2))


REFUSED = {
    "too many": ("FP32", [2], [1, 2, 3]),
    "too large": ("UINT8", [2], [1, 300]),
    "negative": ("UINT64", [2], [1, -1]),
    "a fraction": ("INT32", [2], [1, 1.5]),
    "a string": ("FP32", [2], [1, "2"]),
    "ragged": ("FP32", [2, 2], [[1, 2], [3]]),
    "beyond FP16": ("FP16", [1], [1e5]),
    "nothing": ("FP32", [1], None),
    "an object": ("FP32", [1], {"a": 1}),
    "another type": ("FP33", [1], [1]),
    "a type that is a list": (["FP32"], [1], [1]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_by_the_same_line(monkeypatch, case):
    fast, slow = both(monkeypatch, body(*REFUSED[case]))
    assert isinstance(fast, str)
    assert fast == slow


values = st.none() | st.booleans() | st.integers(-(2**66), 2**66) | st.floats() | st.text(max_size=3)
nested = st.recursive(values, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=2), v, max_size=2))
tensors = st.fixed_dictionaries(
    {"name": st.just("x"), "datatype": st.sampled_from([*NUMERIC, "BYTES"]), "shape": st.lists(st.integers(0, 3), max_size=3)},
    optional={"data": st.lists(st.integers(-1, 300) | st.floats(-9, 9), max_size=9) | nested},
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(value=st.fixed_dictionaries({"inputs": st.lists(tensors, max_size=2) | nested}) | nested, cut=st.integers(0, 2))
def test_any_body_is_the_same_by_both_ways(value, cut):
    sent = json.dumps(value).encode()
    sent = sent[: len(sent) - cut]
    with pytest.MonkeyPatch.context() as patch:
        fast, slow = both(patch, sent)
    assert type(fast) is type(slow), (fast, slow)
    if isinstance(fast, str):
        assert fast == slow
    else:
        for a, b in zip(fast.inputs, slow.inputs, strict=True):
            np.testing.assert_array_equal(np.asarray(a.values), np.asarray(b.values))
