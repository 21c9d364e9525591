"""The sandbox on a loopback port; aiohttp, since faults need a hand on the connection itself.

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
from audience.sandbox.http_types import Call, Reply
from audience.sandbox.router import Desks
from audience.sandbox.vendor_state import HOST

LARGEST = 128 * 1024 * 1024  # bytes of a body
LONGEST_LINE = 8 * 1024 * 1024  # bytes of a URL: EMAS takes a thousand ids in one
FORM = "application/x-www-form-urlencoded"


async def serve(desks: Desks, port: int, ready: Callable[[int], None], stop: asyncio.Event) -> None:
    """Answer on *port*, 0 for any; say which it is, and go on until *stop*. OSError where the port is taken."""
    app = web.Application(client_max_size=LARGEST)
    app.router.add_route("*", "/{path:.*}", partial(_handle, desks))
    sizes: dict[str, Any] = {"max_line_size": LONGEST_LINE, "max_field_size": LONGEST_LINE}
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, **sizes)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        ready(runner.addresses[0][1])
        await stop.wait()
    finally:
        await runner.cleanup()


async def _handle(desks: Desks, request: web.Request) -> web.StreamResponse:
    if request.path.startswith("/_sandbox"):
        status, body = control_api.answer(await _call(request), desks)
        return web.json_response(body, status=status)
    vendor = desks.vendor(request.path)
    if vendor is None:
        return web.json_response({"error": f"no vendor has {request.path}"}, status=404)
    head = Call(request.method, request.path, request.query, _headers(request))
    early = vendor != "emas" or "Action" in request.query or "x-acs-action" in request.headers
    picked = desks.pick(vendor, head) if early else []
    if _meets(picked, "close"):
        return _cut(desks, vendor, head, None, picked, request)
    call = await _call(request)
    picked = picked if early else desks.pick(vendor, call)
    await _wait(picked, "delay")
    if _meets(picked, "close"):
        return _cut(desks, vendor, call, None, picked, request)
    reply = desks.answer(vendor, call, picked)
    await _wait(picked, "late")
    if _meets(picked, "drop"):
        return _cut(desks, vendor, call, reply, picked, request)
    desks.write(vendor, call, reply, picked)
    return web.json_response(reply.body, status=reply.status)


def _cut(
    desks: Desks, vendor: str, call: Call, reply: Reply | None, picked: list[Fault], request: web.Request
) -> web.Response:
    """End the connection without an answer."""
    desks.write(vendor, call, reply, picked)
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # reaches nobody


def _meets(picked: list[Fault], kind: str) -> bool:
    return any(fault.kind == kind for fault in picked)


async def _wait(picked: list[Fault], kind: str) -> None:
    for fault in picked:
        if fault.kind == kind:
            await asyncio.sleep(float(fault.value or 0))


async def _call(request: web.Request) -> Call:
    """The request, read to its end."""
    headers, body = _headers(request), await request.read()
    kind = request.content_type
    form = {name: str(value) for name, value in (await request.post()).items()} if kind == FORM else {}
    file = await _file(request, body) if kind == "multipart/form-data" else None
    return Call(request.method, request.path, request.query, headers, body, form, file)


def _headers(request: web.Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


async def _file(request: web.Request, body: bytes) -> tuple[str, bytes] | None:
    """The part that is called file; the body has been read already, since a signature is over all of it."""
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), LARGEST, loop=loop)  # never too full for what is here
    stream.feed_data(body)
    stream.feed_eof()
    try:
        async for part in MultipartReader(request.headers, stream):
            if not isinstance(part, MultipartReader) and part is not None and part.name == "file":
                return part.filename or "", bytes(await part.read())
    except ValueError:
        return None
    return None
