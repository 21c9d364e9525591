"""Calls without a proxy, by aiohttp: outcomes of network failures, each of which is that of a call by httpx, too.

No call is repeated, whatever its method, and nothing of a URL gets into a text: it may be signed.
"""

import asyncio
import datetime
import gzip
import ssl
import struct
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from ipaddress import ip_address
from socket import SO_LINGER, SOL_SOCKET, socket

import httpx
import pytest

from audience.delivery.transport.environment import has_proxy
from audience.delivery.transport.http import open_transport
from audience.testing.fake_vendor import make_delivery
from audience.vendors.delivery_spec import Accepted, Credentials, Request

TIMEOUT = 1.5  # for what never comes
LONG = 60
SIGNATURE = "s1gnature"
OK = b"HTTP/1.1 200 OK\r\n"
GOOD_BODY = b'{"accepted": "m1"}'
GOOD = OK + b"content-length: 18\r\n\r\n" + GOOD_BODY
KINDS = {"direct": lambda: None, "httpx": httpx.AsyncHTTPTransport}


def write(*pieces, then_close=False):
    """Write *pieces* after each request."""

    async def answer(reader, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if then_close:
            writer.close()

    return answer


async def reset(reader, writer):
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def drip(reader, writer):
    writer.write(OK + b"content-length: 1000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(TIMEOUT / 10)


def zipped(content):
    packed = gzip.compress(content, 1)
    return OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed) + packed


def chunked(*chunks):
    return OK + b"transfer-encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in chunks)


PUSH = Request(method="POST", path="/push", content=b"{}")
silent = write()
ENDLESS = {silent, drip}
BIG = b" " * (5 << 20)
ANSWERS = {
    "a response": (write(GOOD), "Accepted m1"),
    "one that ends with the connection": (write(OK + b"\r\n" + GOOD_BODY, then_close=True), "Accepted m1"),
    "one in chunks": (write(chunked(GOOD_BODY[:5], GOOD_BODY[5:], b"")), "Accepted m1"),
    "a compressed one": (write(zipped(GOOD_BODY)), "Accepted m1"),
    "one after an interim one": (write(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", GOOD), "Accepted m1"),
    "a redirect": (write(b"HTTP/1.1 307 Go\r\nlocation: /push\r\ncontent-length: 18\r\n\r\n" + GOOD_BODY), "InDoubt"),
    "a cookie": (write(OK + b"set-cookie: a=b\r\ncontent-length: 18\r\n\r\n" + GOOD_BODY), "Accepted m1"),
    "nothing, and the end": (write(then_close=True), "InDoubt no-reply"),
    "a reset": (reset, "InDoubt no-reply"),
    "nothing": (silent, "InDoubt no-reply"),
    "half a head, and the end": (write(OK + b"content-le", then_close=True), "InDoubt no-reply"),
    "half a body, and the end": (write(GOOD[:-3], then_close=True), "InDoubt no-reply"),
    "half a chunk, and the end": (write(chunked(GOOD_BODY)[:-9], then_close=True), "InDoubt no-reply"),
    "chunks without the last": (write(chunked(GOOD_BODY), then_close=True), "InDoubt no-reply"),
    "a byte now and then": (drip, "InDoubt no-reply"),
    "a large response": (write(OK + b"content-length: %d\r\n\r\n" % len(BIG) + BIG), "InDoubt unreadable-reply"),
    "one that gets large": (write(zipped(BIG)), "InDoubt unreadable-reply"),
    "no gzip": (write(zipped(b"").replace(b"\x1f\x8b", b"??")), "InDoubt no-reply"),
    "no HTTP": (write(b"SSH-2.0-OpenSSH\r\n", then_close=True), "InDoubt no-reply"),
    "no status": (write(b"HTTP/1.1 2x0 OK\r\n\r\n"), "InDoubt no-reply"),
    "chunks without a size": (write(OK + b"transfer-encoding: chunked\r\n\r\nxyz\r\n"), "InDoubt no-reply"),
    "two lengths": (write(GOOD.replace(b"\r\n\r\n", b"\r\ncontent-length: 17\r\n\r\n")), "InDoubt no-reply"),
}


@asynccontextmanager
async def serve(answer, context=None):
    """Yield the URL of a server that does *answer* after each request, and the requests that it has read."""
    requests, tasks = [], []

    async def serve_connection(reader, writer):
        tasks.append(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
                requests.append((head, await reader.readexactly(int(fields.get(b"content-length", 0)))))
                await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    async with await asyncio.start_server(serve_connection, "127.0.0.1", 0, ssl=context) as server:
        scheme = "http" if context is None else "https"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def sign(request, credentials, context):
    return replace(request, headers={"sign": SIGNATURE}, query={"Signature": SIGNATURE})


async def call(url, kind, requests=(PUSH,), timeout=LONG):
    """Make *requests* one after another by a client, and return what is told of the replies."""
    credentials = Credentials(url, {"key": "k", "secret": "s"})
    async with open_transport(make_delivery(sign=sign), credentials, timeout, 1, KINDS[kind]()) as transport:
        return [describe(await transport.post(request, parse)) for request in requests]


def parse(response):
    if response.status != 200:
        raise ValueError("no success")
    return Accepted(response.content[14:16].decode())


def describe(reply):
    if isinstance(reply, Accepted):
        return f"Accepted {reply.message_id}"
    assert SIGNATURE not in f"{reply.problem}"
    return f"{type(reply).__name__} {reply.problem.code}"


@pytest.mark.parametrize(("answer", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_answer_has_one_outcome(answer, expected):
    async def measure(kind, method):
        async with serve(answer) as (url, requests):
            timeout = TIMEOUT if answer in ENDLESS else LONG
            [outcome] = await call(url, kind, [replace(PUSH, method=method)], timeout)
            return outcome.startswith(expected), outcome, len(requests)

    async def measure_all():
        calls = [("direct", "POST"), ("direct", "DELETE"), ("direct", "GET"), ("httpx", "POST")]
        return await asyncio.gather(*(measure(*each) for each in calls))

    for is_expected, outcome, count in asyncio.run(measure_all()):
        assert (is_expected, count) == (True, 1), outcome


@pytest.mark.parametrize("method", ["DELETE", "GET", "PUT", "POST"])
def test_call_on_a_closed_connection_is_not_repeated(method):
    async def answer_once(reader, writer):
        writer.write(GOOD)
        await reader.readuntil(b"\r\n\r\n")
        seen.append(method)
        writer.close()

    async def measure():
        async with serve(answer_once) as (url, _):
            return await call(url, "direct", [Request(method=method, path="/push")] * 2)

    seen = []
    assert asyncio.run(measure()) == ["Accepted m1", "InDoubt no-reply"]
    assert seen == [method]


def free_port():
    with socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@pytest.mark.parametrize("kind", KINDS)
def test_call_without_a_connection_is_not_sent(kind):
    assert asyncio.run(call(f"http://127.0.0.1:{free_port()}", kind)) == ["Retryable unreachable"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("talks", [True, False])
def test_call_to_a_server_without_tls_is_not_sent(kind, talks):
    async def connect(reader, writer):
        if talks:
            writer.write(b"220 mail.example ESMTP\r\n")
        tasks.append(asyncio.current_task())
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def measure():
        async with await asyncio.start_server(connect, "127.0.0.1", 0) as server:
            url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            outcomes = await call(url, kind, timeout=LONG if talks else TIMEOUT)
            await asyncio.gather(*tasks)
            return outcomes

    tasks = []

    assert asyncio.run(measure()) == ["Retryable unreachable"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A file with a certificate of 127.0.0.1 that nobody has signed, and its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vendor")])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now - datetime.timedelta(1)).not_valid_after(
        now + datetime.timedelta(1)
    )  # fmt: skip
    hosts = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = built.add_extension(hosts, critical=False).sign(key, hashes.SHA256())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )  # fmt: skip
    file = tmp_path_factory.mktemp("tls") / "vendor.pem"
    file.write_bytes(pem + signed.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("is_known", "expected"), [(True, "Accepted m1"), (False, "Retryable unreachable")])
def test_certificate_is_checked(monkeypatch, certificate, kind, is_known, expected):
    """A certificate that the machine knows is taken; with another one nothing is sent."""
    monkeypatch.setattr("audience.delivery.transport.http.is_loopback", lambda url: False)
    monkeypatch.setattr("audience.delivery.transport.http.has_proxy", lambda: False)
    if is_known:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def measure():
        async with serve(write(GOOD), context) as (url, requests):
            return await call(url, kind), len(requests)

    assert asyncio.run(measure()) == ([expected], int(is_known))


@pytest.mark.parametrize("kind", KINDS)
def test_body_that_is_not_read_ends_in_doubt(kind):
    async def connect(reader, writer):
        writer.transport.pause_reading()
        writers.append(writer)

    async def measure():
        async with await asyncio.start_server(connect, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            outcomes = await call(url, kind, [replace(PUSH, content=bytes(32 << 20))], TIMEOUT)
            for writer in writers:
                writer.transport.abort()
                await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            return outcomes

    writers = []
    assert asyncio.run(measure()) == ["InDoubt no-reply"]


REQUESTS = [
    Request(method="POST", path="/v1/push", content=b'{"a": "b"}', headers={"Content-Type": "application/json"}),
    Request(method="POST", path="/v1/push", content=b"x" * 3_000_001),
    Request(method="POST", path="/empty"),
    Request(method="DELETE", path="/v1/push/7%2F8?a=%20b&c=d"),
    Request(method="GET", path="/tags/a:b,c;d=e@f(g)'h'*!~$", headers={"X-Name": 'a;b="c", d'}),
    Request(method="PUT", path="/\u9001 a", content=b"\0\r\n"),
]
UNLIKE = {b"host", b"accept", b"connection", b"accept-encoding", b"user-agent", b"content-length"}


def read_request(head, content):
    line, *fields = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    headers = {name.lower(): value for name, _, value in (field.partition(b": ") for field in fields)}
    assert headers[b"user-agent"] == b"audience"
    assert headers.get(b"content-length", b"0") == str(len(content)).encode()
    return line, {name: value for name, value in headers.items() if name not in UNLIKE}, content


@pytest.mark.parametrize("query", [{}, {"A b": "c+d", "e&f": "=%20", "\u00e9": "\u9001", "~": "*"}])
def test_requests_are_those_of_httpx(query):
    def keep(request, credentials, context):
        return replace(request, query=query) if query else request

    async def measure(kind):
        async with serve(write(GOOD)) as (url, requests):
            credentials = Credentials(url, {"key": "k", "secret": "s"})
            async with open_transport(make_delivery(sign=keep), credentials, LONG, 1, KINDS[kind]()) as transport:
                for request in REQUESTS:
                    assert describe(await transport.post(request, parse)) == "Accepted m1"
            return [read_request(*request) for request in requests]

    assert asyncio.run(measure("direct")) == asyncio.run(measure("httpx"))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"https_proxy": "http://proxy.example"}, True),
        ({"ALL_PROXY": "socks5://proxy.example"}, True),
        ({"NO_PROXY": "a.example"}, False),
        ({"ftp_proxy": "http://proxy.example", "HTTPS_PROXY": ""}, False),
    ],
)
def test_proxy_of_the_environment_is_found(monkeypatch, variables, expected):
    for name in ("all_proxy", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert has_proxy() is expected
