"""A vendor's side that misbehaves: what it says is bounded in time and size, and never ends a run without words."""

import asyncio
import gzip
import threading
import time
from contextlib import contextmanager

import fake_vendor
import httpx
import pytest
from fake_vendor import ANY, APPLICATION, MESSAGE, delivery, effort, folder_of, ids_of

from audience.delivery import Patience, resume, send
from audience.vendors.delivery_spec import Application

GOOD = b'{"accepted": "m1"}'
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n"


@pytest.fixture(autouse=True)
def vendor():
    undo = fake_vendor.register(delivery())
    yield
    undo()


@contextmanager
def saying(*pieces, every=0.0):
    """A server that answers each connection with *pieces* and closes it; its URL."""

    async def answer(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(every)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0))
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


def sent(folder, url, timeout=0.5):
    patience = Patience(attempts=2, first=0.001, timeout=timeout, doubts=2)
    known = Application(url, APPLICATION.keys)
    return send(folder, MESSAGE, known, ANY, effort=effort(None, patience=patience, concurrency=1))


ODD = {
    "a body drop by drop": ([HEAD % 1_000, b"\r\n", *[b" "] * 1_000], 0.05),
    "a head drop by drop": ([HEAD % 18, *[b"x-a: b\r\n"] * 1_000], 0.05),
    "chunks without an end": (
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", *[b"1\r\n \r\n"] * 1_000],
        0.05,
    ),
    "half of it": ([HEAD % 100, b"\r\n", GOOD], 0),
    "no HTTP": ([b"SSH-2.0-OpenSSH\r\n"], 0),
    "a page": ([HEAD % 6, b"\r\n", b"<html>"], 0),
    "what is no gzip": ([HEAD % 3, b"content-encoding: gzip\r\n\r\n", b"abc"], 0),
    "another character set": ([HEAD % 40, b"\r\n", '{"accepted": "m1"}'.encode("utf-16").ljust(40)], 0),
    "an error without words": ([b"HTTP/1.1 500 \r\n\r\n"], 0),
}


@pytest.mark.parametrize(("pieces", "every"), ODD.values(), ids=ODD.keys())
def test_what_cannot_be_read_in_time_leaves_a_doubt(tmp_path, pieces, every):
    with saying(*pieces, every=every) as url:
        begun = time.monotonic()
        found = sent(folder_of(tmp_path / "run", ids_of(20)), url)
    assert time.monotonic() - begun < 5
    assert (found.batches["in doubt"], found.stopped.code) == (2, "all-lost")


@pytest.mark.parametrize("packed", [False, True])
def test_a_reply_that_is_too_large_is_not_read_to_its_end(tmp_path, packed):
    data = b" " * 20_000_000 + GOOD
    content = gzip.compress(data, 1) if packed else data
    lines = b"content-encoding: gzip\r\n" if packed else b""
    with saying(HEAD % len(content) + lines + b"\r\n" + content) as url:
        found = sent(folder_of(tmp_path / "run", ids_of(10)), url, timeout=20)
    assert found.batches["in doubt"] == 1
    assert "large" in found.troubles[0].problem.message


WAITS = ["86400", "9" * 400, "Fri, 31 Dec 2100 23:59:59 GMT"]


@pytest.mark.parametrize("wait", WAITS, ids=["a day", "for ever", "a moment far away"])
def test_a_wait_that_is_too_long_stops_the_run(tmp_path, wait):
    def busy(request):
        return httpx.Response(429, json={"error": "again"}, headers={"retry-after": wait})

    begun = time.monotonic()
    found = send(folder_of(tmp_path / "run", ids_of(50)), MESSAGE, APPLICATION, ANY, effort=effort(transport(busy)))
    assert time.monotonic() - begun < 5
    assert (found.stopped.code, found.batches["todo"]) == ("again", 5)
    assert resume(tmp_path / "run", APPLICATION, effort=effort(fake_vendor.Service())).done


ODD_WAITS = ["\xb2", "-1", "nan", "Mon, 01 Jan 0001 00:00:00 -0000", "soon", ""]


@pytest.mark.parametrize("wait", ODD_WAITS)
def test_a_wait_that_is_none_is_passed_over(tmp_path, wait):
    calls = []

    def busy(request):
        calls.append(request)
        if len(calls) > 1:
            return httpx.Response(200, json={"accepted": "m1"})
        return httpx.Response(429, json={"error": "again"}, headers=[(b"retry-after", wait.encode("latin-1"))])

    found = send(folder_of(tmp_path / "run", ids_of(10)), MESSAGE, APPLICATION, ANY, effort=effort(transport(busy)))
    assert (found.done, len(calls)) == (True, 2)


def transport(answer):
    return httpx.MockTransport(answer)
