"""HTTP protocol of uvicorn with limits on the size of headers, and on the time that a request takes to arrive.

Uvicorn itself waits forever for a request. One task looks at all connections once a second, which costs a request
nothing.
"""

import asyncio
import re
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from audience.errors import Problem
from audience.server.problems import PROBLEM_MEDIA_TYPE, error_json
from audience.server.settings import ServeSettings

SWEEP_SECONDS = 1.0
MAX_JOINED_BYTES = 1 << 14  # of a write that waits for another one
LINGER_SECONDS = 2.0  # in which a refused caller may send on, and reads the answer
UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
CONNECTIONS_KEY = "connections"  # of the state that the application shares with its connections


class Connections:
    """Open connections of a process, and the limits for what arrives on them."""

    def __init__(self, settings: ServeSettings):
        self.settings = settings
        self.open: set[LimitedProtocol] = set()

    async def sweep(self) -> None:
        """Refuse requests that take too long to arrive, once a second."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for connection in list(self.open):
                connection.refuse_if_late()


class JoinedWrites:
    """Transport that joins small writes: the headers and the body of an answer leave in one packet, by one call."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop):
        self._transport = transport
        self._loop = loop
        self._pending: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write *data*; what is small waits for what is written right after it."""
        if not self._pending and len(data) < MAX_JOINED_BYTES:
            self._loop.call_soon(self._flush)
        self._pending.append(data)
        if len(data) >= MAX_JOINED_BYTES:
            self._flush()

    def write_eof(self) -> None:
        """End this side of the connection."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Close the connection when all is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._pending:
            pending, self._pending = self._pending, []
            self._transport.write(b"".join(pending) if len(pending) > 1 else pending[0])


class LimitedProtocol(HttpToolsProtocol):
    """Connection that refuses a request that is too large or too slow."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._shared: Connections = self.app_state[CONNECTIONS_KEY]
        self._limits = self._shared.settings
        self._waiting_since: float | None = None  # while a request arrives
        self._head_bytes = 0
        self._has_headers = False
        self._is_done = False  # whether what still arrives is dropped
        self._refusal = _refusal(400, "bad-request", "this is not a request of HTTP/1.1")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]
        self._shared.open.add(self)
        self._waiting_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._shared.open.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        if self._is_done:
            return
        begins_head = not self._has_headers or self._waiting_since is None
        super().data_received(_hide_upgrade(data) if begins_head and b"pgrade" in data else data)
        if not self._has_headers and not self._is_done and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.max_header_bytes:
                self._refuse(_refusal(431, "too-large", "the headers are too large"))

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer the requests that have arrived before the caller ends its side, then end the connection."""
        return not self._is_done and self._end_after_answers()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._waiting_since, self._head_bytes, self._has_headers = self.loop.time(), 0, False
        self._field_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a field behind the body."""
        self._field_bytes += len(name) + len(value)
        if self._field_bytes > self._limits.max_header_bytes:
            self._refusal = _refusal(431, "too-large", "the headers are too large")
            raise ValueError("too large")  # ends in `send_400_response`
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._has_headers = True
        if not self.url.startswith(b"/") and self.url != b"*":
            self._refusal = _refusal(400, "bad-request", "the address of a request begins with /")
            raise ValueError("not a path")  # ends in `send_400_response`
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop waiting."""
        self._waiting_since = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed, or end the connection after the answers to the requests before it."""
        self._is_done = self._end_after_answers()
        if self._is_done:
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self._refuse(self._refusal)
        else:
            self.transport.close()

    def _end_after_answers(self) -> bool:
        """End the connection after the answers to whole requests; return whether there are any."""
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return True

    def refuse_if_late(self) -> None:
        """Refuse the request that arrives if it takes too long."""
        if self._waiting_since is None or self.transport.is_closing():
            return
        if self.flow.read_paused:  # it is this side that is slow
            self._waiting_since = self.loop.time()
            return
        limit = self._limits.max_body_seconds if self._has_headers else self._limits.max_header_seconds
        if self.loop.time() - self._waiting_since <= limit:
            return
        is_idle = not self._has_headers and not self._head_bytes
        is_answered = self._has_headers and self.cycle is not None and self.cycle.response_started
        if is_idle or is_answered:
            self.transport.close()
        else:
            self._refuse(_refusal(408, "too-slow", f"the request did not arrive within {limit:g} seconds"))

    def _refuse(self, response: bytes) -> None:
        """Answer, and drop what the caller still sends for a while: closing at once would cost it the answer."""
        self._is_done, self._waiting_since = True, None
        self.transport.write(response)
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


def _hide_upgrade(data: bytes) -> bytes:
    """Return the bytes of a head with another name for the header `Upgrade`, which this server does not follow.

    The parser would end the request before its body. Java's client offers HTTP/2 with every request.
    """
    head, separator, rest = data.partition(b"\r\n\r\n")
    return UPGRADE.sub(b"\r\nX-Upgrade:", head) + separator + rest


def _refusal(status: int, code: str, message: str) -> bytes:
    """Return a whole answer that ends the connection."""
    body = orjson.dumps(error_json(status, (Problem(code, message),)))
    lines = [
        STATUS_LINE[status],
        f"content-type: {PROBLEM_MEDIA_TYPE}\r\n".encode(),
        b"content-length: %d\r\nconnection: close\r\nx-content-type-options: nosniff\r\n\r\n" % len(body),
    ]
    return b"".join([*lines, body])
