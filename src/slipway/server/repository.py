"""The models of a process: which there are, which version answers, loading and unloading while it serves."""

import logging
import re
from collections.abc import Callable, Iterable
from threading import Lock

from slipway.errors import ConfigError, NotFoundError, unknown
from slipway.server.models import Place, ServedModel, served_model
from slipway.server.refusal import Reason, RefusedError

log = logging.getLogger("slipway.server")
MAX_MODELS = 16
"""Loaded at the same time, versions of one model counted each: clients that load must not fill the memory."""
RELEASE = re.compile(r"models/([^/]+)/([0-9a-f]{64})/MANIFEST\.json")
"""Key of a complete release in a store."""


class Repository:
    """Models by name and version. Of several versions the one that became ready last answers who names none."""

    def __init__(
        self,
        models: Iterable[ServedModel],
        place: Place,
        *,
        store: str = "",
        on_ready: Callable[[ServedModel], object],
        on_gone: Callable[[ServedModel], object],
    ) -> None:
        """
        Args:
            models: to be loaded by `load_all`.
            store: URI of a store whose releases may be loaded by name, run or version; empty: none may.
            on_ready: told each model when it is.
            on_gone: told each that is unloaded.
        Raises: ConfigError: none, or two of one name and version.
        """
        self._models: list[ServedModel] = []
        self._place, self._store, self._on_ready, self._on_gone = place, store, on_ready, on_gone
        self._lock, self._loading = Lock(), Lock()
        for model in models:
            if any((m.name, m.version) == (model.name, model.version) for m in self._models):
                raise ConfigError(
                    f"models: '{model.name}' is there twice; give different names, or versions: NAME:VERSION=RELEASE"
                )
            self._models.append(model)
        if not self._models and not store:
            raise ConfigError("models: need at least one, or a store to load from")

    def load_all(self) -> None:
        """Load what was given at the start, one after the other. Raises: as `ServedModel.load`, for the first that fails."""
        for model in list(self._models):
            self._load(model)

    @property
    def loads(self) -> bool:
        """Whether models may be loaded and unloaded."""
        return bool(self._store)

    @property
    def ready(self) -> bool:
        """Whether every model is, those that failed to load later aside."""
        return all(model.ready for model in self._models)

    def models(self) -> list[ServedModel]:
        """All of them, in the order of their coming."""
        return list(self._models)

    def names(self) -> list[str]:
        """Of the models, sorted."""
        return sorted({model.name for model in self._models})

    def versions(self, name: str) -> list[str]:
        """Of a model, those that are ready, in the order of their coming."""
        return [model.version for model in self._models if model.name == name and model.ready]

    def find(self, name: str, version: str = "") -> ServedModel:
        """The model of a name, ready or not. Raises: NotFoundError: none of that name or version."""
        found = [model for model in self._models if model.name == name]
        if not found:
            raise NotFoundError(unknown("model", name[:80], self.names()))
        if version:
            fits = [model for model in found if version == model.version or not (model.ready or model.version)]
            if not fits:
                versions = [model.version for model in found if model.version]
                raise NotFoundError(unknown(f"version of model '{name}'", version[:80], versions))
            return fits[-1]
        return next((model for model in reversed(found) if model.ready), found[-1])

    def loaded(self, name: str, version: str = "") -> ServedModel:
        """The same, ready. Raises: NotFoundError; RefusedError: it is being loaded."""
        model = self.find(name, version)
        self.check_ready(model)
        return model

    def check_ready(self, model: ServedModel) -> None:
        """Raises: RefusedError: it is being loaded."""
        if not model.ready:
            raise RefusedError(
                Reason.NOT_READY, f"model '{model.name}' is being loaded; ask /v2/models/{model.name}/ready", retry_after_s=1
            )

    def index(self) -> list[dict[str, str]]:
        """Every model and version: loaded ones, and those of the store. state: READY, LOADING or UNAVAILABLE."""
        listed = [
            {
                "name": model.name,
                "version": model.version,
                "state": "READY" if model.ready else "UNAVAILABLE" if model.failed else "LOADING",
                "reason": model.failed,
            }
            for model in self._models
        ]
        here = {(model.name, model.digest) for model in self._models}
        return listed + [
            {"name": name, "version": digest[:12], "state": "UNAVAILABLE", "reason": "not loaded"}
            for name, digest in self._stored()
            if (name, digest) not in here
        ]

    def load(self, name: str, version: str = "") -> ServedModel:
        """Load a release of the store; blocks until it is ready, and only then answers who names no version. Idempotent.

        Args:
            version: the start of its digest; empty: the one registered last.
        Raises: NotFoundError: the store has no such model or version. RefusedError: loading is off, or there
            are MAX_MODELS. BundleError, StoreError: see `ServedModel.load`.
        """
        self._need_store()
        stored = self._stored()
        digests = [digest for its, digest in stored if its == name]
        if not digests:
            raise NotFoundError(unknown("model", name[:80], {*self.names(), *(its for its, _ in stored)}))
        fits = [digest for digest in digests if digest.startswith(version)]
        if not fits:
            raise NotFoundError(unknown(f"version of model '{name}'", version[:80], [digest[:12] for digest in digests]))
        return self._load_new(name, f"{self._store.rstrip('/')}/models/{name}/{fits[-1]}", fits[-1])

    def of_run(self, run_id: str) -> ServedModel:
        """The model that a run registered, loaded if it is not. Raises: as `load`."""
        from slipway.runs import record
        from slipway.store.uri import open_store

        self._need_store()
        results = record.read(open_store(self._store), run_id).get("register_model", {}).get("results", {})
        if not {"model", "uri"} <= set(results):
            raise NotFoundError(f"run '{run_id}': registered no model")
        return self._load_new(str(results["model"]), str(results["uri"]), str(results["uri"]).rstrip("/").rpartition("/")[2])

    def unload(self, name: str, version: str = "") -> None:
        """Forget a model; requests that it is answering are answered. Raises: NotFoundError; RefusedError: loading is off."""
        self._need_store()
        model = self.find(name, version)
        with self._lock:
            self._models = [m for m in self._models if m is not model]
        self._on_gone(model)
        log.info("model unloaded", extra={"model": name, "version": model.version})

    def _load_new(self, name: str, source: str, digest: str) -> ServedModel:
        with self._loading:
            for model in self._models:
                if model.name == name and model.digest == digest and model.ready:
                    return model
            if len(self._models) >= MAX_MODELS:
                raise RefusedError(Reason.OVERLOADED, f"{MAX_MODELS} models are loaded, no more may be; unload one")
            model = served_model(name, source if "://" in source else f"file://{source}")
            self._load(model)
            with self._lock:
                self._models = [*self._models, model]
            return model

    def _load(self, model: ServedModel) -> None:
        model.load(self._place)
        self._on_ready(model)

    def _stored(self) -> list[tuple[str, str]]:
        """(name, digest) of the store's releases, the newest last."""
        if not self.loads:
            return []
        from slipway.store.uri import open_store

        entries = open_store(self._store).entries("models")
        matches = map(RELEASE.fullmatch, sorted(entries, key=lambda key: entries[key].modified))
        return [(match[1], match[2]) for match in matches if match]

    def _need_store(self) -> None:
        if not self.loads:
            raise RefusedError(Reason.FORBIDDEN, "models: this server loads and unloads none; start it with --store URI")
