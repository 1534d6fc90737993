"""Requests over gRPC, and each reason for no answer as an error."""

import re
from typing import Any

import grpc

from slipway.client.by_http import TooLargeError, header_value
from slipway.client.retries import Deadline
from slipway.errors import ConfigError, NotFoundError, RequestError, ServerError, SlipwayError
from slipway.protocol import grpc as codec
from slipway.protocol.messages import SERVICE, message
from slipway.protocol.rest import InferAnswer, InferRequest

OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),  # gRPC's own 2 minutes would outlast every timeout once a server is back
)
REFUSED = ("INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED", "FAILED_PRECONDITION", "OUT_OF_RANGE")
RETRIED = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")


class Grpc:
    """A server's service; the channel is shared between threads."""

    def __init__(self, address: str, *, token: str, secure: bool, here: bool) -> None:
        """
        Args:
            address: host:port.
            secure: by TLS.
            here: on this machine, to which no proxy leads.
        Raises: ConfigError: another form of address.
        """
        if not re.fullmatch(r"[^/\s]+:\d+", address):
            raise ConfigError(f"grpc: must be HOST:PORT, got '{address[:200]}'")
        self.address = address
        options = [*OPTIONS, ("grpc.enable_http_proxy", 0 if here else 1)]
        self._channel: Any = (
            grpc.secure_channel(address, grpc.ssl_channel_credentials(), options)
            if secure
            else grpc.insecure_channel(address, options)
        )
        self._infer = self._channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=message("ModelInferRequest").SerializeToString,
            response_deserializer=message("ModelInferResponse").FromString,
        )
        self._metadata = [("authorization", f"Bearer {token}")] if token else []

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def infer(
        self, model: str, version: str, request: InferRequest, deadline: Deadline, *, request_id: str = ""
    ) -> InferAnswer:
        """The answer to a request. Raises: see `Http.infer`."""
        metadata = [*self._metadata]
        if request_id:
            metadata.append(("x-request-id", header_value("request_id", request_id)))
        sent = codec.write_request(request, model=model, version=version)
        try:
            answer = self._infer(sent, timeout=max(1e-3, deadline.left_s), metadata=metadata)
        except grpc.RpcError as exc:
            raise self._failure(exc) from exc
        try:
            return codec.read_answer(answer)
        except RequestError as exc:
            raise ServerError(f"{self.address}: its answer is none of the v2 protocol ({exc})", retryable=False) from exc

    def _failure(self, exc: Any) -> SlipwayError:
        code, line = exc.code().name, " ".join((exc.details() or "").split())
        if code == "NOT_FOUND":
            return NotFoundError(line)
        if code == "RESOURCE_EXHAUSTED" and "larger than max" in line:  # gRPC's own words; the code also says: no room
            return TooLargeError(f"{self.address}: {line}; send fewer or smaller items")
        if code in REFUSED:
            return RequestError(line)
        after_s = dict(exc.trailing_metadata() or ()).get("retry-after", "")
        return ServerError(
            f"{self.address}: answered {code}: {line[:300]}; is the gRPC address right, and the server running?",
            retryable=code in RETRIED,
            retry_after_s=float(after_s) if str(after_s).isdecimal() else 0.0,
        )
