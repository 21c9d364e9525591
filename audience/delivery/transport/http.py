"""HTTP calls to a vendor. Without a reply, the result distinguishes calls that were not sent from calls in doubt."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from typing import TypeAlias
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from audience.delivery.clock import SYSTEM_CLOCK, Clock
from audience.delivery.transport.access import AccessTokenPool
from audience.delivery.transport.clients import MAX_REPLY_BYTES, Client, ClientPool, NoReply, NotSent
from audience.delivery.transport.environment import find_certificate_problems, find_proxy_problems, has_proxy
from audience.delivery.transport.proxied_client import ProxiedClient
from audience.delivery.transport.redaction import ReplyParser, redact_secrets
from audience.errors import DeliveryError, Problem
from audience.vendors.delivery_spec import (
    AccessTokenSource,
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

HttpxTransport: TypeAlias = httpx.AsyncBaseTransport


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
        token, source = self.tokens.current, self._token_source
        context = SigningContext(self._read_time(), uuid4().hex, token)

        def parse(response: Response) -> VendorReply:
            if source is not None and source.is_refused(response):
                self.tokens.discard(token)
            return parse_reply(response)

        return await self._exchange(self.delivery.sign(request, self.credentials, context), parse)

    async def authorize(self) -> VendorReply | None:
        """Request an access token if calls need one and none is valid; return why there is none, or None.

        What it returns is never InDoubt: without a token nothing is sent.
        """
        source = self._token_source
        if source is None:
            return None

        async def make_call(parse: ReplyParser) -> VendorReply:
            try:
                request = source.build_request(self.credentials, self._read_time())
            except DeliveryError as error:  # a key that cannot sign
                return Fatal(error.problems[0])
            return await self._exchange(request, parse)

        return await self.tokens.refresh(source, make_call, self.clock.boot)

    @property
    def _token_source(self) -> AccessTokenSource | None:
        source = self.delivery.access_tokens
        return source if source is not None and source.is_needed(self.credentials) else None

    def _read_time(self) -> datetime:
        return datetime.fromtimestamp(self.clock.wall(), UTC)

    async def _exchange(self, signed: Request, parse_reply: ReplyParser) -> VendorReply:
        parse_redacted = redact_secrets(parse_reply, signed, self.credentials, self.delivery)
        host = urlsplit(signed.path).hostname or urlsplit(self.credentials.base_url).hostname
        try:
            async with self.clients.borrow() as client:
                response = await client.fetch(signed)
        except NotSent as error:
            return Retryable(Problem("unreachable", f"{host}: {error}"))
        except NoReply as error:
            return InDoubt(Problem("no-reply", f"{host}: {error}"))
        except TimeoutError:
            return InDoubt(Problem("no-reply", f"{host}: no complete reply within {self.timeout:g} seconds"))
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
    if httpx_transport is None:
        require_usable_environment(credentials.base_url)
    clients = ClientPool(_choose_client(credentials.base_url, timeout, httpx_transport), max_connections)
    try:
        yield Transport(clients, delivery, credentials, timeout, clock)
    finally:
        await clients.close()


def _choose_client(base_url: str, timeout: float, httpx_transport: HttpxTransport | None) -> Callable[[], Client]:
    """Return what opens a client for *base_url*: of httpx behind a proxy, otherwise of aiohttp, which is faster."""
    trust_env = not is_loopback(base_url)
    ssl_context = httpx.create_ssl_context(verify=base_url.startswith("https:"), trust_env=trust_env)
    if httpx_transport is not None or (trust_env and has_proxy()):
        return partial(ProxiedClient, base_url, timeout, ssl_context, trust_env, httpx_transport)
    from audience.delivery.transport.direct_client import DirectClient  # imported here: it takes long

    return partial(DirectClient, base_url, timeout, ssl_context)


def _parse_response(response: Response, parse_reply: ReplyParser) -> VendorReply:
    """Return the parsed reply, with the Retry-After header if the reply itself names no delay."""
    try:
        reply = doubt_unbelievable(response, parse_reply)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        return InDoubt(Problem("unreadable-reply", f"HTTP {response.status}: {type(error).__name__}: {error}"))
    if isinstance(reply, Retryable) and reply.retry_after is None:
        return replace(reply, retry_after=parse_retry_after(response))
    return reply


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
