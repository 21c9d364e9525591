"""Malformed, slow and huge replies: they are bounded in time and size, and a run always reports the reason."""

import asyncio
import gzip
import threading
import time
from contextlib import contextmanager

import httpx
import pytest

from audience.delivery import RetryPolicy, resume, send
from audience.testing import fake_vendor
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    make_delivery,
    make_ids,
    make_send_options,
    write_run_folder,
)
from audience.vendors.delivery_spec import Credentials

GOOD_BODY = b'{"accepted": "m1"}'
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
RESPONSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n"


@pytest.fixture(autouse=True)
def vendor():
    unregister = fake_vendor.register_fake_vendors(make_delivery())
    yield
    unregister()


@contextmanager
def serve_pieces(*pieces, interval=0.0):
    """Serve each connection *pieces*, then close it; yield the URL."""

    async def write_pieces(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(interval)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(write_pieces, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    server.close()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()


def send_run(folder, url, timeout=0.5):
    retry_policy = RetryPolicy(max_attempts=2, initial_delay=0.001, timeout=timeout, max_lost=2)
    credentials = Credentials(url, CREDENTIALS.keys)
    return send(
        folder, MESSAGE, credentials, UNLIMITED, options=make_send_options(None, retry=retry_policy, concurrency=1)
    )


SLOW_REPLIES = {
    "slow body": ([RESPONSE_HEAD % 1_000, b"\r\n", *[b" "] * 1_000], 0.05),
    "slow head": ([RESPONSE_HEAD % 18, *[b"x-a: b\r\n"] * 1_000], 0.05),
    "endless chunks": (
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", *[b"1\r\n \r\n"] * 1_000],
        0.05,
    ),
    "truncated body": ([RESPONSE_HEAD % 100, b"\r\n", GOOD_BODY], 0),
    "not HTTP": ([b"SSH-2.0-OpenSSH\r\n"], 0),
    "HTML": ([RESPONSE_HEAD % 6, b"\r\n", b"<html>"], 0),
    "not gzip": ([RESPONSE_HEAD % 3, b"content-encoding: gzip\r\n\r\n", b"abc"], 0),
    "UTF-16": ([RESPONSE_HEAD % 40, b"\r\n", '{"accepted": "m1"}'.encode("utf-16").ljust(40)], 0),
    "error without a body": ([b"HTTP/1.1 500 \r\n\r\n"], 0),
}


@pytest.mark.parametrize(("pieces", "interval"), SLOW_REPLIES.values(), ids=SLOW_REPLIES.keys())
def test_reply_timeout_leaves_batch_in_doubt(tmp_path, pieces, interval):
    with serve_pieces(*pieces, interval=interval) as url:
        started = time.monotonic()
        result = send_run(write_run_folder(tmp_path / "run", make_ids(20)), url)
    assert time.monotonic() - started < 5
    assert (result.batch_counts["in_doubt"], result.stop_reason.code) == (2, "all-lost")


@pytest.mark.parametrize("is_compressed", [False, True])
def test_oversized_reply_is_not_read_completely(tmp_path, is_compressed):
    data = b" " * 20_000_000 + GOOD_BODY
    content = gzip.compress(data, 1) if is_compressed else data
    encoding_header = b"content-encoding: gzip\r\n" if is_compressed else b""
    with serve_pieces(RESPONSE_HEAD % len(content) + encoding_header + b"\r\n" + content) as url:
        result = send_run(write_run_folder(tmp_path / "run", make_ids(10)), url, timeout=20)
    assert result.batch_counts["in_doubt"] == 1
    assert "large" in result.failed_batches[0].problem.message


CONTRADICTIONS = [
    (200, '{"accepted": "m1", "accepted": "m2"}'),
    (200, '{"error": "refused", "accepted": "m1", "error": null}'),
    (200, '{"accepted": "m1", "cost": NaN}'),
    (200, '{"accepted": "m1", "cost": [1e999]}'),
    (200, '{"accepted": {"id": "m1"}}'),
    (200, '{"accepted": ""}'),
    (400, '{"accepted": "m1"}'),
    (503, '{"accepted": "m1"}'),
]


@pytest.mark.parametrize(("status", "content"), CONTRADICTIONS)
def test_no_vendor_is_believed_who_contradicts_itself(tmp_path, status, content):
    """The vendor of this test has a parser that looks at one key."""
    transport = make_transport(lambda request: httpx.Response(status, content=content.encode()))
    folder = write_run_folder(tmp_path / "run", make_ids(10))
    result = send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(transport))
    assert result.batch_counts["in_doubt"] == 1
    assert result.failed_batches[0].problem.code in ("contradictory-reply", "unreadable-reply")


LONG_WAITS = ["86400", "9" * 400, "Fri, 31 Dec 2100 23:59:59 GMT"]


@pytest.mark.parametrize("header", LONG_WAITS, ids=["a day", "very long", "distant date"])
def test_too_long_retry_after_stops_run(tmp_path, header):
    def reply_busy(request):
        return httpx.Response(429, json={"error": "again"}, headers={"retry-after": header})

    started = time.monotonic()
    result = send(
        write_run_folder(tmp_path / "run", make_ids(50)),
        MESSAGE,
        CREDENTIALS,
        UNLIMITED,
        options=make_send_options(make_transport(reply_busy)),
    )
    assert time.monotonic() - started < 5
    assert (result.stop_reason.code, result.batch_counts["todo"]) == ("again", 5)
    assert any(word in result.stop_reason.hint for word in ("1.0 days", "longer than a year"))
    assert resume(tmp_path / "run", CREDENTIALS, options=make_send_options(fake_vendor.FakeService())).done


INVALID_WAITS = ["\xb2", "-1", "nan", "Mon, 01 Jan 0001 00:00:00 -0000", "soon", ""]


@pytest.mark.parametrize("header", INVALID_WAITS)
def test_invalid_retry_after_is_ignored(tmp_path, header):
    calls = []

    def reply_busy_once(request):
        calls.append(request)
        if len(calls) > 1:
            return httpx.Response(200, json={"accepted": "m1"})
        return httpx.Response(429, json={"error": "again"}, headers=[(b"retry-after", header.encode("latin-1"))])

    result = send(
        write_run_folder(tmp_path / "run", make_ids(10)),
        MESSAGE,
        CREDENTIALS,
        UNLIMITED,
        options=make_send_options(make_transport(reply_busy_once)),
    )
    assert (result.done, len(calls)) == (True, 2)


def make_transport(handler):
    return httpx.MockTransport(handler)
