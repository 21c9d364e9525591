"""Service as an ASGI application: routes, and the way of a call from its headers to its answer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import orjson
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audience.errors import ExpressionError, Problem
from audience.requests.audit import acting_for
from audience.server.access import Access
from audience.server.bodies import ExprBody
from audience.server.calls import Answer, Call, Endpoint, Stream
from audience.server.endpoints import list_endpoints
from audience.server.guards import (
    BODY_BYTES_KEY,
    CALLER_KEY,
    ENDPOINT_KEY,
    HEADERS_KEY,
    SAFE_HEADERS,
    STATUS_KEY,
    Guards,
)
from audience.server.indexes import ServedIndexes
from audience.server.json_body import parse_body, parse_query
from audience.server.keys import KeyRing
from audience.server.media_types import JSON_MEDIA_TYPE, choose_media_type, require_json_body
from audience.server.metrics import Metrics
from audience.server.pool import CallPool
from audience.server.problems import HttpError, add_place
from audience.server.settings import ServeSettings
from audience.server.streaming import StreamSlots, send_stream

STATIC_FOLDER = Path(__file__).parent / "static"
MAX_LOOP_BYTES = 1 << 16  # of a body that is parsed without a thread
PAGE_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
]
HeaderPairs: TypeAlias = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Service:
    """State that all endpoints share."""

    settings: ServeSettings
    served: ServedIndexes
    access: Access
    light_pool: CallPool
    heavy_pool: CallPool
    streams: StreamSlots
    metrics: Metrics


def create_app(settings: ServeSettings, served: ServedIndexes, metrics: Metrics | None = None) -> ASGIApp:
    """Return the service as an ASGI application.

    Args:
        settings: Settings of the service.
        served: Its indexes.
        metrics: Counters; new ones by default.
    """
    counters = metrics or Metrics()
    keys = None if settings.keys is None else KeyRing(settings.keys)
    service = Service(
        settings=settings,
        served=served,
        access=Access(keys, settings.local_scopes),
        light_pool=CallPool(settings, "audience-light"),
        heavy_pool=CallPool(settings, "audience-heavy"),
        streams=StreamSlots(settings),
        metrics=counters,
    )
    endpoints = list_endpoints(counters, needs_keys=keys is not None)
    routes: list[BaseRoute] = [
        Route(_to_route_path(path), PathApp(service, [each for each in endpoints if each.path == path]))
        for path in dict.fromkeys(each.path for each in endpoints)
    ]
    if STATIC_FOLDER.is_dir():
        routes.append(Mount("/", PageApp(STATIC_FOLDER)))
    router = Router(routes, redirect_slashes=False, default=_refuse_path, lifespan=partial(_run_background, service))
    return Guards(router, settings, counters)


@asynccontextmanager
async def _run_background(service: Service, _: Any) -> AsyncIterator[None]:
    """Watch the indexes and the keys for as long as the application runs."""
    keys = service.access.keys
    service.served.watch(*([] if keys is None else [keys.refresh]))
    try:
        yield
    finally:
        await asyncio.to_thread(service.served.close)
        service.light_pool.close()
        service.heavy_pool.close()
        service.streams.close()


class PathApp:
    """ASGI application that answers the calls of one path."""

    def __init__(self, service: Service, endpoints: Sequence[Endpoint]):
        self.service = service
        self.path = endpoints[0].path
        self.endpoints: dict[str, Endpoint] = {endpoint.method: endpoint for endpoint in endpoints}
        if "GET" in self.endpoints:
            self.endpoints["HEAD"] = self.endpoints["GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        scope[ENDPOINT_KEY] = self.path
        endpoint = self.endpoints.get(scope["method"])
        if endpoint is None:
            raise wrong_method_error(scope["method"], self.endpoints)
        started = perf_counter()
        call = await self._read_call(endpoint, scope, receive)
        run = partial(_answer_call, endpoint, call)
        pool = self.service.light_pool if endpoint.is_light else self.service.heavy_pool
        reply = await pool.run(run, _quick_key(endpoint, call))
        if isinstance(reply, Stream):
            await send_stream(reply, self.service.streams, scope, receive, send)
            return
        seconds = perf_counter() - started
        headers: HeaderPairs = [*reply.headers, (b"server-timing", b"total;dur=%.2f" % (seconds * 1000))]
        scope[STATUS_KEY] = reply.status
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _read_call(self, endpoint: Endpoint, scope: Scope, receive: Receive) -> Call:
        """Return the call of a request, or raise HttpError for the first thing that is wrong with it."""
        service, headers = self.service, scope[HEADERS_KEY]
        caller = service.access.authorize(headers, endpoint.scope)
        scope[CALLER_KEY] = caller.name
        if endpoint.media_types == (JSON_MEDIA_TYPE,):
            choose_media_type(headers.get(b"accept", b"*/*").decode("latin-1"), endpoint.media_types)
        query = parse_query(scope["query_string"], endpoint.query)
        body = None
        if endpoint.body is not None:
            require_json_body(headers)
            data = await read_body(headers, receive, service.settings.max_body_bytes)
            scope[BODY_BYTES_KEY] = len(data)
            parse: Callable[[], BaseModel] = partial(parse_body, data, endpoint.body)
            body = parse() if len(data) <= MAX_LOOP_BYTES else await service.heavy_pool.run(parse)
        return Call(
            settings=service.settings,
            indexes=service.served.current,
            caller=caller,
            path=scope["path_params"],
            headers=Headers(raw=scope["headers"]),
            query=query,
            body=body,
            served=service.served,
        )


class PageApp:
    """ASGI application that sends the files of the page, with headers that confine what the page may do."""

    def __init__(self, folder: Path):
        self.app = GZipMiddleware(StaticFiles(directory=folder, html=True))
        self.paths = {"/", *(f"/{file.relative_to(folder).as_posix()}" for file in folder.rglob("*") if file.is_file())}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["path"] not in self.paths:
            raise HTTPException(404)
        scope[ENDPOINT_KEY] = "page"
        if scope["method"] not in ("GET", "HEAD"):
            raise wrong_method_error(scope["method"], ("GET", "HEAD"))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope[STATUS_KEY] = message["status"]
                message["headers"] = [*message["headers"], *PAGE_HEADERS]
            await send(message)

        await self.app(scope, receive, send_with_headers)


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer as it is sent."""

    status: int
    headers: HeaderPairs
    body: bytes


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, max_bytes: int) -> bytes:
    """Return the body of a request.

    Raises:
        HttpError: It is larger than *max_bytes*, or the caller hung up.
    """
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length[:20]) > max_bytes:
        raise _too_large_error(max_bytes)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HttpError(400, Problem("hung-up", "the caller has hung up"))
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise _too_large_error(max_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks) if len(chunks) > 1 else chunk


