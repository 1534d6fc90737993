"""A client of a model server."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike, fspath
from types import TracebackType
from typing import Any, Self

from numpy.typing import ArrayLike, NDArray

from slipway.client.arrays import array_of, is_json, num_bytes, tensor_of
from slipway.client.many import ITEM, Entry, stream
from slipway.client.prediction import Answered, Classifier, Item, Prediction, Raw, batches, item_bytes
from slipway.client.retries import Deadline
from slipway.client.transport import Transport, Transports, path_of
from slipway.errors import ConfigError, DataError, NotFoundError, RequestError, ServerError
from slipway.predictions import inputs
from slipway.protocol.rest import InferAnswer, InferRequest


class Client:
    """Asks the models of one server. Threads may share it; connections are kept until it is closed.

    A model is called by its name, or `name:version`; without a version the server's newest answers. `timeout_s` of a method
    stands for that of the client; `request_id` is what the server's log calls the request.

    Every method but `ready` raises:
        RequestError: the server refuses the request; the line is its own.
        NotFoundError: it has no such model or version.
        ServerError: it cannot be reached, has no room, or fails; where trying again may help, that was done.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        timeout_s: float = 30.0,
        grpc: str = "",
        transport: Transport = "auto",
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """
        Args:
            url: http://HOST:PORT, or https, and a prefix if there is one. Proxies of the environment lead to other machines,
                none to this one.
            token: sent as bearer token; empty: none.
            timeout_s: of a request with all its tries, above 0 and at most 3600; the server is told, and gives up what nobody
                waits for.
            grpc: HOST:PORT of the server's gRPC, by TLS where the URL is https; empty: requests go over HTTP alone.
            transport: of inference: `json`, `binary`, `grpc`, or `auto`: by size, see `slipway.client.transport`.
            sleep: waits so many seconds between tries.
        Raises: ConfigError: one of them cannot be; the message names it.
        """
        self._transports = Transports(url, token=token, timeout_s=timeout_s, grpc=grpc, transport=transport, sleep=sleep)
        self._classifiers: dict[str, Classifier] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transports.close()

    def ready(self) -> bool:
        """Whether the server says that every model of its is ready; not, when it cannot be reached. Asks once."""
        return self._transports.ready()

    def models(self) -> list[str]:
        """Names of the served models, sorted."""
        found = self._transports.get("/v2/models")
        if "models" not in found:
            raise ServerError("/v2/models: answered no list of models; is it a model server of Slipway?", retryable=False)
        return list(found["models"])

    def metadata(self, model: str, *, timeout_s: float | None = None) -> dict[str, Any]:
        """What the protocol says of a model: inputs and outputs with their data types and shapes, its classes, its digest."""
        return self._transports.get(path_of(model), timeout_s)

    def predict(
        self, model: str, items: Iterable[Item], *, timeout_s: float | None = None, request_id: str = ""
    ) -> list[Prediction]:
        """A prediction an item, in their order; many items go in several requests, one after the other.

        Args:
            items: to a model of images: paths, encoded files as bytes, pixels as uint8 [H, W, 1 or 3]; to one of texts: texts,
                or files of a text each as `Path`.
        Raises: also DataError: a file cannot be read, or is nothing that the model takes. All errors name the item.
        """
        return self._predicted(model, items, timeout_s=timeout_s, request_id=request_id)

    def explain(
        self, model: str, items: Iterable[Item], *, timeout_s: float | None = None, request_id: str = ""
    ) -> list[Prediction]:
        """As `predict`, with the reasons: `heatmap` of images, `tokens` and `attributions` of texts. Takes two answers an item
        where the model's graph has a map, else tens.
        """
        return self._predicted(model, items, explained=True, timeout_s=timeout_s, request_id=request_id)

    def predict_folder(
        self, model: str, folder: str | PathLike[str], *, batch: int = 16, text_column: str = "", timeout_s: float | None = None
    ) -> Iterator[Answered]:
        """An answer an image, or a text of each table and .txt file, at any depth, in the order of their names.

        What cannot be read comes with its error, and the rest goes on. A few requests are in flight, and no more is held.

        Args:
            batch: items of a request, at least 1.
            text_column: of tables; empty takes the first usual name that is there.
            timeout_s: of each request.
        Raises: also DataError: no such folder, or nothing in it.
        """
        kind = self.classifier(model).input_name
        asked = inputs.find(kind, [fspath(folder)], text_column=text_column)
        return self.predict_items(model, asked.items, batch=batch, timeout_s=timeout_s)

    def predict_items(
        self, model: str, items: Iterable[inputs.Item], *, batch: int = 16, timeout_s: float | None = None
    ) -> Iterator[Answered]:
        """As `predict_folder`, of what `slipway.predictions.inputs` found."""
        if batch < 1:
            raise ConfigError(f"batch: must be at least 1, got {batch}")
        about = self.classifier(model)

        def ask(raws: Sequence[Raw]) -> list[Prediction]:
            return self._ask(model, about, raws, timeout_s=timeout_s)

        return stream(ask, _lenient(about, items), max_items=min(batch, about.max_items))

    def infer(
        self,
        model: str,
        tensors: Mapping[str, ArrayLike],
        *,
        outputs: Sequence[str] = (),
        timeout_s: float | None = None,
        request_id: str = "",
    ) -> dict[str, NDArray[Any]]:
        """Outputs by name, of any model.

        Args:
            tensors: inputs by name, of the data types and shapes in `metadata`; strings as arrays of str or bytes.
            outputs: names; empty: those that the model gives unasked.
        Returns: arrays of the outputs' own types; strings as objects: str, or bytes where they are no UTF-8.
        """
        sent = [tensor_of(name, value) for name, value in tensors.items()]
        way = self._transports.way(sum(map(num_bytes, sent)), is_json=all(map(is_json, sent)))
        request = InferRequest(inputs=sent, outputs=tuple(outputs), all_binary=way != "json")

        def read(answer: InferAnswer, _deadline: Deadline) -> dict[str, NDArray[Any]]:
            return {tensor.name: array_of(tensor) for tensor in answer.outputs}

        return self._transports.infer(way, model, request, read, timeout_s=timeout_s, request_id=request_id)

    def classifier(self, model: str, *, timeout_s: float | None = None) -> Classifier:
        """What a model takes, and its classes; asked once. Raises: also RequestError: it takes tensors of its own."""
        if model not in self._classifiers:
            self._classifiers[model] = Classifier.of(self.metadata(model, timeout_s=timeout_s))
        return self._classifiers[model]

    def _predicted(
        self,
        model: str,
        items: Iterable[Item],
        *,
        explained: bool = False,
        timeout_s: float | None,
        request_id: str,
    ) -> list[Prediction]:
        if isinstance(items, str | bytes):
            raise RequestError(f"items: must be a list, got one {type(items).__name__}; put it into brackets")
        about = self.classifier(model, timeout_s=timeout_s)
        found: list[Prediction] = []
        for batch in batches(_strict(about, items), about.max_explained_items if explained else about.max_items):
            raws = [raw for _, raw in batch if not isinstance(raw, DataError)]
            try:
                found += self._ask(model, about, raws, explained=explained, timeout_s=timeout_s, request_id=request_id)
            except RequestError as exc:
                if (named := ITEM.fullmatch(str(exc))) is None or int(named[1]) >= len(batch):
                    raise
                raise RequestError(f"{batch[int(named[1])][0]}: {named[2]}") from exc
        return found

    def _ask(
        self,
        model: str,
        about: Classifier,
        raws: Sequence[Raw],
        *,
        explained: bool = False,
        timeout_s: float | None,
        request_id: str = "",
    ) -> list[Prediction]:
        """Predictions of items that fit one request."""
        way = self._transports.way(sum(map(item_bytes, raws)))
        outputs = ("probabilities", "label", *about.reasons) if explained else ()
        tensor = about.tensor(raws, base64=way == "json")
        request = InferRequest(inputs=[tensor], outputs=outputs, all_binary=way != "json")

        def read(answer: InferAnswer, deadline: Deadline) -> list[Prediction]:
            return self._who_answered(model, about, answer.version, deadline).predictions(answer)

        return self._transports.infer(way, model, request, read, timeout_s=timeout_s, request_id=request_id)

    def _who_answered(self, model: str, expected: Classifier, version: str, deadline: Deadline) -> Classifier:
        """The model of an answer: while another version is rolled out, it may be one with other classes."""
        if version == expected.version:
            return expected
        name = f"{model.partition(':')[0]}:{version}"
        if name not in self._classifiers:
            try:
                found = self._transports.get_once(path_of(name), deadline)
            except NotFoundError as exc:  # asked of a server that is behind, or ahead
                raise ServerError(f"{name} answered, and its classes cannot be told: {exc}") from exc
            self._classifiers[name] = Classifier.of(found)
        self._classifiers[model] = self._classifiers[name]
        return self._classifiers[name]


def _strict(about: Classifier, items: Iterable[Item]) -> Iterator[Entry]:
    """Items by their path or position. Raises: DataError: one cannot be read."""
    for i, item in enumerate(items):
        source = fspath(item) if isinstance(item, PathLike) or (isinstance(item, str) and about.of_images) else f"item {i}"
        try:
            yield source, about.read(item)
        except DataError as exc:
            raise DataError(f"{source}: {exc}") from exc


def _lenient(about: Classifier, items: Iterable[inputs.Item]) -> Iterator[Entry]:
    """Items that were found, errors among them."""
    for item in items:
        try:
            yield item.source, item.content if isinstance(item.content, DataError) else about.read(item.content)
        except DataError as exc:
            yield item.source, exc
