"""Bad input by both transports: refused by name, and nobody else notices. One table, one strategy."""

from itertools import chain, cycle, islice

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.bad_requests import CASES, IMAGE, TEXT, A, B, Case, pictures
from tests.helpers.protocols import FORMS, Told, grpc_request, rest_request, tensor

LARGE = {"a text of 10 MB", "deep nesting"}


def check_refused(case: Case, told: Told, form: str) -> None:
    assert told.refused, (form, told)
    own = {"rest": case.rest_says, "grpc": case.grpc_says}.get(form)
    assert (own or case.says) in told.error, (form, told)
    assert len(told.error.splitlines()) == 1
    assert len(told.error) < 600


def check_well(served) -> None:
    for form in FORMS:
        told = served.ask(form, "sums", [A, B], outputs=["sum"])
        assert told.ok, (form, told)
        np.testing.assert_array_equal(told.outputs["sum"], [[2, 4], [6, 8]])


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_by_name_and_the_next_request_is_answered(served, name):
    case = CASES[name]
    found = case.refusals(served)
    assert found, "a case without a request"
    for form, told in found.items():
        check_refused(case, told, form)
    check_well(served)


def test_bodies_of_100_mb_are_refused_by_their_size(served):
    body = bytes(100_000_000)
    told = served.post("sums", body)
    assert (told.status, told.error) == ("413", "body: above the limit of 64 MB; send fewer or smaller items")
    told = served.infer(body)
    assert (told.status, "larger than max (100000000 vs. 67108864)" in told.error) == ("RESOURCE_EXHAUSTED", True)
    assert served.http.post("/v2/repository/index", content=body).status_code == 413
    check_well(served)


def test_a_call_that_grows_when_it_is_decompressed_is_refused_by_its_size(served):
    told = served.infer(bytes(100_000_000), compression=grpc.Compression.Gzip)
    assert (told.status, told.error) == ("RESOURCE_EXHAUSTED", "Decompressed message larger than max")
    assert served.infer(grpc_request("sums", [A, B]), compression=grpc.Compression.Gzip).ok
    check_well(served)


def test_a_thousand_wrong_requests_among_good_ones_leave_nothing_behind(served):
    wrong = list(chain.from_iterable(_sent(case) for name, case in CASES.items() if name not in LARGE))
    for i, send in enumerate(islice(cycle(wrong), 1000)):
        assert send(served).refused
        if i % 50 == 0:
            check_well(served)
    check_well(served)
    assert served.in_flight() == 0
    plane = served.app.state.plane
    assert (plane._accepted, plane._held_bytes, plane._scheduler.depth, plane._scheduler._free) == (0, 0, 0, 1)


def _sent(case: Case):
    for form in case.forms if case.tensors else ():
        yield lambda served, form=form: served.ask(form, case.model, case.tensors, outputs=case.outputs)
    if case.rest is not None:
        yield lambda served: served.post(case.model, *case.rest())
    if case.grpc is not None:
        yield lambda served: served.infer(case.grpc())


numbers = st.integers(-(2**31), 2**31) | st.floats(width=32)
tensors = st.builds(
    tensor,
    st.sampled_from(["a", "b", "image", "text", "", "c"]),
    st.sampled_from(["FP32", "FP64", "FP16", "UINT8", "INT64", "BOOL", "BYTES", "FP8"]),
    st.lists(st.integers(-1, 3) | st.sampled_from([2**31, 2**62, 2**63 - 1]), max_size=4),
    st.lists(numbers, max_size=9) | st.lists(st.binary(max_size=6) | st.just(IMAGE) | st.text(max_size=6), max_size=3),
)
requests = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["sums", "cv-tiny", "nlp-tiny", "x"]),
        "tensors": st.lists(tensors, max_size=3),
        "outputs": st.lists(st.sampled_from(["sum", "log", "label", "heatmap", "attributions", "x"]), max_size=2),
        "id": st.none() | st.text(max_size=4),
    }
)
bounded = settings(
    max_examples=150, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


@bounded
@given(request=requests, form=st.sampled_from(FORMS))
def test_no_request_makes_the_server_fail(served, request, form):
    try:
        told = served.ask(form, request.pop("model"), request.pop("tensors"), **request)
    except (ValueError, TypeError, OverflowError):  # the form cannot say it
        return
    assert told.ok or told.refused, told


@bounded
@given(
    form=st.sampled_from(["binary", "raw"]),
    cuts=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=5)), min_size=1, max_size=3),
    model=st.sampled_from([("sums", [A, B]), ("cv-tiny", pictures(IMAGE)), ("nlp-tiny", [TEXT])]),
)
def test_no_damaged_bytes_make_the_server_fail(served, form, cuts, model):
    name, sent = model
    body, headers = rest_request(sent, binary=True) if form == "binary" else (None, {})
    body = grpc_request(name, sent, raw=True).SerializeToString() if body is None else body
    for at, num_bytes, instead in cuts:
        body = body[: at % len(body)] + instead + body[at % len(body) + num_bytes :]
    told = served.post(name, body, headers) if form == "binary" else served.infer(body)
    assert told.ok or told.refused, told
