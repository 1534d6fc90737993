"""Wrong requests, each by both transports: the table that the tests of bad input go through."""

import json
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from slipway.preprocess.text import MAX_CHARS
from slipway.server.bundle_model import MAX_ITEMS
from tests.helpers.bundles import make_items
from tests.helpers.protocols import FORMS, Told, grpc_request, tensor

HEADER = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Case:
    """A wrong request: the same tensors in every form, or bytes of each transport's own."""

    says: str = ""
    """In every refusal, those aside that say something of their own."""
    tensors: Sequence[dict[str, Any]] = ()
    outputs: Sequence[str] = ()
    forms: Sequence[str] = FORMS
    """In which it can be said at all."""
    model: str = "sums"
    rest: Callable[[], tuple[Any, dict[str, str]]] | None = None
    """Body and headers."""
    grpc: Callable[[], Any] | None = None
    """Message or bytes."""
    rest_says: str = ""
    grpc_says: str = ""

    def refusals(self, served) -> dict[str, Told]:
        """By form."""
        found = {form: served.ask(form, self.model, self.tensors, outputs=self.outputs) for form in self.forms if self.tensors}
        if self.rest is not None:
            found["rest"] = served.post(self.model, *self.rest())
        if self.grpc is not None:
            found["grpc"] = served.infer(self.grpc())
        return found


A, B = (tensor(name, "FP32", [2, 2], [1, 2, 3, 4]) for name in "ab")
TEXT = tensor("text", "BYTES", [1], ["good film"])


def of_rest(value, **headers):
    return lambda: (json.dumps(value).encode(), headers)


def behind(body, sizes=(16, 16), *, told=(A, B), length=None):
    """A REST request of tensors that say `sizes`, with the bytes `body` behind it."""
    parts = [{**t, "parameters": {"binary_data_size": size}} for t, size in zip(told, sizes, strict=True)]
    header = json.dumps({"inputs": [{k: v for k, v in t.items() if k != "data"} for t in parts]}).encode()
    return lambda: (header + body, {HEADER: str(len(header)) if length is None else length})


def raw(*contents, told=(A, B), model="sums"):
    """A gRPC request of tensors with these raw contents."""

    def made():
        request = grpc_request(model, [{**t, "data": []} for t in told])
        for sent in request.inputs:
            sent.ClearField("contents")
        request.raw_input_contents.extend(contents)
        return request

    return made


