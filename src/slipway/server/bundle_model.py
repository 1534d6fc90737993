"""Releases: raw items in, probabilities, labels and on request reasons out.

Two forms of input, named as the bundle names it:
    BYTES [N]           `image`: encoded files (in JSON base64, which has no bytes); `text`: the texts themselves
    UINT8 [N, H, W, C]  `image` only: pixels; C is 1 or 3
"""

# N items, K classes, H/W px, C channels

import binascii
import logging
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from slipway import bundle as bundles
from slipway.bundle import Bundle
from slipway.errors import RequestError, unknown
from slipway.explain.explanation import Explanation, explain, methods
from slipway.preprocess import Raw
from slipway.protocol.rest import InferRequest
from slipway.protocol.tensors import BYTES, Tensor, of_array, said
from slipway.server.call import Answered, Call
from slipway.server.models import Place, ServedModel
from slipway.server.plan import plan
from slipway.server.scheduler import Scheduled
from slipway.store import files

log = logging.getLogger("slipway.server")
OUTPUTS = ("probabilities", "label")
EXPLAINED: Mapping[str, Mapping[str, tuple[str, int]]] = {
    "image": {"heatmap": ("FP32", 3)},
    "text": {"tokens": ("BYTES", 2), "attributions": ("FP32", 2)},
}
"""Outputs that are given on request only, by input: why the label was answered. Their data types and numbers of axes."""
MAX_EXPLAINED = 16
"""Items of a request that asks for them: one may cost as much as hundreds of answers."""
MAX_ITEMS = 1024
"""Of one request: with more, one client would hold a worker thread for long."""
MAX_PIXELS = 40_000_000
"""Of one item given as pixels, as for encoded images."""
CONTENT_TYPES = {"image": ("base64",), "text": ("str", "base64")}
"""Values of the input parameter `content_type`, which says what the strings of JSON are; the first is the default."""


