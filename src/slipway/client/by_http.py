"""Requests over HTTP, and each reason for no answer as an error."""

import ipaddress
import ssl
from collections.abc import Mapping
from typing import Any

import httpx
import orjson

import slipway
from slipway.client.retries import Deadline
from slipway.errors import ConfigError, NotFoundError, RequestError, ServerError, SlipwayError
from slipway.protocol import rest
from slipway.protocol.rest import InferAnswer, InferRequest

CONNECT_S = 5.0
"""More does not help: a host that drops packets is tried again sooner."""
RETRIED = (429, 502, 503, 504)
"""No room, a gateway that lost the server or has none, a deadline: of the gateway, since ours has time left."""


class TooLargeError(RequestError):
    """A request has more bytes than the server takes."""


class Http:
    """A server's routes; connections are kept and shared between threads."""

    def __init__(self, url: str, *, token: str) -> None:
        """Raises: ConfigError: not http://HOST[:PORT][/PREFIX], or https, or a token that cannot stand in a header."""
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as exc:
            raise ConfigError(f"url: '{url[:200]}' is none ({exc}); give http://HOST:PORT") from exc
        if parsed.userinfo:
            raise ConfigError(f"url: credentials do not belong in it; give {parsed.copy_with(userinfo=b'')} and a token")
        if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
            raise ConfigError(f"url: must be http://HOST:PORT, or https, and a prefix if there is one; got '{url[:200]}'")
        self.url = url.rstrip("/")
        self.secure = parsed.scheme == "https"
        self.here = _is_loopback(parsed.host)
        self._client = httpx.Client(
            base_url=url,
            headers={
                "User-Agent": f"slipway/{slipway.__version__}",
                "Accept-Encoding": "identity",  # tensors do not shrink by what their packing costs
                **({"Authorization": f"Bearer {header_value('token', token)}"} if token else {}),
            },
            trust_env=not self.here,  # proxies of the environment are for other machines: none leads back to this one
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, deadline: Deadline) -> dict[str, Any]:
        """JSON of a route. Raises: see `infer`."""
        _, content = self._send("GET", path, deadline)
        try:
            return rest.json_object(content)
        except RequestError as exc:
            raise self._no_protocol(exc) from exc

    def ready(self, deadline: Deadline) -> bool:
        """Whether it says so; not, when it says nothing."""
        try:
            self._send("GET", "/v2/health/ready", deadline)
        except SlipwayError:
            return False
        return True

    def infer(self, path: str, request: InferRequest, deadline: Deadline, *, binary: bool, request_id: str = "") -> InferAnswer:
        """The answer to a request.

        Args:
            binary: values of inputs stand behind the JSON.
        Raises:
            RequestError: the server refuses it; the line is its own. TooLargeError: for its size.
            NotFoundError: the server has no such model.
            ServerError: not reached, no room, failed.
        """
        body, json_length = rest.write_request(request, binary=binary)
        headers = {"Content-Type": "application/json" if json_length is None else "application/octet-stream"}
        if json_length is not None:
            headers[rest.HEADER] = str(json_length)
        if request_id:
            headers[rest.REQUEST_ID] = header_value("request_id", request_id)
        answered, content = self._send("POST", f"{path}/infer", deadline, content=body, headers=headers)
        try:
            return rest.read_answer(content, answered.get(rest.HEADER))
        except RequestError as exc:
            raise self._no_protocol(exc) from exc

    def _send(
        self, method: str, path: str, deadline: Deadline, *, content: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[httpx.Headers, bytes]:
        """Headers and body of an answer of status 200."""
        told = {**(headers or {}), rest.TIMEOUT: str(max(1, int(deadline.left_s * 1000)))}
        limits = {"timeout": _Left(deadline)}
        try:
            with self._client.stream(method, path, content=content, headers=told, extensions=limits) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if deadline.left_s < 0:
                        raise httpx.ReadTimeout("the answer comes too slowly")
        except httpx.TimeoutException as exc:
            what = "no connection" if isinstance(exc, httpx.ConnectTimeout | httpx.PoolTimeout) else "no answer in time"
            raise ServerError(f"{self.url}: {what}; is it busy or behind a firewall? A longer timeout_s waits longer") from exc
        except httpx.HTTPError as exc:
            cause = _first_cause(exc)
            reason = (getattr(cause, "strerror", None) or str(cause) or type(cause).__name__).strip()
            raise ServerError(
                f"{self.url}: cannot be reached ({reason}); is a server running there? `slipway serve` starts one",
                retryable=not isinstance(cause, ssl.SSLError),
            ) from exc
        if response.status_code != 200:
            raise self._failure(response, bytes(body))
        return response.headers, bytes(body)

    def _failure(self, response: httpx.Response, body: bytes) -> SlipwayError:
        status = response.status_code
        line = _own_line(body)
        said = f"{response.url}: answered {status}: {line or body[:200].decode(errors='replace').strip() or 'nothing'}"
        if status == 429 or status >= 500:
            after_s = response.headers.get("Retry-After", "")
            return ServerError(said, retryable=status in RETRIED, retry_after_s=float(after_s) if after_s.isdecimal() else 0.0)
        if 300 <= status < 400:
            return RequestError(f"{response.url}: leads to {response.headers.get('Location', 'nowhere')}; give that address")
        kind = {404: NotFoundError, 413: TooLargeError}.get(status, RequestError)
        return kind(line or said)

    def _no_protocol(self, exc: RequestError) -> ServerError:
        return ServerError(f"{self.url}: its answer is none of the v2 protocol ({exc}); is it a model server?", retryable=False)


def header_value(what: str, value: str) -> str:
    """The value itself. Raises: ConfigError: it cannot stand in a header."""
    if not (value.isascii() and value.isprintable()):
        raise ConfigError(f"{what}: must be printable ASCII; it has a line break or another such character")
    return value


class _Left(dict[str, float]):
    """Timeouts of one request as httpx asks for them, phase by phase: each gets what the phases before have left."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def get(self, phase: str, _default: Any = None) -> float:  # type: ignore[override]
        left_s = max(1e-3, self._deadline.left_s)
        return min(CONNECT_S, left_s) if phase == "connect" else left_s


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _first_cause(exc: BaseException) -> BaseException:
    """Of httpx's and httpcore's errors: theirs name the one before as cause or as argument."""
    while (before := exc.__cause__ or next(iter(exc.args), None)) is not None and isinstance(before, BaseException):
        exc = before
    return exc


def _own_line(body: bytes) -> str:
    """What our server, and others of the protocol, say of an error; empty where it is no such answer."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    line = found.get("error") if isinstance(found, dict) else None
    return " ".join(line.split()) if isinstance(line, str) else ""
