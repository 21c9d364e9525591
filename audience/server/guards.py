"""Guards around all endpoints: which host and origin a call names, headers of every answer, and errors as JSON."""

import ipaddress
import logging
import traceback
from collections.abc import Mapping
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from audience.activity_log import log_activity
from audience.errors import AudienceError, Problem
from audience.server.metrics import Metrics
from audience.server.problems import (
    INTERNAL_PROBLEM,
    PROBLEM_MEDIA_TYPE,
    HttpError,
    error_json,
    find_headers,
    find_status,
)
from audience.server.settings import ServeSettings

HEADERS_KEY, ENDPOINT_KEY = "audience.headers", "audience.endpoint"  # of the scope of a request
STATUS_KEY = "audience.status"  # once its answer has begun
CALLER_KEY, BODY_BYTES_KEY = "audience.caller", "audience.body_bytes"  # once they are known
METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])  # another one may be any text
LOOPBACK_NAMES = frozenset(["localhost", "127.0.0.1", "[::1]"])
SINGLE_HEADERS = (b"host", b"authorization", b"content-type", b"content-length", b"origin", b"if-match")
SAFE_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
logger = logging.getLogger("audience.server")


class Guards:
    """ASGI application around another one: it refuses foreign hosts and origins, and answers errors."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics):
        self.app = app
        self.hosts = HostCheck(settings)
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        started = perf_counter()
        try:
            headers = scope[HEADERS_KEY] = read_headers(scope["headers"])
            self.hosts.check(headers, scope)
            await self.app(scope, receive, send)
        except AudienceError as error:
            await _send_error(find_status(error), error.problems, find_headers(error), scope, send)
        except HTTPException as error:
            problem = _http_problem(error.status_code, scope["path"])
            await _send_error(error.status_code, (problem,), dict(error.headers or {}), scope, send)
        except Exception as error:  # noqa: BLE001 whatever it is, the caller gets a worded answer
            log_failure(error)
            await _send_error(500, (INTERNAL_PROBLEM,), {}, scope, send)
        finally:
            endpoint, status = scope.get(ENDPOINT_KEY, "other"), scope.get(STATUS_KEY, 0)
            seconds = perf_counter() - started
            self.metrics.observe(endpoint, scope["method"], status, seconds)
            log_activity(
                "call",
                method=scope["method"] if scope["method"] in METHODS else "other",
                path=endpoint,
                status=status,
                ms=round(seconds * 1000, 2),
                key=scope.get(CALLER_KEY),
                bytes=scope.get(BODY_BYTES_KEY),
            )


class HostCheck:
    """Check of the `Host` and the origin of a call, against DNS rebinding and calls from pages of other sites."""

    def __init__(self, settings: ServeSettings):
        self._names = {*LOOPBACK_NAMES, _bracket(settings.host).lower()}
        self._names |= {name.lower() for name in settings.allowed_hosts}
        self._takes_addresses = not is_loopback(settings.host)
        self._known: set[bytes] = set()

    def check(self, headers: Mapping[bytes, bytes], scope: Scope) -> None:
        """Raise HttpError for a foreign host or origin."""
        host = headers.get(b"host", b"")
        if host not in self._known:
            self._check_host(host)
            self._known = {*self._known, host} if len(self._known) < 100 else {host}
        if b"origin" in headers:
            _check_origin(headers[b"origin"], host)
        site = headers.get(b"sec-fetch-site", b"none")
        if site in (b"cross-site", b"same-site") and not _is_visit(headers, scope):
            raise _cross_origin_error("another site")

    def _check_host(self, host: bytes) -> None:
        name = read_host_name(host)
        if name in self._names or (self._takes_addresses and _is_address(name)):
            return
        message = f"this service does not answer for the host {host.decode('latin-1')!r:.80}"
        hint = "start it with --allow-host NAME if that is its name"
        raise HttpError(421 if host else 400, Problem("wrong-host", message, hint=hint))


def read_headers(pairs: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers by name in lower case. Raises HttpError if one that must stand alone is given twice."""
    headers = dict(pairs)
    if len(headers) < len(pairs):
        names = [name for name, _ in pairs]
        for name in SINGLE_HEADERS:
            if names.count(name) > 1:
                raise HttpError(400, Problem("same-header", f"the header {name.decode()} is given twice"))
        if names.count(b"accept") > 1:
            headers[b"accept"] = b", ".join(value for name, value in pairs if name == b"accept")
    return headers


def read_host_name(host: bytes) -> str:
    """Return the name in a `Host` header, in lower case and without the port; an empty text if it is invalid.

    >>> read_host_name(b"LOCALHOST:8780"), read_host_name(b"[::1]:8780"), read_host_name(b"a@b")
    ('localhost', '[::1]', '')
    """
    text = host.decode("latin-1").lower()
    name, separator, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not separator:
        name = text
    elif not (port.isascii() and port.isdecimal()):
        return ""
    inner = name.removeprefix("[").removesuffix("]") if name.startswith("[") else name
    valid = all(each.isascii() and (each.isalnum() or each in "-._:") for each in inner)
    return name.removesuffix(".") if inner and valid and (":" not in inner or name.startswith("[")) else ""


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a service that listens at *host*.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def log_failure(error: BaseException) -> None:
    """Log where an unexpected error was raised, without its message, which may have ids in it."""
    frames = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
    logger.error("a call has failed: %s\n%s", type(error).__name__, frames.rstrip())


async def _send_error(
    status: int, problems: tuple[Problem, ...], headers: Mapping[str, str], scope: Scope, send: Send
) -> None:
    """Send an error, unless the answer was begun: raising then cuts it, which the caller notices."""
    if STATUS_KEY in scope:
        raise CutAnswerError
    body = orjson.dumps(error_json(status, problems))
    fields: list[Any] = [
        (b"content-type", PROBLEM_MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *((name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()),
        *SAFE_HEADERS,
    ]
    scope[STATUS_KEY] = status
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


class CutAnswerError(Exception):
    """Answer that failed after it was begun; the server closes the connection in the middle of it."""


def _http_problem(status: int, path: str) -> Problem:
    """Return the problem of an error of the router or of the static files."""
    if status == 404:
        return Problem("unknown-path", f"there is nothing at {path!r:.80}", hint="GET /openapi.json lists all paths")
    hint = "GET /openapi.json lists all paths with their methods"
    return Problem("bad-request", f"the call of {path!r:.80} was refused with the status {status}", hint=hint)


def _check_origin(origin: bytes, host: bytes) -> None:
    """Raise HttpError unless the page that makes the call comes from this service."""
    try:
        parts = urlsplit(origin.decode("latin-1").lower())
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        raise _cross_origin_error(origin.decode("latin-1")) from None
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    spellings = {f"{name}:{port}"} | ({f"{name}"} if port in (80, 443) else set())
    if parts.scheme not in ("http", "https") or host.decode("latin-1").lower() not in spellings:
        raise _cross_origin_error(origin.decode("latin-1"))


def _is_visit(headers: Mapping[bytes, bytes], scope: Scope) -> bool:
    """Return whether somebody follows a link to the page of this service."""
    is_navigation = headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
    return is_navigation and scope["method"] in ("GET", "HEAD") and not scope["path"].startswith("/v1")


def _cross_origin_error(origin: str) -> HttpError:
    hint = "call the service from its own page, or without a browser"
    return HttpError(403, Problem("cross-origin", f"a page of {origin!r:.80} may not call this service", hint=hint))


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
