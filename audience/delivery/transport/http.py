"""One HTTP request, and what its reply means; where none comes back, whether it may have told anybody."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httpx

from audience.errors import Problem
from audience.vendors.delivery_spec import InDoubt, Request, Response, Retryable, VendorReply
from audience.vendors.error_codes import parse_retry_after

MAX_REPLY_BYTES = 4 << 20  # bytes of a reply: the longest ones name a thousand ids
CHUNK_BYTES = 1 << 16
NOT_SENT_ERRORS = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)  # no byte has left for the vendor

Transport = httpx.AsyncBaseTransport
ReplyParser: TypeAlias = Callable[[Response], VendorReply]
PostRequest: TypeAlias = Callable[[Request, ReplyParser], Awaitable[VendorReply]]


@asynccontextmanager
async def open_client(
    base_url: str, timeout: float, max_connections: int, transport: Transport | None = None
) -> AsyncIterator[PostRequest]:
    """A function that sends a request to *host* and says what its reply means, over at most so many *connections*.

    Its reply is InDoubt where none came back within *timeout* seconds, and Again where nothing was sent. A proxy of
    the environment is used, but never to this machine.
    """
    limits = httpx.Limits(
        max_connections=max_connections, max_keepalive_connections=max_connections, keepalive_expiry=4
    )
    async with httpx.AsyncClient(
        base_url=base_url,
        timeout=httpx.Timeout(timeout, connect=min(timeout, 10), pool=None),
        limits=limits,
        transport=transport,
        trust_env=not is_loopback(base_url),
        verify=base_url.startswith("https:"),
        headers={"user-agent": "audience"},
    ) as client:
        yield partial(_post_request, client, timeout)


async def _post_request(
    client: httpx.AsyncClient, timeout: float, request: Request, parse_reply: ReplyParser
) -> VendorReply:
    host = client.base_url.host
    try:
        said = await _fetch_response(client, timeout, request)
    except NOT_SENT_ERRORS as error:
        return Retryable(Problem("unreachable", f"{host}: {_describe_error(error)}"))
    except TimeoutError:
        return InDoubt(Problem("no-reply", f"{host}: the reply was not whole after {timeout:g} seconds"))
    except httpx.HTTPError as error:
        return InDoubt(Problem("no-reply", f"{host}: {_describe_error(error)}"))
    if said is None:
        return InDoubt(
            Problem("unreadable-reply", f"{host}: the reply is too large: more than {MAX_REPLY_BYTES:,} bytes")
        )
    try:
        reply = parse_reply(said)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        return InDoubt(Problem("unreadable-reply", f"HTTP {said.status}: {type(error).__name__}: {error}"))
    if isinstance(reply, Retryable) and reply.retry_after is None:
        return replace(reply, retry_after=parse_retry_after(said))
    return reply


async def _fetch_response(client: httpx.AsyncClient, timeout: float, request: Request) -> Response | None:
    """What comes back, whole within *timeout* seconds after the request has left; None for what is too large."""
    async with asyncio.timeout(None) as limit:

        async def on_trace_event(event: str, _: Any) -> None:
            if event.endswith("send_request_headers.started"):  # behind a proxy, after those to the proxy itself
                limit.reschedule(None)
            elif event.endswith("send_request_body.complete"):
                limit.reschedule(asyncio.get_running_loop().time() + timeout)

        async with client.stream(
            request.method,
            request.path,
            params=dict(request.query) or None,
            headers=dict(request.headers),
            content=request.content or None,
            extensions={"trace": on_trace_event},
        ) as said:
            content = bytearray()
            async for piece in said.aiter_bytes(CHUNK_BYTES):
                content += piece
                if len(content) > MAX_REPLY_BYTES:
                    return None
            headers = {name.lower(): value for name, value in said.headers.items()}
            return Response(said.status_code, bytes(content), headers)


def is_loopback(url: str) -> bool:
    """Whether the URL *host* is of this machine.

    >>> [is_loopback(f"http://{name}") for name in ("localhost:80", "127.0.0.9", "[::1]:1", "10.0.0.1", "a.b")]
    [True, True, True, False, False]
    """
    name = urlsplit(url).hostname or ""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _describe_error(error: httpx.HTTPError) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
