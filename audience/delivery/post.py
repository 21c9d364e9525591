"""One HTTP request, and what its reply means; where none comes back, whether it may have told anybody."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import parsedate_to_datetime
from functools import partial
from ipaddress import ip_address
from time import time
from typing import TypeAlias
from urllib.parse import urlsplit

import httpx

from audience.errors import Problem
from audience.vendors.wire import Again, InDoubt, Reply, Request, Response

UNREACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)  # no byte has left for the vendor

Transport = httpx.AsyncBaseTransport
Read: TypeAlias = Callable[[Response], Reply]
Post: TypeAlias = Callable[[Request, Read], Awaitable[Reply]]


@asynccontextmanager
async def connected(
    host: str, timeout: float, connections: int, transport: Transport | None = None
) -> AsyncIterator[Post]:
    """A function that sends a request to *host* and says what its reply means, over at most so many *connections*.

    Its reply is InDoubt where none came back within *timeout* seconds, and Again where nothing was sent. A proxy of
    the environment is used, but never to this machine.
    """
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=4)
    async with httpx.AsyncClient(
        base_url=host,
        timeout=httpx.Timeout(timeout, connect=min(timeout, 10), pool=None),
        limits=limits,
        transport=transport,
        trust_env=not loopback(host),
        verify=host.startswith("https:"),
        headers={"user-agent": "audience"},
    ) as client:
        yield partial(_post, client)


async def _post(client: httpx.AsyncClient, request: Request, read: Read) -> Reply:
    try:
        said = await client.request(
            request.method,
            request.path,
            params=dict(request.query) or None,
            headers=dict(request.headers),
            content=request.content or None,
        )
    except UNREACHED as error:
        return Again(Problem("unreachable", f"{client.base_url.host}: {_words(error)}"))
    except httpx.HTTPError as error:
        return InDoubt(Problem("no-reply", f"{client.base_url.host}: {_words(error)}"))
    headers = {name.lower(): value for name, value in said.headers.items()}
    try:
        reply = read(Response(said.status_code, said.content, headers))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        return InDoubt(Problem("unreadable-reply", f"HTTP {said.status_code}: {type(error).__name__}: {error}"))
    if isinstance(reply, Again) and reply.after is None:
        return replace(reply, after=_after(headers.get("retry-after")))
    return reply


def loopback(host: str) -> bool:
    """Whether the URL *host* is of this machine.

    >>> [loopback(f"http://{name}") for name in ("localhost:80", "127.0.0.9", "[::1]:1", "10.0.0.1", "a.b")]
    [True, True, True, False, False]
    """
    name = urlsplit(host).hostname or ""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _after(said: str | None) -> float | None:
    """The seconds of a Retry-After header: a number or a moment; None where it is neither.

    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after

    >>> _after("3"), _after("soon")
    (3.0, None)
    """
    if said is None:
        return None
    if said.strip().isdigit():
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time())
    except (ValueError, TypeError):
        return None


def _words(error: httpx.HTTPError) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
