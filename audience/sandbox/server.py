"""HTTP server of the sandbox, on aiohttp, because faults need access to the connection itself.

https://docs.aiohttp.org/en/stable/web_reference.html
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import MultipartReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestPayloadError

from audience.errors import Problem
from audience.sandbox import control_api
from audience.sandbox.faults import Fault
from audience.sandbox.http_types import HttpCall, HttpReply
from audience.sandbox.request_guards import find_foreign_caller
from audience.sandbox.router import Router
from audience.sandbox.vendor_state import HOST

MAX_BODY_BYTES = 128 * 1024 * 1024  # of an uploaded file with its frame
MAX_TEXT_BYTES = 16 * 1024 * 1024  # of any other body, which is parsed as a whole
MAX_LINE_BYTES = 8 * 1024 * 1024  # of a URL: EMAS takes a thousand ids in one
FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"


class UnreadableRequest(Exception):
    """Request whose bytes are not what its headers say."""


async def serve(router: Router, port: int, on_ready: Callable[[int], None], stop: asyncio.Event) -> None:
    """Serve *router* on *port* until *stop* is set.

    Args:
        router: The emulated vendors.
        port: Port to listen on; 0 picks a free one.
        on_ready: Called with the port once the server listens.
        stop: Event that ends the server.

    Raises:
        OSError: The port is taken.
    """
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", "/{path:.*}", partial(_handle_request, router))
    sizes: dict[str, Any] = {"max_line_size": MAX_LINE_BYTES, "max_field_size": MAX_LINE_BYTES}
    logger = logging.getLogger("audience.sandbox")
    logger.addFilter(_is_our_failure)
    runner = web.AppRunner(app, access_log=None, logger=logger, shutdown_timeout=0.1, **sizes)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        on_ready(runner.addresses[0][1])
        await stop.wait()
    finally:
        await runner.cleanup()


def _is_our_failure(record: logging.LogRecord) -> bool:
    """Return whether a record of the server is not about a request that is no HTTP, or a caller that has gone."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | RequestPayloadError | ConnectionError)


async def _handle_request(router: Router, request: web.Request) -> web.StreamResponse:
    """Refuse what is from other sites or cannot be read, and answer the rest."""
    if problem := find_foreign_caller(_lowercase_headers(request)):
        return _problem_response(403, problem)
    try:
        if request.path.startswith("/_sandbox"):
            status, body = control_api.handle_control_call(await _read_call(request), router)
            return web.json_response(body, status=status)
        return await _handle_vendor_call(router, request)
    except web.HTTPRequestEntityTooLarge:
        return _problem_response(413, Problem("too-large", f"a body has at most {MAX_TEXT_BYTES:,} bytes"))
    except (UnreadableRequest, HttpProcessingError, RequestPayloadError) as error:
        return _problem_response(400, Problem("bad-request", f"the request cannot be read: {error}"))


def _problem_response(status: int, problem: Problem) -> web.Response:
    body = {"code": problem.code, "message": problem.message, "hint": problem.hint}
    return web.json_response({"problems": [body]}, status=status)


async def _handle_vendor_call(router: Router, request: web.Request) -> web.StreamResponse:
    """Let the vendor whose path it is answer, unless a fault does."""
    vendor = router.vendor_for_path(request.path)
    if vendor is None:
        return web.json_response({"error": f"no vendor serves {request.path}"}, status=404)
    head = HttpCall(request.method, request.path, _join_query(request), _lowercase_headers(request))
    early = bool(router.endpoints[vendor].endpoint_name(head))  # else only the body names it
    picked = router.pick_faults(vendor, head) if early else []
    if _has_fault(picked, "close"):
        return _abort_connection(router, vendor, head, None, picked, request)
    call = await _read_call(request)
    picked = picked if early else router.pick_faults(vendor, call)
    await _sleep_for_faults(picked, "delay")
    if _has_fault(picked, "close"):
        return _abort_connection(router, vendor, call, None, picked, request)
    reply = router.handle_call(vendor, call, picked)
    await _sleep_for_faults(picked, "late")
    if _has_fault(picked, "drop"):
        return _abort_connection(router, vendor, call, reply, picked, request)
    router.log_call(vendor, call, reply, picked)
    if not isinstance(reply.body, str):
        return web.json_response(reply.body, status=reply.status, headers=reply.headers)
    kind = "application/json" if reply.body else None
    return web.Response(text=reply.body or None, content_type=kind, status=reply.status, headers=reply.headers)


def _abort_connection(
    router: Router, vendor: str, call: HttpCall, reply: HttpReply | None, faults: list[Fault], request: web.Request
) -> web.Response:
    """Log the call and close the connection without a reply."""
    router.log_call(vendor, call, reply, faults)
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # not sent: the connection is gone


def _has_fault(faults: list[Fault], kind: str) -> bool:
    return any(fault.kind == kind for fault in faults)


async def _sleep_for_faults(faults: list[Fault], kind: str) -> None:
    for fault in faults:
        if fault.kind == kind:
            await asyncio.sleep(float(fault.value or 0))


async def _read_call(request: web.Request) -> HttpCall:
    """Read the request to its end.

    Raises:
        UnreadableRequest: Its form is not text.
        HTTPRequestEntityTooLarge: It has more bytes than a request needs.
    """
    headers, body = _lowercase_headers(request), await request.read()
    kind = request.content_type
    if len(body) > MAX_TEXT_BYTES and kind != "multipart/form-data":
        raise web.HTTPRequestEntityTooLarge(MAX_TEXT_BYTES, len(body))
    form = _parse_form(body) if kind == FORM_CONTENT_TYPE else {}
    file = await _read_file_part(request, body) if kind == "multipart/form-data" else None
    return HttpCall(request.method, request.path, _join_query(request), headers, body, form, file)


def _join_query(request: web.Request) -> dict[str, str]:
    """Return the parameters of the query, with commas between the values of one that is repeated."""
    return {name: ",".join(request.query.getall(name)) for name in request.query}


def _parse_form(body: bytes) -> dict[str, str]:
    """Return the fields of a form, which is UTF-8 whatever its head says."""
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except ValueError as error:
        raise UnreadableRequest(str(error)) from error


def _lowercase_headers(request: web.Request) -> dict[str, str]:
    """Return the headers; bytes that are not UTF-8 become replacement characters."""
    return {
        name.lower(): value.encode(errors="surrogateescape").decode(errors="replace")
        for name, value in request.headers.items()
    }


async def _read_file_part(request: web.Request, body: bytes) -> tuple[str, bytes] | None:
    """Return name and content of the part called `file`.

    The body was read before, because a signature covers all of it.
    """
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), MAX_BODY_BYTES, loop=loop)  # large enough for the whole body
    stream.feed_data(body)
    stream.feed_eof()
    try:
        async for part in MultipartReader(request.headers, stream):
            if not isinstance(part, MultipartReader) and part is not None and part.name == "file":
                return part.filename or "", bytes(await part.read())
    except (ValueError, LookupError, RuntimeError, AssertionError, HttpProcessingError):
        return None
    return None
