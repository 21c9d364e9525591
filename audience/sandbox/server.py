"""HTTP server of the sandbox, on aiohttp, because faults need access to the connection itself.

https://docs.aiohttp.org/en/stable/web_reference.html
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import MultipartReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader

from audience.sandbox import control_api
from audience.sandbox.faults import Fault
from audience.sandbox.http_types import HttpCall, HttpReply
from audience.sandbox.router import Router
from audience.sandbox.vendor_state import HOST

MAX_BODY_BYTES = 128 * 1024 * 1024
MAX_LINE_BYTES = 8 * 1024 * 1024  # of a URL: EMAS takes a thousand ids in one
FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"


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
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, **sizes)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        on_ready(runner.addresses[0][1])
        await stop.wait()
    finally:
        await runner.cleanup()


async def _handle_request(router: Router, request: web.Request) -> web.StreamResponse:
    if request.path.startswith("/_sandbox"):
        status, body = control_api.handle_control_call(await _read_call(request), router)
        return web.json_response(body, status=status)
    vendor = router.vendor_for_path(request.path)
    if vendor is None:
        return web.json_response({"error": f"no vendor serves {request.path}"}, status=404)
    head = HttpCall(request.method, request.path, request.query, _lowercase_headers(request))
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
    return web.json_response(reply.body, status=reply.status)


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
    """Read the request to its end."""
    headers, body = _lowercase_headers(request), await request.read()
    kind = request.content_type
    form = {name: str(value) for name, value in (await request.post()).items()} if kind == FORM_CONTENT_TYPE else {}
    file = await _read_file_part(request, body) if kind == "multipart/form-data" else None
    return HttpCall(request.method, request.path, request.query, headers, body, form, file)


def _lowercase_headers(request: web.Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


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
    except ValueError:
        return None
    return None
