"""Clients of a transport: what each does with one call, a pool of them, and the two ways in which a call can fail.

A call is made once: nothing here repeats it or follows a redirect, because the ledger decides about repeats.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote, urlencode, urlsplit

from audience.vendors.delivery_spec import Request, Response

MAX_REPLY_BYTES = 4 << 20  # the longest replies list a thousand ids
CHUNK_BYTES = 1 << 16
CONNECT_TIMEOUT_SECONDS = 10
KEEPALIVE_SECONDS = 4
USER_AGENT = "audience"
URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"  # beside letters and digits, what a path may have; `%` encodes others


class NotSent(Exception):
    """Failure before a byte has left for the vendor; its text names no URL, which may be signed."""


class NoReply(Exception):
    """Failure after which the vendor may have got the call; its text names no URL, which may be signed."""


class Client(Protocol):
    """Client with one connection."""

    async def fetch(self, request: Request) -> Response | None:
        """Return the response to *request*, or None if it is too large.

        Raises:
            NotSent: No byte has left for the vendor.
            NoReply: The call may have reached the vendor.
            TimeoutError: So may it; the response was not complete in time after the request was sent.
        """

    async def close(self) -> None:
        """Close the connection."""


class ClientPool:
    """Clients of one connection each, at most *max_connections*, opened when they are needed.

    The pools of HTTP clients look through their connections for each request, or take the one that was free first. Here
    a call takes the client that was free last, whose connection is the least likely to be closed.
    """

    def __init__(self, open_client: Callable[[], Client], max_connections: int):
        self._open_client = open_client
        self._clients: list[Client] = []
        self._free: list[Client] = []
        self._places = asyncio.Semaphore(max_connections)

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[Client]:
        """Wait for a free client, and lend it for one exchange."""
        async with self._places:
            client = self._free.pop() if self._free else self._add_client()
            try:
                yield client
            finally:
                self._free.append(client)

    def _add_client(self) -> Client:
        client = self._open_client()
        self._clients.append(client)
        return client

    async def close(self) -> None:
        """Close all connections."""
        async with AsyncExitStack() as stack:
            for client in self._clients:
                stack.push_async_callback(client.close)


def make_url(base_url: str, request: Request) -> str:
    """Return the URL of *request*, whose path may be a URL itself, with its query.

    >>> make_url("https://push.example/api/", Request(method="POST", path="/v1/send", query={"a b": "1"}))
    'https://push.example/api/v1/send?a+b=1'
    >>> make_url("https://a.example", Request(method="GET", path="https://b.example/c d"))
    'https://b.example/c%20d'
    """
    url = _join_url(base_url, request.path)
    return f"{url}?{urlencode(request.query)}" if request.query else url


@lru_cache(maxsize=64)
def _join_url(base_url: str, path: str) -> str:
    url = path if urlsplit(path).scheme else f"{base_url.rstrip('/')}/{path.lstrip('/')}"
    return quote(url, safe=URL_CHARACTERS)
