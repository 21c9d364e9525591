"""Huawei's own client, the Python package hpa, talks to the sandbox; access tokens end, and runs go on."""

import json
import warnings
from itertools import count

import polars as pl
import pytest
from callers.huawei import huawei_call
from test_sandbox_delivery import make_credentials
from vendor_calls import START, ManualClock, make_router, send_call

from audience import DeviceIndex, Plan, get_vendor, parse, plan
from audience.delivery import RetryPolicy, SafetyLimits, SendOptions, send
from audience.delivery.dry_run import perform_dry_run
from audience.delivery.prepare import prepare_run
from audience.messages import parse_message
from audience.requests.writer import write_requests
from audience.sandbox import KEY, SECRET, Population, Sandbox
from audience.sandbox.http_types import HttpCall
from audience.vendors.delivery_spec import Credentials

with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)  # of the client: `is not` with a number
    hpa = pytest.importorskip("hpa")
    messaging = pytest.importorskip("hpa.messaging")

QUICK_OPTIONS = SendOptions(RetryPolicy(initial_delay=0.001, max_delay=0.01), concurrency=1)
TABLE = pl.DataFrame(
    {
        "registration_id": ["r1", "r2", "r3"],
        "tags": [["sports", "weather"], ["sports"], []],
        "platform": ["android", "android", "ios"],
    }
)


@pytest.fixture
def sandbox():
    with Sandbox(Population(TABLE), key=KEY, secret=SECRET) as running:
        yield running


@pytest.fixture
def client(sandbox, monkeypatch):
    """Yield a function that sends by the client."""
    monkeypatch.setattr(hpa, "_apps", {})

    def send_message(secret=SECRET, validate_only=False, **fields):
        hpa._apps.clear()
        hpa.initialize_app(KEY, secret, token_server=f"{sandbox.url}/oauth2/v3/token", push_open_url=sandbox.url)
        return messaging.send_message(messaging.Message(**fields), validate_only=validate_only)

    return send_message


def show(**fields):
    click = messaging.AndroidClickAction(action_type=3)
    notification = messaging.AndroidNotification(title="t", body="b", click_action=click, **fields)
    return messaging.AndroidConfig(urgency=None, notification=notification)


def test_client_sends_to_tokens(sandbox, client):
    answer = client(android=show(), token=["r1", "r3"])
    assert (answer.code, answer.reason) == ("80000000", "Success")
    assert sandbox.delivery_counts("huawei", answer.requestId) == {"r1": 1, "r3": 1}


def test_client_is_given_the_tokens_that_are_not_valid(sandbox, client):
    answer = client(data='{"n": 1}', token=["r2", "nobody"])
    assert answer.code == "80100000"
    assert json.loads(answer.reason) == {"success": 1, "failure": 1, "illegal_tokens": ["nobody"]}
    assert sandbox.delivery_counts("huawei") == {"r2": 1}


def test_client_sends_to_what_our_plan_names(sandbox, client):
    for text, told in (("sports AND NOT weather", {"r2": 1}), ("weather", {"r1": 1}), ("sports", {"r1": 1, "r2": 1})):
        [payload] = plan(text, "huawei").native
        answer = client(android=show(), **payload["message"])
        assert sandbox.delivery_counts("huawei", answer.requestId) == told


def test_client_validates_without_a_delivery(sandbox, client):
    assert client(data="x", token=["r1"], validate_only=True).code == "80000000"
    assert sandbox.delivery_counts("huawei") == {}
    with pytest.raises(messaging.ApiCallError):
        client(android=show(style=2), token=["r1"], validate_only=True)  # which the page has no longer


def test_client_with_a_wrong_secret_gets_no_token(sandbox, client):
    with pytest.raises(messaging.ApiCallError):
        client(secret="wrong", data="x", token=["r1"])
    assert sandbox.log("huawei")[-1]["code"] == "1101/12304"


def test_our_body_is_the_one_of_the_client():
    ours = get_vendor("huawei").delivery.build_body(
        parse_message(
            {"title": "t", "body": "b", "sound": "/raw/shake", "channel_id": "c", "thread_id": "g", "data": {"n": 1}}
            | {"link": "https://www.huawei.com", "image": "https://a.b/c.png", "collapse_key": "k", "time_to_live": 10}
            | {"vendor": {"huawei": {"message": {"android": {"bi_tag": "tag", "urgency": "NORMAL"}}}}}
        )
    )
    notification = messaging.AndroidNotification(
        title="t",
        body="b",
        image="https://a.b/c.png",
        sound="/raw/shake",
        default_sound=False,
        tag="k",
        group="g",
        channel_id="c",
        click_action=messaging.AndroidClickAction(action_type=2, url="https://www.huawei.com"),
    )
    android = messaging.AndroidConfig(ttl="10s", bi_tag="tag", notification=notification)
    theirs = hpa._app.App.JSON_ENCODER.default(messaging.Message(data='{"n":1}', android=android, token=["r1"]))
    for name in ("use_default_vibrate", "use_default_light", "foreground_show"):  # defaults that it writes out
        theirs["android"]["notification"].pop(name)
    assert {**ours["message"], "token": ["r1"]} == theirs


