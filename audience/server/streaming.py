"""Send answers as they are made, at the pace of the caller."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

from starlette.types import Receive, Scope, Send

from audience.errors import Problem
from audience.server.calls import Stream
from audience.server.guards import SAFE_HEADERS, STATUS_KEY, CutAnswerError
from audience.server.problems import HttpError
from audience.server.settings import ServeSettings

STREAM_THREADS = 4  # that make chunks; between two of them a stream holds no thread


class StreamSlots:
    """Streams that run at the same time, and the threads that make their chunks."""

    def __init__(self, settings: ServeSettings):
        self.max_stall_seconds = settings.max_stall_seconds
        self.free = settings.max_streams
        self.executor = ThreadPoolExecutor(STREAM_THREADS, "audience-stream")

    def take(self) -> None:
        """Take a slot. Raises HttpError if none is free."""
        if self.free <= 0:
            problem = Problem("too-busy", "too many streams run at the same time", hint="try again in a while")
            raise HttpError(503, problem, headers={"Retry-After": "10"})
        self.free -= 1

    def close(self) -> None:
        """End the threads."""
        self.executor.shutdown(wait=False, cancel_futures=True)


async def send_stream(stream: Stream, slots: StreamSlots, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a stream; the next chunk is made while one is sent. It ends early if the caller hangs up.

    Raises:
        CutAnswerError: The caller takes nothing any more. An answer that has begun is cut, which the caller notices.
    """
    slots.take()
    hang_up = asyncio.ensure_future(receive())
    try:
        await _send_chunks(stream, slots, hang_up, scope, send)
    finally:
        slots.free += 1
        hang_up.cancel()


async def _send_chunks(
    stream: Stream, slots: StreamSlots, hang_up: "asyncio.Future[Any]", scope: Scope, send: Send
) -> None:
    loop, source = asyncio.get_running_loop(), _ChunkSource(stream.chunks)
    try:
        chunk = await loop.run_in_executor(slots.executor, source.first)  # one that fails is answered with an error
        scope[STATUS_KEY] = 200
        await send({"type": "http.response.start", "status": 200, "headers": _stream_headers(stream)})
        while chunk is not None and not hang_up.done():
            upcoming = loop.run_in_executor(slots.executor, source.next)
            await _send_in_time({"type": "http.response.body", "body": chunk, "more_body": True}, slots, send)
            chunk = await upcoming
        if chunk is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        slots.executor.submit(source.close)


async def _send_in_time(message: dict[str, Any], slots: StreamSlots, send: Send) -> None:
    try:
        await asyncio.wait_for(send(message), slots.max_stall_seconds)
    except TimeoutError:
        raise CutAnswerError from None


class _ChunkSource:
    """Iterator of chunks that one thread at a time uses."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks = chunks
        self._lock = Lock()

    def next(self) -> bytes | None:
        """Return the next chunk, None at the end."""
        with self._lock:
            return next(self._chunks, None)

    def first(self) -> bytes | None:
        """Return the first chunk that is not empty, None if there is none."""
        with self._lock:
            return next(filter(None, self._chunks), None)

    def close(self) -> None:
        """End the iterator, when the chunk that is being made is done."""
        with self._lock:
            close = getattr(self._chunks, "close", None)
            if close is not None:
                close()


def _stream_headers(stream: Stream) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", stream.media_type.encode()), (b"cache-control", b"no-store"), *SAFE_HEADERS]
    return headers + [(name.lower().encode(), value.encode("latin-1")) for name, value in stream.headers.items()]
