"""Clients of a transport: each has one connection, which the next call takes over."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from audience.delivery.transport.http import open_transport
from audience.testing.fake_vendor import make_delivery
from audience.vendors.delivery_spec import Accepted, Credentials, InDoubt, Request

REQUEST = Request(method="POST", path="/push", content=b"{}")
REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def open_counted_server(answer):
    """Yield a transport with three connections to a server that does *answer*, and the connections that it had."""
    opened, tasks = [], []

    async def serve(reader, writer):
        opened.append(writer)
        tasks.append(asyncio.current_task())
        try:
            while await reader.readuntil(b"{}"):
                await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with open_transport(make_delivery(), Credentials(url, {"key": "k", "secret": "s"}), 5, 3) as transport:
            yield transport, opened
        await asyncio.gather(*tasks, return_exceptions=True)


async def answer_at_once(writer):
    writer.write(REPLY)


async def close_without_answer(writer):
    writer.close()


def accept(response):
    return Accepted("m")


@pytest.mark.parametrize(("together", "connections"), [(1, 1), (3, 3), (20, 3)])
def test_calls_take_over_connections(together, connections):
    async def call() -> tuple[list[object], int]:
        async with open_counted_server(answer_at_once) as (transport, opened):
            replies = []
            for _ in range(4):
                replies += await asyncio.gather(*(transport.post(REQUEST, accept) for _ in range(together)))
            return replies, len(opened)

    assert asyncio.run(call()) == ([Accepted("m")] * 4 * together, connections)


def test_client_of_a_failed_call_is_free_again():
    async def call() -> tuple[list[type], int]:
        async with open_counted_server(close_without_answer) as (transport, opened):
            replies = [await transport.post(REQUEST, accept) for _ in range(5)]
            return [type(reply) for reply in replies], len(opened)

    assert asyncio.run(call()) == ([InDoubt] * 5, 5)


def test_client_of_a_cancelled_call_is_free_again():
    async def wait(writer):
        await asyncio.sleep(0)

    async def call() -> int:
        async with open_counted_server(wait) as (transport, opened):
            for number in range(1, 6):
                task = asyncio.create_task(transport.post(REQUEST, accept))
                while len(opened) < number:
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            return len(opened)

    assert asyncio.run(call()) == 5