def bomb(width, height):
    """A PNG that says its size and has no pixels: nobody may try to decode it."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def pictures(*files):
    return [tensor("image", "BYTES", [len(files)], files)]


NAN, INF = float("nan"), float("inf")
IMAGE = make_items("cv", 1)[0]
CASES = {
    "malformed": Case(
        rest=lambda: (b'{"inputs": [', {}),
        rest_says="body: not JSON",
        grpc=lambda: b"\x2a\x7f",
        grpc_says="ModelInferRequest: not such a message; 2 bytes",
    ),
    "deep nesting": Case(
        rest=lambda: (b'{"inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}", {}),
        rest_says="body: not JSON",
        grpc=lambda: b"\x7b" * 100_000,
        grpc_says="not such a message",  # groups within groups
    ),
    "deep data": Case(
        rest=of_rest({"inputs": [{**A, "data": [[[[[[1]]]]]]}, B]}),
        rest_says="inputs[0].data: 1 entries at depth 1, but shape [2, 2] says 2",
    ),
    "wrong content type": Case(
        rest=of_rest({"inputs": [A, B]}, **{"Content-Type": "text/html"}),
        rest_says="content-type: got 'text/html', allowed: app",
    ),
    "0 bytes": Case(
        rest=lambda: (b"", {}),
        rest_says="body: not JSON",
        grpc=lambda: b"",
        grpc_says="model: unknown ''. Known: cv-tiny",
    ),
    "no object": Case(rest=of_rest(["inputs"]), rest_says="body: must be a JSON object, got a list of 1"),
    "not UTF-8": Case(
        rest=lambda: (b'{"id": "\xff"}', {}),
        rest_says="body: not JSON",
        grpc=lambda: b"\x1a\x01\xff",
        grpc_says="not such a message",
    ),
    "id is a number": Case(rest=of_rest({"id": 7, "inputs": [A, B]}), rest_says="id: must be a string, got 7"),
    "no inputs": Case(
        says="at least one tensor",
        rest=of_rest({"inputs": []}),
        grpc=lambda: grpc_request("sums", []),
    ),
    "an input is missing": Case("inputs: 'b' is missing; the model takes a, b", [A]),
    "unknown input": Case("inputs[1].name: unknown 'c'. Known: a, b", [A, {**B, "name": "c"}]),
    "nameless input": Case("inputs[0].name: must be a string", [{**A, "name": ""}, B]),
    "duplicate inputs": Case("inputs[1].name: 'a' is there twice", [A, A]),
    "unknown output": Case("outputs[0].name: unknown 'sun'; did you mean 'sum'? Known: log, sum", [A, B], ["sun"]),
    "duplicate outputs": Case("twice", [A, B], ["sum", "sum"]),
    "unknown datatype": Case(
        "inputs[0].datatype: unknown 'FP23'; did you mean 'FP32'? Known: ",
        [{**A, "datatype": "FP23"}, B],
    ),
    "wrong datatype": Case("inputs[0].datatype: got FP64, 'a' is FP32", [{**A, "datatype": "FP64"}, B]),
    "text for numbers": Case(
        "inputs[0].datatype: got BYTES, 'a' is FP32",
        [tensor("a", "BYTES", [2, 2], list("wxyz")), B],
    ),
    "text in a list of numbers": Case(
        rest=of_rest({"inputs": [{**A, "data": [1, "2", 3, 4]}, B]}),
        rest_says="inputs[0].data[1]: FP32 holds numbers only, got '2'",
    ),
    "a value that does not fit": Case(
        "300 does not fit UINT8",
        [tensor("image", "UINT8", [1, 1, 1, 1], [300])],
        forms=("json", "typed"),
        model="cv-tiny",
    ),
    "FP16 beyond its range": Case(
        rest=of_rest({"inputs": [tensor("a", "FP16", [1, 1], [1e6])]}),
        rest_says="inputs[0].data[0]: inf is no finite number of float16",
        grpc=lambda: grpc_request("sums", [tensor("a", "FP16", [1, 1], [1])]),
        grpc_says="FP16 has no typed contents; send raw",
    ),
    "negative shape": Case(
        "inputs[0].shape: must be a list of whole numbers >= 0, got [-2, -2]", [{**A, "shape": [-2, -2]}, B]
    ),
    "huge shape": Case(
        "inputs[0].shape: [4611686018427387904, 4611686018427387904] is larger than any array",
        [{**A, "shape": [2**62, 2**62]}, B],
    ),
    "huge and empty shape": Case(
        "inputs[0].shape: [0, 4611686018427387904] is larger than any array can be",
        [tensor("a", "FP32", [0, 2**62], []), B],
    ),
    "too many axes": Case("inputs[0].shape: 100 axes, allowed are 16", [{**A, "shape": [1] * 100}, B]),
    "a shape of fractions": Case(rest=of_rest({"inputs": [{**A, "shape": [2.0, 2]}, B]}), rest_says="inputs[0].shape: must be"),
    "more data than the shape": Case("but", [{**A, "shape": [1, 2]}, B]),
    "less data than the shape": Case("but", [{**A, "shape": [3, 2]}, B]),
    "a shape that the model does not take": Case(
        "inputs[0].shape: got [4], 'a' is [-1, 2] (-1: any)", [{**A, "shape": [4]}, B]
    ),
    "shapes that do not go together": Case(
        "inputs: the graph cannot run on them",
        [A, tensor("b", "FP32", [3, 2], [0] * 6)],
    ),
    "NaN": Case(
        "nan is no finite number",
        [{**A, "data": [1, NAN, 3, 4]}, B],
        forms=("binary", "typed", "raw"),
        rest=of_rest({"inputs": [{**A, "data": [NAN] * 4}, B]}),
        rest_says="not JSON",
    ),
    "infinity": Case(
        "inf is no finite number",
        [A, {**B, "data": [1, 2, 3, -INF]}],
        forms=("binary", "typed", "raw"),
        rest=of_rest({"inputs": [{**A, "data": [1e39] * 4}, B]}),
    ),
    "an answer that is not finite": Case(
        "log: NaN and infinite values cannot stand in JSON; ask for them as binary",
        [A, {**B, "data": [-9] * 4}],
        forms=("json",),
    ),
    "truncated binary": Case(
        rest=behind(bytes(31)),
        rest_says="binary_data_size: got 16, 15 bytes are left behind the JSON",
        grpc=raw(bytes(16), bytes(15)),
        grpc_says="raw_input_contents[1]: 15 bytes, but FP32 of shape [2, 2] has 16",
    ),
    "too much binary": Case(
        rest=behind(bytes(33)),
        rest_says="33 bytes are behind the JSON, binary_data_size of all tensors together 32",
        grpc=raw(bytes(16), bytes(17)),
        grpc_says="raw_input_contents[1]: 17 bytes",
    ),
    "binary for fewer tensors": Case(
        rest=of_rest({"inputs": [A, {**B, "parameters": {"binary_data_size": 16}}]}),
        rest_says=f"needs the header {HEADER}",
        grpc=raw(bytes(16)),
        grpc_says="raw_input_contents: 1 for 2 tensors",
    ),
    "a negative size": Case(rest=behind(bytes(32), (16, -16)), rest_says="binary_data_size: got -16"),
    "a header longer than the body": Case(
        rest=behind(bytes(32), length="100000"), rest_says=f"{HEADER}: must be the JSON's length"
    ),
    "a header of 5000 digits": Case(
        rest=behind(bytes(32), length="9" * 5000), rest_says=f"{HEADER}: must be the JSON's length"
    ),
    "a header that is no number": Case(rest=behind(bytes(32), length="-1"), rest_says=f"{HEADER}: must be the JSON's length"),
    "a string longer than the bytes": Case(
        "string 0 says 4294967295 bytes, 1 are there",
        model="nlp-tiny",
        rest=behind(b"\xff\xff\xff\xffa", [5], told=[TEXT]),
        grpc=raw(b"\xff\xff\xff\xffa", told=[TEXT], model="nlp-tiny"),
    ),
    "half a length prefix": Case(
        "ends in string 0 of 1",
        model="nlp-tiny",
        rest=behind(b"\1\0", [2], told=[TEXT]),
        grpc=raw(b"\1\0", told=[TEXT], model="nlp-tiny"),
    ),
    "bytes behind the last string": Case(
        "2 bytes behind the last of 1 strings",
        model="nlp-tiny",
        rest=behind(b"\1\0\0\0abc", [7], told=[TEXT]),
        grpc=raw(b"\1\0\0\0abc", told=[TEXT], model="nlp-tiny"),
    ),
    "a timeout that is none": Case(
        rest=of_rest({"inputs": [A, B]}, **{"X-Request-Timeout-Ms": "9" * 5000}),
        rest_says="X-Request-Timeout-Ms: must be",
    ),
    "no items": Case("empty batch", [tensor("text", "BYTES", [0], [])], model="nlp-tiny"),
    "too many items": Case(
        f"allowed are {MAX_ITEMS} in one request",
        [tensor("text", "BYTES", [MAX_ITEMS + 1], ["a"] * (MAX_ITEMS + 1))],
        model="nlp-tiny",
    ),
    "an unpaired surrogate": Case(
        model="nlp-tiny",
        rest=of_rest({"inputs": [{**TEXT, "data": ["\ud800"]}]}),
        rest_says="body: not JSON",
        grpc=lambda: grpc_request("nlp-tiny", [{**TEXT, "data": [b"\xed\xa0\x80"]}]),
        grpc_says="item 0: not UTF-8 text: byte 0xed",
    ),
    "a text that is not UTF-8": Case(
        "item 0: not UTF-8 text: byte 0xff",
        [{**TEXT, "data": [b"\xff"]}],
        forms=("binary", "typed", "raw"),
        model="nlp-tiny",
    ),
    "a text of 10 MB": Case(
        f"item 0: text of 10000000 characters, allowed are {MAX_CHARS}",
        [{**TEXT, "data": ["a" * 10**7]}],
        model="nlp-tiny",
    ),
    "no image": Case("item 1: not an image (2 bytes); allowed: JPEG", pictures(IMAGE, b"\xff\xff"), model="cv-tiny"),
    "an empty image": Case("item 1: not an image (0 bytes)", pictures(IMAGE, b""), model="cv-tiny"),
    "half an image": Case("item 1: damaged image", pictures(IMAGE, IMAGE[:-60]), model="cv-tiny"),
    "a bomb of 3.6 gigapixels": Case("item 0: ", pictures(bomb(60_000, 60_000)), model="cv-tiny"),
    "a bomb of 50 megapixels": Case(
        "10000x5000 px is above the limit of 40 megapixels", pictures(bomb(10_000, 5_000)), model="cv-tiny"
    ),
    "four channels": Case(
        "inputs[0].shape: got [1, 1, 1, 4], allowed [N, H, W, C] with C 1 or 3",
        [tensor("image", "UINT8", [1, 1, 1, 4], [0] * 4)],
        model="cv-tiny",
    ),
    "names of other scripts and line breaks": Case("inputs[0].name: unknown '😀 ", [{**A, "name": "😀\n" * 60}, B]),
    "compressed": Case(
        rest=of_rest({"inputs": [A, B]}, **{"Content-Encoding": "gzip"}), rest_says="content-encoding 'gzip' is not"
    ),
}
