"""What the sandbox answers to requests that no client of a vendor makes: from other sites, or any bytes."""

import io
import json
import re
import socket
import tracemalloc
import zipfile
from contextlib import suppress

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from raw_connections import end_sending
from vendor_calls import TABLE, emas_call, make_router, send_call, tpns_call, tpns_message, upload_call

from audience.sandbox import Population, Sandbox
from audience.sandbox.endpoints import emulated_vendors
from audience.sandbox.http_types import HttpCall
from audience.sandbox.vendors.tpns import packages

PATHS = sorted({path for module in emulated_vendors().values() for path in module.PATHS})
CONTROL_ROUTES = ("delivered", "deliveries", "tags", "log", "faults", "reset")
ALL_PATHS = [*PATHS, *(f"/_sandbox/{name}" for name in CONTROL_ROUTES), "/nowhere"]


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(Population(TABLE), rate=None) as running:
        yield running


def send_bytes(sandbox: Sandbox, request: bytes) -> bytes:
    """The answer to *request*, whatever it is; the sandbox may close the connection before it has read it all."""
    answer = b""
    address = ("127.0.0.1", int(sandbox.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=20) as connection, suppress(ConnectionError):
        connection.sendall(request)
        end_sending(connection)
        while part := connection.recv(65_536):
            answer += part
    return answer


def read_status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


# Other sites


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "evil.example@127.0.0.1"},
        {"host": "localhost:no"},
        {"host": ""},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/_sandbox/faults", "/v3/push/app"])
def test_request_of_another_site_is_refused(sandbox, headers, path):
    answer = httpx.post(sandbox.url + path, headers={"content-type": "text/plain", **headers}, content='["drop"]')
    assert answer.status_code == 403
    assert answer.json()["problems"][0]["code"] in ("wrong-host", "wrong-origin")
    assert httpx.get(f"{sandbox.url}/_sandbox/faults").json() == []


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_request_of_this_machine_is_taken(sandbox, name):
    host = f"{name}:{sandbox.url.rpartition(':')[2]}"
    for more in ({}, {"origin": f"http://{host}"}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}):
        assert httpx.get(f"{sandbox.url}/_sandbox/log", headers={"host": host, **more}).status_code == 200


# Any bytes