# Access tokens. ------------------------------------------------------------------------------------------------------


def draw_token(router, client=KEY):
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": SECRET}
    return send_call(router, "huawei", HttpCall("POST", "/oauth2/v3/token", form=form))


def push(router, token):
    call = huawei_call({"message": {"data": "x", "token": ["r1"]}})
    call = HttpCall("POST", f"/v1/{KEY}/messages:send", headers={"authorization": f"Bearer {token}"}, body=call.body)
    reply = send_call(router, "huawei", call)
    return reply.status, reply.code


def test_access_token_is_valid_for_an_hour():
    clock = ManualClock()
    router = make_router(TABLE, key=KEY, secret=SECRET, clock=clock)
    drawn = draw_token(router).body
    assert (drawn["expires_in"], drawn["token_type"]) == (3_600, "Bearer")
    clock.now = START + 3_599
    assert push(router, drawn["access_token"]) == (200, "")
    clock.now = START + 3_600
    assert push(router, drawn["access_token"]) == (401, "80200003")
    assert push(router, "made-up") == (401, "80200001")
    assert draw_token(router, "other").code == "1101/20003"


def write_folder(path, numbers):
    table = pl.DataFrame({"token": [f"{number:0130x}" for number in numbers]})
    index = DeviceIndex.build(table, path / "devices.index", tokens={"huawei": "token"})
    everyone = parse("everyone")
    write_requests(Plan("huawei", everyone, (), everyone, (), index=index), index, path / "run")
    return path / "run", Population(table.rename({"token": "huawei_token"}))


def test_run_goes_on_after_its_access_token_has_ended(tmp_path):
    """The clock of the vendor runs ahead of ours: its tokens end early, in the middle of the run."""
    folder, population = write_folder(tmp_path, range(10_000))
    ticks = count()
    with Sandbox(population, key=KEY, secret=SECRET, rate=None, clock=lambda: 400.0 * next(ticks)) as sandbox:
        found = send(
            folder,
            {"title": "t", "body": "b"},
            make_credentials("huawei", sandbox),
            SafetyLimits(max_devices=10_000),
            options=QUICK_OPTIONS,
        )
        assert (found.done, found.batch_counts["accepted"]) == (True, 10)
        assert set(sandbox.delivery_counts("huawei").values()) == {1}
        assert len(sandbox.delivery_counts("huawei")) == 10_000
        codes = [entry["code"] for entry in sandbox.log("huawei")]
        paths = [entry["endpoint"] for entry in sandbox.log("huawei")]
        assert paths.count("/oauth2/v3/token") == 1 + codes.count("80200003") > 1


def test_dry_run_lets_huawei_check_the_form_alone(tmp_path):
    folder, _ = write_folder(tmp_path, range(3))
    _, other = write_folder(tmp_path / "other", range(3, 6))
    with Sandbox(other, key=KEY, secret=SECRET) as sandbox:
        application, message = make_credentials("huawei", sandbox), {"title": "t", "body": "b"}
        prepared = prepare_run(folder, message, application, SafetyLimits(max_devices=3))
        checked = perform_dry_run(prepared, True, SendOptions())
        assert (checked.checked_calls, checked.problems) == (1, ())
        assert sandbox.delivery_counts("huawei") == {}


def test_tokens_that_are_all_unknown_cost_one_call(tmp_path):
    folder, _ = write_folder(tmp_path, range(900))
    _, other = write_folder(tmp_path / "other", [10_000])
    with Sandbox(other, key=KEY, secret=SECRET) as sandbox:
        found = send(
            folder,
            {"title": "t", "body": "b"},
            make_credentials("huawei", sandbox),
            SafetyLimits(max_devices=900),
            options=QUICK_OPTIONS,
        )
        assert (found.done, sum(found.invalid_id_counts.values())) == (True, 900)
        assert len(sandbox.log("huawei")) == 2


def test_topics_are_for_android_and_count_among_the_bytes():
    vendor = get_vendor("huawei")
    method, credentials = vendor.delivery.native_method, Credentials("https://h", {"client_id": "7"})

    def find_codes(message, *targets):
        body = vendor.delivery.build_body(parse_message({"title": "t", **message}))
        return [problem.code for problem in method.check(body, targets, credentials)]

    topic, tokens = plan("a", "huawei").native[0], vendor.target_ids(["r1"])
    assert find_codes({"body": "b"}, topic) == []
    assert find_codes({"body": "b", "platforms": ["android", "ios"]}, topic) == ["other-platform"]
    assert find_codes({"body": "b", "platforms": ["ios"]}, tokens) == []
    assert find_codes({"body": "x" * 3_940}, tokens) == []
    assert find_codes({"body": "x" * 3_940}, plan("a OR b", "huawei").native[0]) == ["too-long"]
