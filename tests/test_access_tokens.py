"""Access tokens that a vendor gives out: drawn before the calls that need them, replaced in time, and kept nowhere."""

import asyncio
from dataclasses import replace
from itertools import count

import httpx
import pytest

from audience import Problem
from audience.delivery import resume, send
from audience.delivery.clock import SYSTEM_CLOCK
from audience.delivery.transport.http import open_transport
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    FakeService,
    make_delivery,
    make_ids,
    make_send_options,
    make_vendor,
    parse_reply,
    write_run_folder,
)
from audience.testing.registration import register_vendors
from audience.vendors.delivery_spec import Accepted, AccessToken, AccessTokenSource, Fatal, Request, Retryable

LIFETIME = 100


def parse_token(response):
    match response.status:
        case 200:
            return AccessToken(response.content.decode(), LIFETIME)
        case 503:
            return Retryable(Problem("busy", response.content.decode()))
    return Fatal(Problem("wrong-keys", response.content.decode()))


TOKENS = AccessTokenSource(
    build_request=lambda credentials, now: Request(
        method="POST", path="https://keys.example/token", content=credentials.keys["secret"].encode()
    ),
    parse_reply=parse_token,
    is_refused=lambda response: response.status == 401,
    source="made up",
)


def parse_or_ask_again(response):
    return Retryable(Problem("expired", "expired")) if response.status == 401 else parse_reply(response)


def sign(request, credentials, context):
    return replace(request, headers={"authorization": f"Bearer {context.access_token}"})


DELIVERY = make_delivery(access_tokens=TOKENS, sign=sign)
METHODS = tuple(replace(method, parse_reply=parse_or_ask_again) for method in DELIVERY.send_methods)
DELIVERY = replace(DELIVERY, send_methods=METHODS, native_method=METHODS[0])


class TokenService(FakeService):
    """Service that takes the last token that it gave out; *fail* says what becomes of a call for one."""

    def __init__(self, fail=lambda number: None, valid_calls=10**9, **options):
        super().__init__(**options)
        self.fail, self.valid_calls, self.drawn, self.left, self.numbers = fail, valid_calls, [], 0, count(1)

    async def handle_request(self, request):
        if request.url.path == "/token":
            assert (request.url.host, request.content) == ("keys.example", b"s3cr3t-w0rd")
            assert "authorization" not in request.headers
            await asyncio.sleep(0)
            match self.fail(next(self.numbers)):
                case None:
                    self.left = self.valid_calls
                    self.drawn.append(f"access-token-{len(self.drawn)}")
                    return httpx.Response(200, text=self.drawn[-1])
                case "lost":
                    raise httpx.RemoteProtocolError("closed", request=request)
                case status:
                    return httpx.Response(status, text="no token for s3cr3t-w0rd")
        self.left -= 1
        if self.left < 0 or request.headers["authorization"] != f"Bearer {self.drawn[-1]}":
            return httpx.Response(401, json={"words": request.headers["authorization"]})
        return await super().handle_request(request)


@pytest.fixture(autouse=True)
def vendor():
    with register_vendors(make_vendor(DELIVERY)):
        yield


def send_all(folder, service, ids=95, **options):
    folder = write_run_folder(folder, make_ids(ids))
    return send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service, **options))


def test_one_token_serves_all_calls(tmp_path):
    service = TokenService()
    assert send_all(tmp_path / "run", service).done
    assert (len(service.drawn), service.call_count) == (1, 10)
    assert service.delivery_counts == dict.fromkeys(make_ids(95), 1)


def test_token_is_in_no_file(tmp_path):
    service = TokenService(fault=lambda number: "refused" if number % 2 else None)
    send_all(tmp_path / "run", service)
    for file in (tmp_path / "run").iterdir():
        content = file.read_bytes()
        assert b"access-token" not in content, file.name
        assert b"s3cr3t" not in content, file.name


def test_refused_token_is_replaced(tmp_path):
    service = TokenService(valid_calls=3)
    status = send_all(tmp_path / "run", service, concurrency=1)
    assert (status.done, len(service.drawn)) == (True, 4)
    assert service.delivery_counts == dict.fromkeys(make_ids(95), 1)


def test_lost_and_late_tokens_leave_nothing_in_doubt(tmp_path):
    service = TokenService(fail={1: "lost", 2: 503}.get)
    status = send_all(tmp_path / "run", service)
    assert (status.done, status.batch_counts["in_doubt"], len(service.drawn)) == (True, 0, 1)
    assert service.delivery_counts == dict.fromkeys(make_ids(95), 1)


def test_wrong_keys_stop_the_run_before_anything_is_sent(tmp_path):
    service = TokenService(fail=lambda number: 400)
    status = send_all(tmp_path / "run", service)
    assert (status.stop_reason.code, service.call_count, status.batch_counts["in_doubt"]) == ("wrong-keys", 0, 0)
    assert status.stop_reason.message == "no token for ***"
    service.fail = lambda number: None
    assert resume(tmp_path / "run", CREDENTIALS, options=make_send_options(service)).done
    assert service.delivery_counts == dict.fromkeys(make_ids(95), 1)


@pytest.mark.parametrize(("seconds", "drawn"), [(89, 1), (91, 2)], ids=["valid", "nearly over"])
def test_token_is_replaced_before_it_ends(seconds, drawn):
    service, now = TokenService(), [1_000.0]

    async def call_twice():
        clock = replace(SYSTEM_CLOCK, boot=lambda: now[0])
        request = Request(method="POST", path="/push", content=b'{"to": ["r1"], "token": "k"}')
        async with open_transport(DELIVERY, CREDENTIALS, 5, 4, service.make_transport(), clock) as transport:
            first = await transport.post(request, parse_or_ask_again)
            now[0] += seconds
            return [first, await transport.post(request, parse_or_ask_again)]

    assert [type(reply) for reply in asyncio.run(call_twice())] == [Accepted, Accepted]
    assert len(service.drawn) == drawn
