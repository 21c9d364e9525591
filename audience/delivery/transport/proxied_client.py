"""Client of httpx, for calls through a proxy: it takes every kind of proxy, and reads NO_PROXY as other programs do.

Tests give it a transport that answers in memory.
"""

import asyncio
import ssl
from typing import Any

import httpx

from audience.delivery.transport.clients import (
    CHUNK_BYTES,
    CONNECT_TIMEOUT_SECONDS,
    KEEPALIVE_SECONDS,
    MAX_REPLY_BYTES,
    USER_AGENT,
    NoReply,
    NotSent,
    make_url,
)
from audience.vendors.delivery_spec import Request, Response

NOT_SENT_ERRORS = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)  # no byte has left for the vendor


class ProxiedClient:
    """Client with one connection to *base_url*, through the proxy of the environment if *trust_env*, or *transport*.

    *timeout* is in seconds.
    """

    def __init__(
        self,
        base_url: str,
        timeout: float,
        ssl_context: ssl.SSLContext,
        trust_env: bool,
        transport: httpx.AsyncBaseTransport | None = None,
    ):
        self._base_url, self._timeout = base_url, timeout
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT_SECONDS), pool=None),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_SECONDS),
            transport=transport,
            trust_env=trust_env,
            verify=ssl_context,
            headers={"user-agent": USER_AGENT},
        )

    async def fetch(self, request: Request) -> Response | None:
        """Make one call; see `Client.fetch`."""
        try:
            async with asyncio.timeout(None) as deadline:
                return await self._stream(request, deadline)
        except NOT_SENT_ERRORS as error:
            raise NotSent(_describe_error(error)) from error
        except httpx.HTTPError as error:
            raise NoReply(_describe_error(error)) from error

    async def _stream(self, request: Request, deadline: asyncio.Timeout) -> Response | None:
        async def on_trace_event(event: str, _: Any) -> None:
            if event.endswith("send_request_headers.started"):  # behind a proxy, after those to the proxy itself
                deadline.reschedule(None)
            elif event.endswith("send_request_body.complete"):
                deadline.reschedule(asyncio.get_running_loop().time() + self._timeout)

        async with self._client.stream(
            request.method,
            make_url(self._base_url, request),
            headers=dict(request.headers),
            content=request.content or None,
            extensions={"trace": on_trace_event},
        ) as stream:
            content = bytearray()
            async for chunk in stream.aiter_bytes(CHUNK_BYTES):
                content += chunk
                if len(content) > MAX_REPLY_BYTES:
                    return None
            headers = {name.lower(): value for name, value in stream.headers.items()}
            return Response(stream.status_code, bytes(content), headers)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()


def _describe_error(error: httpx.HTTPError) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
