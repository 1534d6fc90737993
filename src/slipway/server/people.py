"""Plain routes for people and small scripts: one item in, one flat JSON object out. The v2 routes answer many at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from fastapi import Request, Response
from numpy.typing import NDArray

from slipway.errors import NotFoundError, RequestError, unknown
from slipway.preprocess import Raw
from slipway.protocol.rest import json_object
from slipway.server.bundle_model import BundleModel, from_base64
from slipway.server.call import Call
from slipway.server.dataplane import DataPlane
from slipway.server.http import FORM, Rest, json_response
from slipway.server.models import ServedModel
from slipway.server.refusal import Reason, RefusedError

# K classes

PROTOCOL = "rest_plain"
Fields = Mapping[str, str | bytes]


@dataclass(frozen=True, slots=True)
class Plain:
    """One route."""

    families: tuple[str, ...]
    """Whose models answer, unless the request names one: the first family that is served, its first model."""
    item: Callable[[Fields], Raw]
    answer: Callable[[Sequence[str], NDArray[np.float32]], dict[str, Any]]
    """(classes, their probabilities [K]) -> what is told."""
    about: str


def _image(fields: Fields) -> bytes:
    if isinstance(sent := fields.get("file"), bytes):
        return sent
    if not isinstance(text := fields.get("image_base64"), str):
        raise RequestError("body: needs `image_base64`, the bytes of an image file in base64, or a multipart `file`")
    return from_base64(text.partition(";base64,")[2] or text, "image_base64")  # browsers' data: URLs, too


def _text(fields: Fields) -> str:
    if not isinstance(text := fields.get("text"), str):
        raise RequestError("body: needs `text`, a string")
    return text


def _named(labels: Sequence[str], p_K: NDArray[np.float32]) -> dict[str, Any]:
    return dict(zip(labels, p_K, strict=True))


def _classified(labels: Sequence[str], p_K: NDArray[np.float32]) -> dict[str, Any]:
    k = int(p_K.argmax())
    return {"class_index": k, "class_name": labels[k], "confidence": p_K[k], "probabilities": list(p_K)}


def _inspected(labels: Sequence[str], p_K: NDArray[np.float32]) -> dict[str, Any]:
    return {"prediction": labels[int(p_K.argmax())], "probabilities": _named(labels, p_K)}


def _labelled(labels: Sequence[str], p_K: NDArray[np.float32]) -> dict[str, Any]:
    return {"label": labels[int(p_K.argmax())], "score": p_K.max(), "probs": _named(labels, p_K)}


PLAIN: Mapping[str, Plain] = {
    "/predict": Plain(("cv", "defect"), _image, _classified, "Classify one image."),
    "/predict_defect_image": Plain(("defect",), _image, _inspected, "Inspect one image."),
    "/predict_text": Plain(("nlp",), _text, _labelled, "Classify one text."),
}
"""By path; each with a closing slash, too."""


class People:
    """The plain routes."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane, self._rest = plane, Rest(plane)

    async def health(self, _request: Request) -> Response:
        """`ok` when every model is ready; 503 before, and once the server is stopping."""
        ready = self._plane.ready
        return json_response({"status": "ok" if ready else "not ready"}, 200 if ready else 503)

    def route(self, path: str) -> Callable[[Request], Any]:
        """The handler of a route of PLAIN."""
        plain = PLAIN[path]

        async def predict(request: Request) -> Response:
            content_type = request.headers.get("content-type", "")
            return await self._rest.answered(
                request,
                PROTOCOL,
                lambda call, body: self._answer(plain, call, body, content_type),
                forms=True,
            )

        predict.__name__, predict.__doc__ = path.strip("/"), plain.about
        return predict

    def _answer(self, plain: Plain, call: Call, body: bytes, content_type: str) -> Response:
        """In a worker thread."""
        with call.timed("parse"):
            fields = fields_of(body, content_type, max_bytes=self._plane.limits.max_body_bytes)
            call.model = model = self._model(plain, fields)
            item = plain.item(fields)
        _, probabilities_1K = model.predict([item], call)
        with call.timed("postprocess"):
            answer = plain.answer(model.labels, probabilities_1K[0])
            content = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
        return Response(content, media_type="application/json")

    def _model(self, plain: Plain, fields: Fields) -> BundleModel:
        """The one that the request names by `model` or `run_id`, loaded from the store where it has to be; else the first."""
        repository = self._plane.repository
        family = " or ".join(plain.families)
        ready = [m for m in repository.models() if isinstance(m, BundleModel) and m.ready]
        fit = [m for f in plain.families for m in ready if m.family == f]
        name, run_id = str(fields.get("model", "")), str(fields.get("run_id", ""))
        if not name and not run_id:
            if fit:
                return fit[0]
            if not repository.ready:
                raise RefusedError(Reason.NOT_READY, "models are being loaded; ask /health", retry_after_s=1)
            there = ", ".join(f"{m.name} ({m.family})" for m in repository.models())
            raise NotFoundError(f"no model of family {family} is served; there are {there}")
        found = self._named(name) if name else self._of_run(run_id)
        if not isinstance(found, BundleModel) or found.family not in plain.families:
            raise NotFoundError(unknown(f"model of family {family}", found.name, [m.name for m in fit]))
        return found

    def _named(self, name: str) -> ServedModel:
        repository = self._plane.repository
        if name in repository.names() or not repository.loads:
            return repository.loaded(name)
        return repository.load(name)

    def _of_run(self, run_id: str) -> ServedModel:
        """By the record of the store; a server without one knows names alone, and old clients send them so."""
        repository = self._plane.repository
        return repository.of_run(run_id) if repository.loads else repository.loaded(run_id)


def fields_of(body: bytes, content_type: str, *, max_bytes: int) -> dict[str, str | bytes]:
    """Fields of a JSON object or of a multipart form: strings, and of a form's files their bytes.

    Raises: RequestError: neither of them, or a field that is no string.
    """
    if content_type.lower().startswith(FORM):
        return _form(body, content_type, max_bytes)
    found = json_object(body)
    for name, value in found.items():
        if value is not None and not isinstance(value, str):
            raise RequestError(f"{name[:80]}: must be a string")
    return {name: value for name, value in found.items() if value is not None}


def _form(body: bytes, content_type: str, max_bytes: int) -> dict[str, str | bytes]:
    from python_multipart import create_form_parser
    from python_multipart.exceptions import FormParserError

    found: dict[str, str | bytes] = {}

    def on_field(field: Any) -> None:
        found[_decoded(field.field_name)] = _decoded(field.value or b"")

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        found[_decoded(file.field_name)] = file.file_object.read()

    try:
        in_memory = {"MAX_MEMORY_FILE_SIZE": max_bytes}  # the file system may be read-only
        parser = create_form_parser({"Content-Type": content_type.encode("latin-1")}, on_field, on_file, config=in_memory)
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as exc:
        raise RequestError(f"body: not the multipart/form-data that its content type says ({exc})") from exc
    return found


def _decoded(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