HEADER_LINES = st.sampled_from(
    [
        *(b"content-type: application/json", b"content-type: text/plain; charset=utf-7"),
        *(b"content-type: application/x-www-form-urlencoded", b"content-type: multipart/form-data"),
        *(b"content-type: multipart/form-data; boundary=x", b"content-type: \xff", b"content-encoding: gzip"),
        *(b"authorization: Basic azpz", b"authorization: Basic \xb2", b"authorization: ACS3-HMAC-SHA256 Credential=a"),
        *(b"x-acs-action: Push", b"x-acs-version: 2016-08-01", b"x-acs-date: \xb2", b"accessid: k"),
        *(b"timestamp: \xc2\xb2", b"sign: x", b"expect: 100-continue", b"transfer-encoding: chunked"),
    ]
)
QUERIES = st.sampled_from(
    ["", "?a=%ff", "?last=²", "?last=-1", "?vendor=x", "?vendor=tpns&message=1", "?Action=Push&AppKey=²", "?type=%00"]
)
BODIES = st.sampled_from(
    [
        *(b"", b"{}", b"[]", b"NaN", b"[" * 100_000, b'{"a":' * 100_000, b'"\\ud800"', b"\xff\xfe", b"a=%ff&b"),
        *(b'[{"kind": 5}]', b'["drop", 5]', b'[{"kind": "drop", "endpoint": 5}]', b'[{"kind": "drop", "nth": -1}]'),
        *(b'["delay=1e999"]', b'[{"kind": "late", "value": "9999999999999999999"}]', b'["drop:#99999999999999999999"]'),
        b'--x\r\ncontent-disposition: form-data; name="file"; filename="\xff"\r\n\r\nr1\r\n--x--\r\n',
    ]
) | st.binary(max_size=60)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "X"]),
    path=st.sampled_from(ALL_PATHS),
    query=QUERIES,
    lines=st.lists(HEADER_LINES, max_size=3),
    body=BODIES,
)
@example("POST", "/_sandbox/faults", "", [], b"[" * 100_000)
@example("POST", "/", "?Action=Push", [b"content-type: application/x-www-form-urlencoded"], b"a=%ff")
@example("POST", "/v3/push/app", "", [b"authorization: Basic \xb2"], b"{}")
@example("POST", "/v4/push", "", [b"content-encoding: gzip"], b"{}")
def test_any_request_has_a_worded_answer(sandbox, caplog, method, path, query, lines, body):
    head = [f"{method} {path}{query} HTTP/1.1".encode(), b"host: 127.0.0.1", b"connection: close", *lines]
    answer = send_bytes(sandbox, b"\r\n".join([*head, b"content-length: %d" % len(body), b"", body]))
    sandbox.set_faults()
    assert [record for record in caplog.records if record.exc_info] == []
    if answer:  # an upload that was announced as chunked, and ended, has none
        assert read_status(answer) < 500, answer[:500]
        assert b"Traceback" not in answer


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
@example(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: \xb2\r\n\r\n")
@example(b"GET /\xff HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
@example(b"GET / HTTP/9.9\r\n\r\n")
def test_any_bytes_have_a_worded_answer_or_none(sandbox, caplog, request_bytes):
    answer = send_bytes(sandbox, request_bytes)
    assert [record for record in caplog.records if record.exc_info] == []
    assert not answer or read_status(answer) < 500
    assert b"Traceback" not in answer


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["²", "all", "r1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
SOUND_BODIES = {
    "/v4/push": {"to": "all", "body": {"platform": "all", "notification": {"alert": "x"}, "options": {}}},
    "/v3/push": {"platform": "all", "audience": "all", "notification": {"alert": "x"}, "options": {}},
    "/v3/push/app": {
        **tpns_message(audience_type="all", tag_rules=[{"tag_items": [{"tags": ["a"]}]}], environment="product"),
        **{"send_time": "2026-12-01 08:10:00", "loop_param": {"loopType": 1}, "channel_rules": [{"channel": "hw"}]},
    },
}


@st.composite
def spoilt_bodies(draw):
    """A path, and a sound body of it in which one value is replaced."""
    path = draw(st.sampled_from(sorted(SOUND_BODIES)))
    body = json.loads(json.dumps(SOUND_BODIES[path]))
    part = body
    while True:
        key = draw(st.sampled_from([*part, "other", "time_to_live"])) if isinstance(part, dict) else 0
        inner = part.get(key) if isinstance(part, dict) else part[key]
        if not inner or not isinstance(inner, dict | list) or draw(st.booleans()):
            part[key] = draw(JSON_VALUES)
            return path, body
        part = inner


@given(spoilt_bodies())
@example(("/v4/push", {"to": "all", "body": {**SOUND_BODIES["/v4/push"]["body"], "options": {"time_to_live": "²"}}}))
def test_spoilt_body_is_answered_in_vendors_words(case):
    path, body = case
    router = make_router(rate=None)
    call = HttpCall("POST", path, headers={"authorization": "Basic azpz"}, body=json.dumps(body).encode())
    assert send_call(router, router.vendor_for_path(path), call).status < 500


@given(
    action=st.sampled_from(["Push", "PushV2", "MassPush", "MassPushV2", "ContinuouslyPush", "CancelPush"]),
    parameters=st.dictionaries(
        st.sampled_from(["PushTask", "PushTasks", "PushTask.1.Title", "PushTask.²", "Title", "Target", "AppKey"])
        | st.sampled_from(["TargetValue", "MessageId", "PushTime", "IdempotentToken", "Signature", "Timestamp"]),
        st.text(max_size=8) | JSON_VALUES.map(json.dumps) | st.sampled_from(["²", "0001-01-01T00:00:00Z", "ALL"]),
    ),
)
def test_any_parameters_are_answered_in_vendors_words(action, parameters):
    assert send_call(make_router(rate=None), "emas", emas_call(action, **parameters)).status < 500


@given(task=JSON_VALUES, part=st.sampled_from(["Options", "Target", "Notification", "Message", "Action"]))
def test_any_part_of_a_task_is_answered_in_vendors_words(task, part):
    body = {"Target": {"Type": "ALL"}, "Message": {"Title": "t", "Body": "b"}, part: task}
    for action, value in (
        ("PushV2", {"PushTask": json.dumps(body)}),
        ("MassPushV2", {"PushTasks": json.dumps([body])}),
    ):
        assert send_call(make_router(rate=None), "emas", emas_call(action, **value)).status < 500


# What is unpacked


def zip_of(text: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.txt", text)
    return file.getvalue()


def test_unpacked_package_is_bounded(monkeypatch):
    """The size that a zip claims does not count, nor does it take the memory to find out."""
    monkeypatch.setattr(packages, "MAX_UNZIPPED_BYTES", 1_000_000)
    bomb = zip_of(b"r1\n" * 20_000_000)
    tracemalloc.start()
    reply = send_call(make_router(), "tpns", upload_call("t.zip", bomb))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (reply.code, peak < 20_000_000) == ("1008011", True)
    claimed = bomb.replace((60_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert send_call(make_router(), "tpns", upload_call("t.zip", claimed)).code == "1008011"


def test_lines_of_package_are_bounded(monkeypatch):
    monkeypatch.setattr(packages, "MAX_LINES", 10)
    assert send_call(make_router(), "tpns", upload_call("t.txt", b"r1\n" * 10)).code == ""
    assert send_call(make_router(), "tpns", upload_call("t.txt", b"r1\r" * 11)).code == "1008011"


@given(st.binary(max_size=400), st.integers(0, 300))
def test_damaged_package_is_answered_in_vendors_words(noise, place):
    sound = zip_of(b"r1\nr2")
    for data in (noise, sound[:place] + noise + sound[place + len(noise) :]):
        assert re.fullmatch("|10080[0-9]{2}", send_call(make_router(), "tpns", upload_call("t.zip", data)).code)


def test_last_line_of_package_is_checked_too():
    assert send_call(make_router(), "tpns", upload_call("t.txt", b"r1\nr2\nx")).code == "1008011"


def test_text_body_beyond_16_megabytes_is_refused(sandbox):
    answer = httpx.post(f"{sandbox.url}/v3/push/app", content=b"[" * (16 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["problems"][0]["code"]) == (413, "too-large")


def test_call_that_was_spoilt_leaves_sandbox_usable(sandbox):
    send_bytes(sandbox, b"POST /_sandbox/faults HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n[[[")
    call = tpns_call(tpns_message(audience_type="token", token_list=["r1"]))
    answer = httpx.post(f"{sandbox.url}/v3/push/app", content=call.body, headers=dict(call.headers))
    assert answer.json()["ret_code"] == 0
