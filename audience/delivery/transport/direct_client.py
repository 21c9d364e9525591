"""Client of aiohttp, for calls without a proxy.

Measured for messages of FCM, one call takes a quarter of the processor time that it takes with httpx.
"""

import asyncio
import ssl
from collections.abc import Callable

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

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

NOT_SENT_ERRORS = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)  # of names, connections and TLS
HEADERS = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, deflate"}


class DirectClient:
    """Client with one connection to *base_url*. *timeout* is in seconds."""

    def __init__(self, base_url: str, timeout: float, ssl_context: ssl.SSLContext):
        self._base_url, self._timeout = base_url, timeout
        self._connect_timeout = min(timeout, CONNECT_TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=1, keepalive_timeout=KEEPALIVE_SECONDS, ssl=ssl_context, resolver=aiohttp.ThreadedResolver()
            ),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout, sock_read=timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            skip_auto_headers=("Content-Type",),
            middlewares=(_call_once,),
        )

    async def fetch(self, request: Request) -> Response | None:
        """Make one call; see `Client.fetch`."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._connect_timeout + self._timeout) as deadline:
            body = _Body(request.content, lambda: deadline.reschedule(loop.time() + self._timeout))
            try:
                async with self._session.request(
                    request.method,
                    URL(make_url(self._base_url, request), encoded=True),
                    headers=request.headers,
                    data=body if request.content else None,
                    allow_redirects=False,
                ) as response:
                    return await _read_response(response)
            except NOT_SENT_ERRORS as error:
                raise NotSent(_describe_error(error)) from error
            except (aiohttp.ClientError, OSError) as error:
                raise NoReply(_describe_error(error)) from error

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()


async def _call_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Make a call; raise NoReply where aiohttp would repeat it, because it is a DELETE, PUT or GET."""
    try:
        return await handler(request)
    except NOT_SENT_ERRORS:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise NoReply(_describe_error(error)) from error


class _Body(aiohttp.Payload):
    """Content of a request, written piece by piece; *on_written* is called when the last one is."""

    def __init__(self, content: bytes, on_written: Callable[[], None]):
        super().__init__(content, content_type="application/octet-stream")  # which no request is sent with
        self._size = len(content)
        self._on_written = on_written

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        for start in range(0, len(self._value), CHUNK_BYTES):
            await writer.write(self._value[start : start + CHUNK_BYTES])
        self._on_written()


async def _read_response(response: aiohttp.ClientResponse) -> Response | None:
    """Return *response*, or None if it is too large."""
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > MAX_REPLY_BYTES:
            return None
    headers: dict[str, str] = {}
    for name, value in response.raw_headers:
        key, text = _decode_header(name).lower(), _decode_header(value)
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return Response(response.status, bytes(content), headers)


def _decode_header(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _describe_error(error: Exception) -> str:
    """Return what has happened. Texts of aiohttp that may have a URL are not repeated, because it may be signed."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return "there was no connection in time"
        case aiohttp.ClientConnectorCertificateError():
            return f"the certificate is not valid: {error.certificate_error}"
        case aiohttp.ClientConnectorError():
            return f"there is no connection: {error.os_error.strerror or error.os_error}"
        case aiohttp.SocketTimeoutError():
            return "nothing was received in time"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed without a response"
        case aiohttp.ClientPayloadError():
            return "the response is not complete, or cannot be decoded"
        case aiohttp.ClientResponseError():
            return "the response is not valid HTTP"
        case OSError():
            return f"the connection broke: {error.strerror or type(error).__name__}"
    return f"the call failed: {type(error).__name__}"