def wrong_method_error(method: str, allowed: Mapping[str, Any] | Sequence[str]) -> HttpError:
    """Return the error of a method that a path does not have."""
    names = ", ".join(sorted(allowed))
    problem = Problem("wrong-method", f"{method} is not a method of this path", hint=f"it has {names}")
    return HttpError(405, problem, headers={"Allow": names})


def _answer_call(endpoint: Endpoint, call: Call) -> Reply | Stream:
    """Return the answer of the handler as it is sent."""
    try:
        with acting_for(call.caller.name):
            answer = endpoint.handler(call)
    except ExpressionError as error:
        raise add_place(error, "body.expr") if isinstance(call.body, ExprBody) else error from None
    if isinstance(answer, Stream):
        return answer
    status, form, extra = (
        (answer.status, answer.form, answer.headers) if isinstance(answer, Answer) else (200, answer, {})
    )
    body = form if isinstance(form, bytes) else b"" if status == HTTPStatus.NO_CONTENT else orjson.dumps(form)
    headers: HeaderPairs = [
        (b"content-type", endpoint.media_types[0].encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *SAFE_HEADERS,
    ]
    headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in extra.items()]
    return Reply(status, headers, body)


def _quick_key(endpoint: Endpoint, call: Call) -> Hashable:
    """Return what the time of an answer depends on; None if it always takes a thread."""
    name = call.path.get("index", "")
    if call.body is None or name not in call.indexes:
        return None
    key = call.body.quick_key()
    return None if key is None else (endpoint.path, name, call.indexes[name].snapshot.manifest.number, key)


async def _refuse_path(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a path that no endpoint has."""
    raise HTTPException(404)


def _to_route_path(path: str) -> str:
    """Return the path for the router: the name of a segment or an attribute at its end may have slashes."""
    return f"{path[:-1]}:path}}" if path.endswith("}") and "{index}/" in path else path


def _too_large_error(max_bytes: int) -> HttpError:
    message = f"the body is larger than {max_bytes:,} bytes"
    return HttpError(413, Problem("too-large", message, hint="send it in several calls"))
