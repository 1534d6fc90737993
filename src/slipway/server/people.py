"""Plain routes for people and small scripts: one item in, one flat JSON object out. The v2 routes answer many at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from fastapi import HTTPException, Request, Response
from numpy.typing import NDArray

from slipway.errors import NotFoundError, RequestError, unknown
from slipway.preprocess import Raw
from slipway.server import codec
from slipway.server.models import ServedModel
from slipway.server.v2 import MAX_BODY_BYTES, V2, Call, json_response

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
    return codec.from_base64(text.partition(";base64,")[2] or text, "image_base64")  # browsers' data: URLs, too


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
    """The plain routes over the models of the v2 ones."""

    def __init__(self, v2: V2) -> None:
        """`v2`: whose way of a request these take, too."""
        self._v2 = v2

    async def health(self, _request: Request) -> Response:
        """`ok` when every model is ready; 503 before, and once the server is stopping."""
        ready = self._v2.all_ready()
        return json_response({"status": "ok" if ready else "not ready"}, 200 if ready else 503)

    def route(self, path: str) -> Callable[[Request], Any]:
        """The handler of a route of PLAIN."""
        plain = PLAIN[path]

        async def predict(request: Request) -> Response:
            content_type = request.headers.get("content-type", "")
            return await self._v2.answered(
                request, Call(PROTOCOL), lambda: None, lambda call, body: self._answer(plain, call, body, content_type)
            )

        predict.__name__, predict.__doc__ = path.strip("/"), plain.about
        return predict

    def _answer(self, plain: Plain, call: Call, body: bytes, content_type: str) -> Response:
        """In a worker thread."""
        with call.timed("parse"):
            fields = fields_of(body, content_type)
            call.model = self._model(plain, fields)
            item = plain.item(fields)
        assert call.model.bundle is not None, "checked by _model"
        labels, probabilities_1K = call.model.predict([item], call.add)
        with call.timed("postprocess"):
            answer = plain.answer(call.model.bundle.labels, probabilities_1K[0])
            content = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
        self._v2.observe(call, labels, probabilities_1K)
        return Response(content, media_type="application/json")

    def _model(self, plain: Plain, fields: Fields) -> ServedModel:
        ready = {m.name: m.bundle.family for m in self._v2.models.values() if m.bundle is not None}
        fit = [name for family in plain.families for name, its in ready.items() if its == family]
        wanted = fields.get("model", fields.get("run_id", fit[0] if fit else ""))
        if wanted in fit:
            return self._v2.models[str(wanted)]
        if len(ready) < len(self._v2.models):
            raise HTTPException(503, "models are being loaded; ask /health")
        family = " or ".join(plain.families)
        if wanted:
            raise NotFoundError(unknown(f"model of family {family}", str(wanted)[:80], fit))
        raise NotFoundError(
            f"no model of family {family} is served; there are {', '.join(f'{n} ({f})' for n, f in ready.items())}"
        )


def fields_of(body: bytes, content_type: str) -> dict[str, str | bytes]:
    """Fields of a JSON object or of a multipart form: strings, and of a form's files their bytes.

    Raises: RequestError: neither of them, or a field that is no string.
    """
    if content_type.lower().startswith("multipart/form-data"):
        return _form(body, content_type)
    found = codec.json_object(body)
    for name, value in found.items():
        if value is not None and not isinstance(value, str):
            raise RequestError(f"{name[:80]}: must be a string")
    return {name: value for name, value in found.items() if value is not None}


def _form(body: bytes, content_type: str) -> dict[str, str | bytes]:
    from python_multipart import create_form_parser
    from python_multipart.exceptions import FormParserError

    found: dict[str, str | bytes] = {}

    def on_field(field: Any) -> None:
        found[_decoded(field.field_name)] = _decoded(field.value or b"")

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        found[_decoded(file.field_name)] = file.file_object.read()

    try:
        in_memory = {"MAX_MEMORY_FILE_SIZE": MAX_BODY_BYTES}  # the file system may be read-only
        parser = create_form_parser({"Content-Type": content_type.encode("latin-1")}, on_field, on_file, config=in_memory)
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as exc:
        raise RequestError(f"body: not the multipart/form-data that its content type says ({exc})") from exc
    return found


def _decoded(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