class BundleModel(ServedModel):
    """A release or bundle; `bundle` is None until `load` has proved it."""

    bundle: Bundle | None = None

    def _open(self, place: Place) -> None:
        path = Path(self.source)
        if "://" in self.source:
            from slipway.store.uri import fetch  # the S3 client is not needed for a directory

            path = fetch(self.source, place.cache)
        threads = place.scheduler.threads
        loaded = bundles.load(path, threads=1, callers=threads, prove=True, public_key=place.public_key)
        for variant, reason in loaded.passed_over.items():
            log.warning("variant passed over", extra={"model": self.name, "variant": variant, "reason": reason})
        self.digest = files.read_manifest(path).digest
        self.family, self.architecture, self.variant = loaded.family, str(loaded.meta["architecture"]), loaded.variant
        items = sorted(bundles.selftest_items(loaded), key=len)
        typical = loaded.preprocess.encode([items[len(items) // 2]])  # texts: neither the empty one nor the longest
        self._graph = plan(
            lambda n: loaded.session(threads=n), loaded.opened, typical, threads=threads, on_batch=self._on_batch(place)
        )
        self.bundle = loaded.run_by(Scheduled(self._graph, place.scheduler))

    def infer(self, request: InferRequest, call: Call) -> Sequence[Tensor]:
        """See `ServedModel.infer`."""
        with call.timed("parse"):
            names = self._wanted(request)
            items = items_of(request, self.input_name)
        explanations: Sequence[Explanation] = ()
        if set(names) <= set(OUTPUTS):
            labels, probabilities_NK = self.predict(items, call)
        else:
            if len(items) > MAX_EXPLAINED:
                raise RequestError(
                    f"inputs[0].shape: {len(items)} items, allowed are {MAX_EXPLAINED} in a request for "
                    f"{' or '.join(EXPLAINED[self.input_name])}; send several"
                )
            with call.timed("explain"):
                labels, probabilities_NK, explanations = self.explain(items, call)
        outputs = {
            "probabilities": of_array("probabilities", probabilities_NK),
            "label": Tensor("label", BYTES, (len(labels),), labels),
            **_reasons(explanations),
        }
        return [outputs[name] for name in names]

    def predict(self, items: Sequence[Raw], call: Call) -> tuple[list[str], NDArray[np.float32]]:
        """Labels and probabilities [N, K]. Raises: DataError: an item cannot be read; the message starts with its position."""
        assert self.bundle is not None, "ready is checked before"
        probabilities_NK = self.bundle.predict(items, observe=call.add)
        return self._said(items, probabilities_NK, call), probabilities_NK

    def explain(self, items: Sequence[Raw], call: Call) -> tuple[list[str], NDArray[np.float32], list[Explanation]]:
        """As `predict`, with the reasons for each label; costs two answers an item where the graph has a map, else many.

        Raises: DataError: see `predict`.
        """
        assert self.bundle is not None, "ready is checked before"
        told = explain(self.bundle, items)
        probabilities_NK = np.stack([e.probabilities_K for e in told])
        return self._said(items, probabilities_NK, call), probabilities_NK, told

    @property
    def input_name(self) -> str:
        """`image` or `text`."""
        assert self.bundle is not None, "ready is checked before"
        return self.bundle.preprocess.input_name

    @property
    def labels(self) -> Sequence[str]:
        """Class names, in the order of the probabilities."""
        assert self.bundle is not None, "ready is checked before"
        return self.bundle.labels

    def metadata(self) -> dict[str, Any]:
        """The protocol's model metadata; the class order stands beside `probabilities`."""
        assert self.bundle is not None, "ready is checked before"
        name = self.input_name
        parameters: dict[str, Any] = {"content_type": CONTENT_TYPES[name][0]}
        if name == "image":
            parameters["also"] = "UINT8 [N, H, W, C], C 1 or 3"
        labels = list(self.bundle.labels)
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": "slipway_onnx",
            "inputs": [{"name": name, "datatype": BYTES, "shape": [-1], "parameters": parameters}],
            "outputs": [
                {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(labels)], "parameters": {"labels": labels}},
                {"name": "label", "datatype": BYTES, "shape": [-1]},
                *(
                    {"name": output, "datatype": datatype, "shape": [-1] * axes, "parameters": {"on_request": True}}
                    for output, (datatype, axes) in EXPLAINED[name].items()
                ),
            ],
            "parameters": {
                "digest": self.digest,
                "family": self.family,
                "architecture": self.architecture,
                "variant": self.variant,
                "passed_over": dict(self.bundle.passed_over),
                "explained_by": methods(self.bundle)[0],
                "max_items": MAX_ITEMS,
                "max_explained_items": MAX_EXPLAINED,
                **self.how(),
            },
        }

    def example(self) -> dict[str, Any]:
        """The first item of the self-test as a request."""
        assert self.bundle is not None, "ready is checked before"
        item = bundles.selftest_items(self.bundle)[0]
        assert isinstance(item, bytes), "as a client sends it"
        data = item.decode("utf-8") if self.input_name == "text" else binascii.b2a_base64(item, newline=False).decode()
        return {"inputs": [{"name": self.input_name, "shape": [1], "datatype": BYTES, "data": [data]}]}

    def _wanted(self, request: InferRequest) -> Sequence[str]:
        allowed = (*OUTPUTS, *EXPLAINED[self.input_name])
        for i, name in enumerate(request.outputs):
            if name not in allowed:
                raise RequestError(unknown(f"outputs[{i}].name", name[:80], allowed))
        return request.outputs or OUTPUTS

    def _said(self, items: Sequence[Raw], probabilities_NK: NDArray[np.float32], call: Call) -> list[str]:
        assert self.bundle is not None, "ready is checked before"
        labels = [self.bundle.labels[k] for k in probabilities_NK.argmax(axis=1)]
        call.answered = Answered(self.bundle, items, labels, probabilities_NK)
        return labels


def items_of(request: InferRequest, input_name: str) -> Sequence[Raw]:
    """The raw items, 1 to MAX_ITEMS, of a request to a model whose input is `input_name`; pixels come as one array.

    Raises: RequestError: another input, data type or shape, or text that is not base64 where it has to be.
    """
    for i, tensor in enumerate(request.inputs):
        if tensor.name != input_name:
            raise RequestError(unknown(f"inputs[{i}].name", tensor.name[:80], [input_name]))
    tensor, where = request.inputs[0], "inputs[0]"
    shape = tensor.shape
    if shape and shape[0] > MAX_ITEMS:
        raise RequestError(f"{where}.shape: {shape[0]} items, allowed are {MAX_ITEMS} in one request; send several")
    if isinstance(tensor.values, np.ndarray):
        if tensor.datatype != "UINT8" or input_name != "image":
            allowed = "BYTES [N] or UINT8 [N, H, W, C]" if input_name == "image" else "BYTES [N]"
            raise RequestError(f"{where}.datatype: got {tensor.datatype}, allowed for '{input_name}': {allowed}")
        _check_shape(shape, "[N, H, W, C] with C 1 or 3", ok=len(shape) == 4 and shape[3] in (1, 3), where=where)
        if prod(shape[1:3]) > MAX_PIXELS:
            raise RequestError(
                f"{where}.shape: {shape[2]}x{shape[1]} px is above the limit of {MAX_PIXELS // 1_000_000} megapixels"
            )
        return cast("Sequence[Raw]", tensor.values)
    _check_shape(shape, "[N]", ok=len(shape) == 1, where=where)
    allowed_types = CONTENT_TYPES[input_name]
    content_type = tensor.parameters.get("content_type", allowed_types[0])
    if content_type not in allowed_types:
        raise RequestError(f"{where}.parameters.content_type: got {said(content_type)}, allowed: {', '.join(allowed_types)}")
    if content_type == "str":
        return tensor.values
    return [from_base64(v, f"{where}.data[{i}]") if isinstance(v, str) else v for i, v in enumerate(tensor.values)]


def from_base64(text: str, where: str) -> bytes:
    """The bytes of a file. Raises: RequestError: not base64; the message starts with `where`."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as exc:  # binascii.Error, or text that is not ASCII
        raise RequestError(f"{where}: not base64 ({exc}); the bytes of the file belong there, base64-encoded") from exc


def _check_shape(shape: Sequence[int], allowed: str, *, ok: bool, where: str) -> None:
    if not ok:
        raise RequestError(f"{where}.shape: got {list(shape)}, allowed {allowed}")
    if 0 in shape:
        raise RequestError(f"{where}.shape: empty batch or image, got {list(shape)}; send at least one item")


def _reasons(explanations: Sequence[Explanation]) -> dict[str, Tensor]:
    """Texts of fewer tokens than the longest are filled with empty tokens of attribution 0."""
    if not explanations:
        return {}
    if explanations[0].heatmap_HW is not None:
        return {"heatmap": of_array("heatmap", np.stack([cast("NDArray[Any]", e.heatmap_HW) for e in explanations]))}
    most = max(len(e.tokens) for e in explanations)
    tokens = [token for e in explanations for token in [t.text for t in e.tokens] + [""] * (most - len(e.tokens))]
    values = [np.pad(cast("NDArray[Any]", e.attributions_T), (0, most - len(e.tokens))) for e in explanations]
    return {
        "tokens": Tensor("tokens", BYTES, (len(explanations), most), tokens),
        "attributions": of_array("attributions", np.stack(values).astype(np.float32)),
    }
