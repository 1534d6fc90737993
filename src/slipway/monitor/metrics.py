"""The server's metrics: names, labels and buckets in one place. Every one listed here is observed by the server."""

from collections import Counter as Counts
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

DURATION_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds in seconds; objectives may only use one of these as their bound."""
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
PHASES = ("parse", "queue", "preprocess", "model", "explain", "postprocess")
"""parse: JSON to items · queue: waiting for a worker thread · preprocess: decode and resize, or tokenise · model: the
graph · explain: both, where reasons are asked for · postprocess: answer to JSON. They add up to the request's duration,
less what HTTP takes."""
PROTOCOLS = ("rest_v2", "grpc_v2", "rest_v1", "rest_plain")
"""Values of the `protocol` label; rest_plain: the routes for people."""
FAILURES = (500, 503, 504)
"""Statuses that count against the objective of errors."""
UNKNOWN = "unknown"
"""Value of the `model` label for requests to models that are not served: a client must not be able to add series."""


class Ready(Protocol):
    """What is told of a model that is ready."""

    name: str
    version: str
    digest: str
    family: str
    architecture: str
    variant: str


def _info(model: Ready) -> tuple[str, ...]:
    return model.name, model.version, model.digest, model.family, model.architecture, model.variant


class Metrics:
    """One server's metrics, on a registry of their own, so that several servers fit in a process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._series: dict[tuple[int, tuple[str, ...]], Any] = {}
        model = ("model", "version")
        self.requests = Counter(
            "inference_requests_total", "Requests answered", (*model, "protocol", "status"), registry=registry
        )
        self.duration = Histogram(
            "inference_request_duration_seconds",
            "From the request's first byte read to its answer",
            (*model, "protocol"),
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )
        self.phase = Histogram(
            "inference_phase_duration_seconds",
            "Parts of a request: " + ", ".join(PHASES),
            (*model, "phase"),
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )
        self.in_flight = Gauge("inference_in_flight", "Requests being worked on", model, registry=registry)
        self.queue_depth = Gauge("inference_queue_depth", "Requests accepted beyond one a thread", registry=registry)
        self.batch_size = Histogram(
            "inference_batch_size", "Items of a request", model, buckets=BATCH_BUCKETS, registry=registry
        )
        self.engine_batch_size = Histogram(
            "inference_engine_batch_size",
            "Items of a call of the engine, which requests share where that pays",
            model,
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.model_info = Gauge(
            "model_info",
            "1 for each model that is ready",
            (*model, "digest", "family", "architecture", "variant"),
            registry=registry,
        )
        self.classes = Counter("prediction_class_total", "Answers by class", (*model, "class"), registry=registry)
        self.confidence = Histogram(
            "prediction_confidence", "Largest probability of an answer", model, buckets=CONFIDENCE_BUCKETS, registry=registry
        )
        self.log_dropped = Counter(
            "prediction_log_dropped_total", "Items sampled for the prediction log and not written", registry=registry
        )
        # the names KServe's own server exposes, so that dashboards made for it show this one, too
        self.kserve = {
            phase: Histogram(f"request_{name}_seconds", f"{name} request latency", ("model_name",), registry=registry)
            for phase, name in (("preprocess", "preprocess"), ("model", "predict"), ("postprocess", "postprocess"))
        }

    def observe_ready(self, model: "Ready") -> None:
        """A model that answers from now on. It has failed nobody yet, and says so: Prometheus sees no increase in a series
        that begins above 0, and would miss the first failures.
        """
        self.model_info.labels(*_info(model)).set(1)
        for protocol in PROTOCOLS:
            for status in FAILURES:
                self.requests.labels(model.name, model.version, protocol, str(status))

    def observe_gone(self, model: "Ready") -> None:
        """A model that answers no more."""
        with suppress(KeyError):  # it never was ready
            self.model_info.remove(*_info(model))

    def observe_phase(self, model: str, version: str, phase: str, seconds: float) -> None:
        """One phase of one request; `phase` is one of PHASES."""
        self._of(self.phase, model, version, phase).observe(seconds)
        if phase in self.kserve:
            self._of(self.kserve[phase], model).observe(seconds)

    def observe_answers(self, model: str, version: str, labels: Sequence[str], confidences: Sequence[float]) -> None:
        """The answered class and its probability of each item of one request."""
        self._of(self.batch_size, model, version).observe(len(labels))
        for label, count in Counts(labels).items():
            self._of(self.classes, model, version, label).inc(count)
        confidence = self._of(self.confidence, model, version)
        for value in confidences:
            confidence.observe(value)

    def observe_request(self, model: str, version: str, protocol: str, status: int, seconds: float) -> None:
        """One answered request, refused ones included."""
        self._of(self.requests, model, version, protocol, str(status)).inc()
        self._of(self.duration, model, version, protocol).observe(seconds)

    def observe_batch(self, model: str, version: str, num_items: int) -> None:
        """One call of an engine."""
        self._of(self.engine_batch_size, model, version).observe(num_items)

    def in_flight_of(self, model: str, version: str) -> Gauge:
        """Requests being worked on."""
        return self._of(self.in_flight, model, version)

    def _of(self, metric: Any, *labels: str) -> Any:
        """The series of these labels; looking it up in the library costs as much as the observation."""
        key = (id(metric), labels)
        if key not in self._series:
            self._series[key] = metric.labels(*labels)
        return self._series[key]

    def exposition(self) -> bytes:
        """Prometheus text format."""
        return bytes(generate_latest(self.registry))
