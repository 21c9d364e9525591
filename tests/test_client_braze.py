"""Requests that the kept client of Braze for Node writes are read, checked and delivered, and ours are those requests.

The client is braze-api 2.13.4 of npm. Those of PyPI have no ``/messages/send`` (braze-client, braze-client-sdk,
braze-sdk, braze-api-client) or send mail alone (edx-braze-client). The requests are as it posted them under Node 20;
where Node finds the package, it talks to the sandbox itself.
"""

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from functools import cache

import polars as pl
import pytest
from callers.braze import HEADERS
from vendor_calls import make_router, send_call

from audience import get_vendor, parse, render
from audience.messages import parse_message
from audience.sandbox import KEY, SECRET, Population, Sandbox
from audience.sandbox.http_types import HttpCall
from audience.vendors.delivery_spec import Credentials, SendCall

BRAZE = get_vendor("braze")
APPLICATION = Credentials("https://x", {"api_key": "s"})
TABLE = pl.DataFrame(
    {"registration_id": ["r1", "r2", "r3"], "vip": [True, False, True], "city": ["Rome", "Rome", None]}
)
MESSAGE = (
    '"messages":{"apple_push":{"alert":{"title":"标题 one","body":"a & b"},"extra":{"page":"news"},'
    '"collapse_id":"3"},"android_push":{"alert":"a & b","title":"标题 one","extra":{"page":"news"},'
    '"collapse_key":"3"}}'
)
WORDS = {"title": "标题 one", "body": "a & b", "data": {"page": "news"}, "collapse_key": "3"}
VIP = '{"custom_attribute":{"custom_attribute_name":"vip","comparison":"equals","value":true}}'
ROME = '{"custom_attribute":{"custom_attribute_name":"city","comparison":"equals","value":"Rome"}}'
RECORDED = [  # method of the client, its path, what precedes the message, the expression, and who is told
    ("send", "/messages/send", '"external_user_ids":["r2","r9"]', "alias(r2, r9)", "r2"),
    ("send", "/messages/send", f'"broadcast":true,"audience":{VIP}', "vip", "r1 r3"),
    ("send", "/messages/send", f'"broadcast":true,"audience":{{"AND":[{VIP},{ROME}]}}', "vip AND city:Rome", "r1"),
]
PROGRAM = """
const { Braze } = require('braze-api');
const [url, key, method, body] = process.argv.slice(1);
const place = method.split('.').reduce((object, name) => object[name], new Braze(url, key).messages);
place(JSON.parse(body)).then(
  (reply) => console.log(JSON.stringify(reply)),
  (error) => { console.error(error.status, error.message); process.exit(3); },
);
"""
CASES = [each[1:] for each in RECORDED]


def post(text, path="/messages/send"):
    return HttpCall("POST", path, headers=HEADERS, body=text.encode())


@pytest.mark.parametrize(("path", "target", "text", "told"), CASES, ids=[each[2] for each in CASES])
def test_request_of_the_client_is_read_and_delivered(path, target, text, told):
    assert render(BRAZE.parse(json.loads(f"{{{target}}}"))) == text
    router = make_router(TABLE, secret="s")
    reply = send_call(router, "braze", post(f"{{{target},{MESSAGE}}}", path))
    assert (reply.code, " ".join(router.states["braze"].delivery_log.counts_by_id())) == ("", told)


@pytest.mark.parametrize(("path", "target", "text", "told"), CASES, ids=[each[2] for each in CASES])
def test_what_is_sent_is_the_request_of_the_client(path, target, text, told):
    method = BRAZE.delivery.native_method
    body = BRAZE.delivery.build_body(parse_message(WORDS))
    call = SendCall(targets=(BRAZE.emit(parse(text)),), body=body, handle=None, idempotency_key="-")
    request = method.build_request(call, APPLICATION)
    assert (request.path, json.loads(request.content)) == (path, json.loads(f"{{{target},{MESSAGE}}}"))


@cache
def find_node() -> str | None:
    """The program that runs the client, if that is installed."""
    node = shutil.which("node")
    if node and subprocess.run([node, "-e", "require.resolve('braze-api')"], capture_output=True).returncode == 0:
        return node
    return None


@pytest.mark.skipif(not find_node(), reason="Node or its package braze-api is not installed")
class TestWithNode:
    """The client itself talks to the sandbox over a real loopback connection, and is answered."""

    @pytest.fixture
    def sandbox(self):
        with Sandbox(Population(TABLE), key=KEY, secret=SECRET) as running:
            yield running

    @pytest.fixture
    def call_client(self, sandbox):
        """Have the client call a method, and return its reply, or the text of its error."""

        def run_client(method, body, key=SECRET):
            command = [find_node(), "-e", PROGRAM, sandbox.url, key, method, json.dumps(body)]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            return json.loads(ended.stdout) if ended.returncode == 0 else ended.stderr.strip()

        return run_client

    @pytest.mark.parametrize(("target", "text", "told"), [each[1:] for each in CASES])
    def test_targets_of_the_client_are_reached(self, call_client, sandbox, target, text, told):
        body = {**BRAZE.emit(parse(text)), **BRAZE.delivery.build_body(parse_message(WORDS))}
        assert call_client("send", body)["message"] == "success"
        assert " ".join(sandbox.delivery_counts("braze")) == told

    def test_scheduled_message_is_withdrawn(self, call_client, sandbox):
        at = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {**BRAZE.emit(parse("vip")), **BRAZE.delivery.build_body(parse_message(WORDS))}
        kept = call_client("schedule.create", body | {"schedule": {"time": at}})
        assert (sandbox.summary("braze")["waiting"], kept["message"]) == (1, "success")
        assert call_client("schedule.delete", {"schedule_id": kept["schedule_id"]})["message"] == "success"
        assert sandbox.summary("braze")["waiting"] == 0

    def test_refusal_raises_error_of_client(self, call_client, sandbox):
        body = {"external_user_ids": ["r1"], **BRAZE.delivery.build_body(parse_message(WORDS))}
        assert call_client("send", body, key="wrong").startswith("401 ")
        assert call_client("send", {"external_user_ids": ["r1"]}).startswith("400 ")
        assert sandbox.delivery_counts("braze") == {}
