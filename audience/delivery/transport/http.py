"""HTTP calls to a vendor. Without a reply, the result distinguishes calls that were not sent from calls in doubt."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from audience.delivery.clock import SYSTEM_CLOCK, Clock
from audience.delivery.transport.access import AccessTokenPool
from audience.delivery.transport.environment import find_certificate_problems, find_proxy_problems
from audience.delivery.transport.redaction import ReplyParser, redact_secrets
from audience.errors import DeliveryError, Problem
from audience.vendors.delivery_spec import (
    Credentials,
    DeliverySpec,
    Fatal,
    InDoubt,
    Request,
    Response,
    Retryable,
    SigningContext,
    VendorReply,
)
from audience.vendors.error_codes import parse_retry_after
from audience.vendors.reply_checks import doubt_unbelievable

MAX_REPLY_BYTES = 4 << 20  # the longest replies list a thousand ids
CHUNK_BYTES = 1 << 16
CONNECT_TIMEOUT_SECONDS = 10
KEEPALIVE_SECONDS = 4
NOT_SENT_ERRORS = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)  # no byte has left for the vendor

HttpxTransport: TypeAlias = httpx.AsyncBaseTransport


class ClientPool:
    """Clients of one connection each, at most *max_connections*, opened when they are needed.

    A pool of httpx looks through all of its connections for each request, which takes longer than the call if there
    are hundreds. Here a call takes the client that was free last, whose connection is the least likely to be closed.
    """

    def __init__(self, open_client: Callable[[], httpx.AsyncClient], max_connections: int):
        self._open_client = open_client
        self._clients: list[httpx.AsyncClient] = []
        self._free: list[httpx.AsyncClient] = []
        self._places = asyncio.Semaphore(max_connections)

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[httpx.AsyncClient]:
        """Wait for a free client, and lend it for one exchange."""
        async with self._places:
            client = self._free.pop() if self._free else self._add_client()
            try:
                yield client
            finally:
                self._free.append(client)

    def _add_client(self) -> httpx.AsyncClient:
        client = self._open_client()
        self._clients.append(client)
        return client

    async def close(self) -> None:
        """Close all connections."""
        async with AsyncExitStack() as stack:
            for client in self._clients:
                stack.push_async_callback(client.aclose)


@dataclass(frozen=True, slots=True)
class Transport:
    """HTTP client of one application at a vendor. *timeout* is in seconds, *clock* dates signatures."""

    clients: ClientPool
    delivery: DeliverySpec
    credentials: Credentials
    timeout: float
    clock: Clock = SYSTEM_CLOCK
    tokens: AccessTokenPool = field(default_factory=AccessTokenPool)

    async def post(self, request: Request, parse_reply: ReplyParser) -> VendorReply:
        """Sign *request*, send it, and return what *parse_reply* makes of the response, without secrets.

        Returns:
            `Retryable` if nothing was sent; `InDoubt` if no complete, readable response came back in time.
        """
        if (failure := await self.authorize()) is not None:
            return failure
        token, source = self.tokens.current, self.delivery.access_tokens
        context = SigningContext(self._read_time(), uuid4().hex, token)

        def parse(response: Response) -> VendorReply:
            if source is not None and source.is_refused(response):
                self.tokens.discard(token)
            return parse_reply(response)

        return await self._exchange(self.delivery.sign(request, self.credentials, context), parse)

    async def authorize(self) -> VendorReply | None:
        """Draw an access token if calls need one and none is valid; return why there is none, or None.

        What it returns is never InDoubt: without a token nothing is sent.
        """
        source = self.delivery.access_tokens
        if source is None:
            return None

        async def draw(parse: ReplyParser) -> VendorReply:
            try:
                request = source.build_request(self.credentials, self._read_time())
            except DeliveryError as error:  # a key that cannot sign
                return Fatal(error.problems[0])
            return await self._exchange(request, parse)

        return await self.tokens.refresh(source, draw, self.clock.boot)

    def _read_time(self) -> datetime:
        return datetime.fromtimestamp(self.clock.wall(), UTC)

    async def _exchange(self, signed: Request, parse_reply: ReplyParser) -> VendorReply:
        parse_redacted = redact_secrets(parse_reply, signed, self.credentials, self.delivery)
        host = urlsplit(signed.path).hostname or urlsplit(self.credentials.base_url).hostname
        try:
            async with self.clients.borrow() as client:
                response = await _fetch_response(client, self.timeout, signed)
        except NOT_SENT_ERRORS as error:
            return Retryable(Problem("unreachable", f"{host}: {_describe_error(error)}"))
        except TimeoutError:
            return InDoubt(Problem("no-reply", f"{host}: no complete reply within {self.timeout:g} seconds"))
        except httpx.HTTPError as error:
            return InDoubt(Problem("no-reply", f"{host}: {_describe_error(error)}"))
        if response is None:
            message = f"{host}: the reply is too large: more than {MAX_REPLY_BYTES:,} bytes"
            return InDoubt(Problem("unreadable-reply", message))
        return _parse_response(response, parse_redacted)


def require_usable_environment(base_url: str) -> None:
    """Raise DeliveryError if no client for *base_url* can be built with the proxies and certificates that are set.

    Calls to this machine use neither.
    """
    problems = [] if is_loopback(base_url) else [*find_proxy_problems(), *find_certificate_problems()]
    if problems:
        raise DeliveryError(*problems)


@asynccontextmanager
async def open_transport(
    delivery: DeliverySpec,
    credentials: Credentials,
    timeout: float,
    max_connections: int,
    httpx_transport: HttpxTransport | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> AsyncIterator[Transport]:
    """Open a transport to the base URL of *credentials* with at most *max_connections* connections.

    It uses a proxy from the environment, except for loopback addresses. Raises DeliveryError if it cannot be used.
    """
    base_url = credentials.base_url
    if httpx_transport is None:
        require_usable_environment(base_url)
    trust_env = not is_loopback(base_url)
    open_client = partial(
        httpx.AsyncClient,
        base_url=base_url,
        timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT_SECONDS), pool=None),
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_SECONDS),
        transport=httpx_transport,
        trust_env=trust_env,
        verify=httpx.create_ssl_context(verify=base_url.startswith("https:"), trust_env=trust_env),
        headers={"user-agent": "audience"},
    )
    clients = ClientPool(open_client, max_connections)
    try:
        yield Transport(clients, delivery, credentials, timeout, clock)
    finally:
        await clients.close()


def _parse_response(response: Response, parse_reply: ReplyParser) -> VendorReply:
    """Return the parsed reply, with the Retry-After header if the reply itself names no delay."""
    try:
        reply = doubt_unbelievable(response, parse_reply)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        return InDoubt(Problem("unreadable-reply", f"HTTP {response.status}: {type(error).__name__}: {error}"))
    if isinstance(reply, Retryable) and reply.retry_after is None:
        return replace(reply, retry_after=parse_retry_after(response))
    return reply


async def _fetch_response(client: httpx.AsyncClient, timeout: float, request: Request) -> Response | None:
    """Return the response, or None if it is too large.

    Raises TimeoutError if it is not complete within *timeout* seconds after the request was sent.
    """
    async with asyncio.timeout(None) as deadline:

        async def on_trace_event(event: str, _: Any) -> None:
            if event.endswith("send_request_headers.started"):  # behind a proxy, after those to the proxy itself
                deadline.reschedule(None)
            elif event.endswith("send_request_body.complete"):
                deadline.reschedule(asyncio.get_running_loop().time() + timeout)

        async with client.stream(
            request.method,
            _join_url(str(client.base_url), request.path),
            params=dict(request.query) or None,
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


@lru_cache(maxsize=64)  # parsing takes a tenth of the time of a call
def _join_url(base_url: str, path: str) -> httpx.URL:
    """Return the URL of *path*, which may be a URL itself, as a client with *base_url* joins them.

    >>> str(_join_url("https://push.example/api/", "/v1/send")), str(_join_url("https://a.example", "https://b.example/c"))
    ('https://push.example/api/v1/send', 'https://b.example/c')
    """
    with httpx.Client(base_url=base_url, trust_env=False, verify=False) as client:
        return client.build_request("GET", path).url


def is_loopback(url: str) -> bool:
    """Return whether the host of *url* is this machine.

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
