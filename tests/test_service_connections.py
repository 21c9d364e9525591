"""What the service does with bytes that are no good requests, with slow callers, and with those that hang up."""

import json
import socket
from contextlib import ExitStack

import pytest
from fact_files import TESTS_FOLDER, read_facts
from problem_replies import find_faults
from served import exchange_bytes, receive_replies, split_replies

FACTS = read_facts(TESTS_FOLDER / "service_calls" / "bytes.txt")
COUNT = b'{"expr": "new"}'
HEAD = "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
SLOW_CALLERS = 1_000


def make_head(service, method: str = "POST", path: str = "/v1/indexes/people/count", **headers: str) -> bytes:
    """The head of a request, without the empty line that ends it."""
    host = "{}:{}".format(*service.address)
    head = HEAD.format(method=method, path=path, host=host)
    return (head + "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())).encode()


def describe_replies(replies) -> str:
    """The statuses of *replies*, with what is wrong with one."""
    words = []
    for reply in replies:
        faults = (
            [] if reply.status == 100 else find_faults(reply.status, reply.headers.get("content-type", ""), reply.body)
        )
        words.append(" ".join([str(reply.status), *faults]))
    return " ".join(words)


@pytest.mark.parametrize(("text", "wanted"), [fact[1:] for fact in FACTS])
def test_bytes_are_answered(service, text, wanted):
    host = "{}:{}".format(*service.address)
    data = text.replace("HOST", host).encode("latin-1").decode("unicode_escape").encode("latin-1")
    statuses = "" if wanted == "none" else wanted
    assert describe_replies(exchange_bytes(service, data, len(statuses.split()))) == statuses


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        pytest.param([f"X-{number}: {number}" for number in range(100_000)], {"400", "431"}, id="100,000 headers"),
        pytest.param(["X: " + "x" * 5_000_000], {"400", "431"}, id="a header of 5 MB"),
        pytest.param(["Authorization: Bearer " + "x" * 60_000], {"400", "401", "431", "200"}, id="a key of 60 kB"),
        pytest.param(
            ["Accept: " + ",".join(["application/json;q=0.1"] * 2_000)], {"200", "406", "431"}, id="2,000 types"
        ),
    ],
)
def test_large_heads_are_refused(service, lines, wanted):
    data = make_head(service, "GET", "/v1/indexes") + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"
    assert describe_replies(exchange_bytes(service, data)) in wanted


def test_long_address_is_refused(service):
    data = make_head(service, "GET", "/" + "a" * 1_000_000) + b"\r\n"
    assert describe_replies(exchange_bytes(service, data)) in {"400", "404", "414", "431"}


def test_body_in_chunks_beyond_the_limit_is_refused(service):
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    data = make_head(service, Transfer_Encoding="chunked") + b"\r\n" + chunk * 400
    assert describe_replies(exchange_bytes(service, data)) == "413"


def test_many_small_chunks_are_one_body(service):
    data = make_head(service, Transfer_Encoding="chunked") + b"\r\n"
    data += b"".join(b"1\r\n%c\r\n" % byte for byte in COUNT) + b"0\r\n\r\n"
    assert describe_replies(exchange_bytes(service, data)) == "200"


def test_hundred_pipelined_requests_are_answered_in_order(service):
    texts = [f'{{"expr": "device_id(d{number:07})"}}'.encode() for number in range(100)]
    texts = [text if number % 3 else b'{"expr": "("}' for number, text in enumerate(texts)]
    data = b"".join(make_head(service, Content_Length=str(len(text))) + b"\r\n" + text for text in texts)
    replies = exchange_bytes(service, data, 100)
    assert [reply.status for reply in replies] == [200 if number % 3 else 400 for number in range(100)]


def test_slow_callers_do_not_stop_others(service):
    """A thousand callers that never come to the end of their requests, some before the head ends, some in the body."""
    beginnings = [b"GET", make_head(service), make_head(service, Content_Length="1000") + b"\r\n{"]
    with ExitStack() as stack:
        for number in range(SLOW_CALLERS):
            connection = stack.enter_context(service.connect())
            connection.sendall(beginnings[number % len(beginnings)])
        with service.client() as client:
            for _ in range(20):
                assert client.post("/v1/indexes/people/count", json={"expr": "new"}).status_code == 200


def test_callers_that_do_not_read_do_not_stop_others(service):
    """Streams that nobody reads must not keep the threads that other calls need."""
    body = json.dumps({"expr": "everyone", "columns": ["device_id", "registration_id"]}).encode()
    request = make_head(service, path="/v1/indexes/people/resolve", Content_Length=str(len(body))) + b"\r\n" + body
    with ExitStack() as stack:
        for _ in range(100):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.connect(service.address)
            stack.enter_context(connection).sendall(request * 20)
        with service.client() as client:
            for _ in range(20):
                assert client.post("/v1/indexes/people/explain", json={"expr": "new"}).status_code == 200


def test_callers_that_hang_up_leave_nothing_behind(service):
    body = json.dumps({"expr": "everyone"}).encode()
    request = make_head(service, path="/v1/indexes/people/resolve", Content_Length=str(len(body))) + b"\r\n" + body
    for number in range(100):
        with service.connect() as connection:
            connection.sendall(request[: len(request) - number % 5])
            if number % 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # ends it by a reset
    with service.client() as client:
        assert client.post("/v1/indexes/people/count", json={"expr": "new"}).status_code == 200


def test_body_that_comes_slowly_is_taken(service):
    data = make_head(service, Content_Length=str(len(COUNT))) + b"\r\n" + COUNT
    with service.connect() as connection:
        for byte in data:
            connection.sendall(bytes([byte]))
        received = receive_replies(connection, 1)
    assert describe_replies(split_replies(received)) == "200"


def test_caller_that_ends_its_side_is_answered(service):
    data = make_head(service, Content_Length=str(len(COUNT))) + b"\r\n" + COUNT
    with service.connect() as connection:
        connection.sendall(data * 3)
        connection.shutdown(socket.SHUT_WR)
        received = receive_replies(connection, 0)
    assert describe_replies(split_replies(received)) == "200 200 200"
