"""Access tokens that a vendor gives out: drawn before the calls that need them, replaced in time, and kept nowhere."""

import asyncio
import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from urllib.parse import parse_qs

import httpx
import pytest
from callers.fcm import make_private_key

from audience import Problem, get_vendor
from audience.delivery import resume, send
from audience.delivery.clock import SYSTEM_CLOCK
from audience.delivery.dry_run import perform_dry_run
from audience.delivery.prepare import prepare_run
from audience.delivery.transport.access import AccessTokenPool
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
from audience.vendors.delivery_spec import (
    Accepted,
    AccessToken,
    AccessTokenSource,
    Credentials,
    Fatal,
    InDoubt,
    Request,
    Response,
    Retryable,
)

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


def test_dry_run_without_a_token_checks_nothing(tmp_path):
    service = TokenService(fail=lambda number: 400)
    delivery = replace(DELIVERY, dry_run=lambda call, credentials: METHODS[0].build_request(call, credentials))
    with register_vendors(make_vendor(delivery)):
        prepared = prepare_run(write_run_folder(tmp_path / "run", make_ids(95)), MESSAGE, CREDENTIALS, UNLIMITED)
        checked = perform_dry_run(prepared, True, make_send_options(service))
    assert (checked.checked_calls, [problem.code for problem in checked.problems]) == (0, ["wrong-keys"])


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


def test_all_that_wait_share_the_failure_of_one_request():
    pool, draws = AccessTokenPool(), []

    async def draw(parse):
        draws.append(len(draws))
        await asyncio.sleep(0)
        return InDoubt(Problem("no-reply", "no reply within 30 seconds", hint="look it up"))

    async def refresh_all():
        first = await asyncio.gather(*(pool.refresh(TOKENS, draw, lambda: 0.0) for _ in range(200)))
        return [*first, await pool.refresh(TOKENS, draw, lambda: 0.0)]

    replies = asyncio.run(refresh_all())
    assert draws == [0, 1]  # the last one asked later, and may ask anew
    assert {(type(reply), reply.problem.code) for reply in replies} == {(Retryable, "no-reply")}
    assert "nothing was sent" in replies[0].problem.hint


@pytest.mark.parametrize("vendor_name", ["fcm", "huawei"])
def test_server_of_tokens_that_asks_to_wait_is_waited_for(vendor_name):
    async def authorize():
        keys = {**FCM_KEYS, "private_key": make_private_key(), "client_id": "7", "client_secret": "s3cr3t-w0rd"}
        busy = httpx.MockTransport(lambda request: httpx.Response(503, headers={"retry-after": "120"}))
        delivery = get_vendor(vendor_name).delivery
        async with open_transport(delivery, Credentials("https://other.example", keys), 5, 4, busy) as transport:
            return await transport.authorize()

    reply = asyncio.run(authorize())
    assert (type(reply), reply.retry_after) == (Retryable, 120.0)


# Replies of the vendors that give them out. -------------------------------------------------------------------------

SECRET = "ya29.s3cr3t"
UNUSABLE = [
    '{"access_token": ["ya29.s3cr3t"], "expires_in": 3600}',
    '{"access_token": {"value": "ya29.s3cr3t"}}',
    '{"access_token": "ya29.s3cr3t", "expires_in": 3600',
    '{"access_token": "ya29.s3cr3t", "access_token": "b", "expires_in": 3600}',
    '{"access_token": "ya29.s3cr3t", "error": "invalid_grant"}',
    '{"access_token": "ya29.s3cr3t\\r\\nx: y", "expires_in": 3600}',
    '{"access_token": "ya29.s3cr3t\\u00e9", "expires_in": 3600}',
    '{"access_token": " ya29.s3cr3t", "expires_in": 3600}',
    '{"accessToken": "ya29.s3cr3t", "expires_in": 3600}',
    '[{"access_token": "ya29.s3cr3t"}]',
    "access_token=ya29.s3cr3t&expires_in=3600",
]


@pytest.mark.parametrize("vendor_name", ["fcm", "huawei"])
@pytest.mark.parametrize("status", [200, 302, 401, 500])
@pytest.mark.parametrize("text", UNUSABLE)
def test_unusable_token_is_not_taken_and_not_quoted(vendor_name, status, text):
    reply = get_vendor(vendor_name).delivery.access_tokens.parse_reply(Response(status, text.encode()))
    assert type(reply) is (InDoubt if status in (200, 500) or '"b"' in text else Fatal)
    assert SECRET not in repr(reply)


@pytest.mark.parametrize("vendor_name", ["fcm", "huawei"])
@pytest.mark.parametrize(
    ("lifetime", "seconds"),
    [
        ("3599", 3_599),
        ('"3600"', 300),
        ("null", 300),
        ("true", 300),
        ("-1", 300),
        ("1e9", 300),
        ("1" + "0" * 400, 86_400),
    ],
)
def test_lifetime_of_a_token_is_bounded(vendor_name, lifetime, seconds):
    content = f'{{"access_token": "ya29.x", "expires_in": {lifetime}}}'.encode()
    reply = get_vendor(vendor_name).delivery.access_tokens.parse_reply(Response(200, content))
    assert (reply.value, reply.seconds) == ("ya29.x", seconds)


FCM_KEYS = {"project_id": "p1", "client_email": "a@p1", "private_key_id": "k1", "ids": "token"}


def make_fcm_credentials(base_url):
    pytest.importorskip("google.auth.crypt")
    return Credentials(base_url, {**FCM_KEYS, "private_key": make_private_key()})


@pytest.mark.parametrize(
    ("base_url", "audience"),
    [
        ("https://fcm.googleapis.com", "https://oauth2.googleapis.com/token"),
        ("https://other.example", "https://other.example/token"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/token"),
    ],
)
def test_assertion_is_of_use_only_where_it_is_sent(base_url, audience):
    source = get_vendor("fcm").delivery.access_tokens
    request = source.build_request(make_fcm_credentials(base_url), datetime(2026, 12, 1, tzinfo=UTC))
    [assertion] = parse_qs(request.content.decode())["assertion"]
    assert json.loads(base64.urlsafe_b64decode(f"{assertion.split('.')[1]}=="))["aud"] == audience
    assert httpx.URL(base_url).join(request.path) == audience


def test_assertion_that_a_server_repeats_is_not_quoted():
    assertions = []

    def refuse(request):
        assertions.extend(parse_qs(request.content.decode())["assertion"])
        return httpx.Response(400, json={"error": "invalid_grant", "error_description": f"Bad JWT {assertions[-1]}"})

    async def authorize():
        delivery, credentials = get_vendor("fcm").delivery, make_fcm_credentials("https://other.example")
        async with open_transport(delivery, credentials, 5, 4, httpx.MockTransport(refuse)) as transport:
            return await transport.authorize()

    reply = asyncio.run(authorize())
    assert (type(reply), reply.problem.message) == (Fatal, "HTTP 400 'invalid_grant: Bad JWT ***'")
    assert len(assertions) == 1


def test_key_of_another_algorithm_is_refused_before_anything_is_begun():
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for key in (ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()):
        keys = {**FCM_KEYS, "private_key": key.private_bytes(*form).decode()}
        [problem] = get_vendor("fcm").delivery.check_keys(keys)
        assert problem.code == "bad-key"
