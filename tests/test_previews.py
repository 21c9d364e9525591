"""Previews: the final requests, one example of each, without ids and keys; and a dry run builds the same ones."""

import json
import re

import polars as pl
import pytest
from test_messages import SENDABLE_VENDORS

from audience import DeviceIndex, get_vendor, plan
from audience.delivery import dry_run, previews
from audience.delivery.call_requests import build_requests
from audience.delivery.costs import placeholder_credentials
from audience.delivery.prepare import prepare_run
from audience.delivery.previews import elide_ids, preview_run
from audience.delivery.safety_limits import SafetyLimits
from audience.delivery.sender.worker import SendOptions
from audience.messages import parse_message
from audience.requests.writer import write_requests

AUDIENCE = "male AND sample(60%, s)"  # which no vendor can express
MESSAGE = {"title": "Hi", "body": "there", "subtitle": "s", "overrides": {"ios": {"title": "Hi iOS"}}}
MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T[\d:]+Z| [\d:]+)")  # of expiry, a second later in the second body


@pytest.fixture(scope="module")
def folders(index, tmp_path_factory):
    """Requests of one audience by ids, for each vendor."""
    root = tmp_path_factory.mktemp("previews")
    for name in SENDABLE_VENDORS:
        write_requests(plan(AUDIENCE, name, index), index, root / name)
    return root


@pytest.mark.parametrize("name", SENDABLE_VENDORS)
def test_preview_shows_every_method_without_ids_and_keys(folders, index, name):
    delivery = get_vendor(name).delivery
    credentials = placeholder_credentials(delivery)
    secrets = {key: f"secret{key}9" for key in delivery.required_keys}
    credentials = type(credentials)(credentials.base_url, {**credentials.keys, **secrets, "app_key": "777123777"})
    preview = preview_run(folders / name, parse_message(MESSAGE), credentials)
    assert {each.method for each in preview.requests} == {method.name for method in delivery.send_methods}
    text = json.dumps([dict(request) for each in preview.requests for request in each.requests])
    assert not [value for value in (*secrets.values(), "777123777") if value in text]
    assert not [identifier for identifier in index.resolve(AUDIENCE).ids()[:500] if identifier in text]
    assert all(each.device_count == index.count(AUDIENCE) for each in preview.requests)


@pytest.mark.parametrize("name", SENDABLE_VENDORS)
def test_dry_run_builds_the_bodies_of_the_preview(folders, name, monkeypatch):
    delivery, bodies = get_vendor(name).delivery, {previews: [], dry_run: []}
    for module, found in bodies.items():

        def collect(call, method, *args, found=found, **options):
            found.append((method.name, MOMENT.sub("a moment", json.dumps(call.body))))
            return build_requests(call, method, *args, **options)

        monkeypatch.setattr(module, "build_requests", collect)
    credentials = placeholder_credentials(delivery)
    previews.preview_run(folders / name, parse_message(MESSAGE), credentials)
    for method in delivery.send_methods:
        limits = SafetyLimits(max_devices=10**6)
        prepared = prepare_run(folders / name, MESSAGE, credentials, limits, method_name=method.name)
        dry_run.perform_dry_run(prepared, False, SendOptions())
    assert set(bodies[previews]) == set(bodies[dry_run])


@pytest.mark.parametrize("name", SENDABLE_VENDORS)
def test_preview_marks_the_method_that_a_send_uses(folders, name):
    credentials = placeholder_credentials(get_vendor(name).delivery)
    used = prepare_run(folders / name, MESSAGE, credentials, SafetyLimits(max_devices=10**6)).method.name
    shown = preview_run(folders / name, parse_message(MESSAGE), credentials).requests
    assert {each.method for each in shown if each.chosen} == {used}


def test_parts_of_a_request_are_named(audience, folders, message_file):
    out = audience("preview", str(folders / "onesignal"), "--message", str(message_file))[1]
    assert re.findall(r"^(\w+) \{", out, re.MULTILINE) == ["query", "body"] * 2
    assert re.findall(r"in [\d,]+ calls?; (.+)$", out, re.MULTILINE) == [
        "`audience send` uses it",
        "only with --method short_lists",
    ]
    out = audience("preview", str(folders / "huawei"), "--message", str(message_file))[1]
    assert "POST /v1/<client_id>/messages:send\nbody {" in out


def test_preview_without_credentials_shows_each_application_of_one_platform(folders):
    for name in SENDABLE_VENDORS:
        platforms = {each.platform for each in preview_run(folders / name, parse_message(MESSAGE)).requests}
        assert platforms == ({"android", "ios"} if get_vendor(name).delivery.serves_one_platform else {None})


def test_application_of_one_platform_sends_the_title_of_its_platform(folders):
    for name in SENDABLE_VENDORS:
        if get_vendor(name).delivery.serves_one_platform:
            preview = preview_run(folders / name, parse_message(MESSAGE))
            titles = {(each.platform, "Hi iOS" in json.dumps(each.requests)) for each in preview.requests}
            assert titles == {("android", False), ("ios", True)}


def test_ids_of_native_requests_are_counted():
    elided = [
        elide_ids({"to": {"alias": ["a1", "a2"], "tag": ["vip"]}}, get_vendor("engagelab")),
        elide_ids({"audience_type": "account_list", "account_list": ["u1"]}, get_vendor("tpns")),
        elide_ids({"Target": "ALIAS", "TargetValue": "a1,a2,a3"}, get_vendor("emas")),
        elide_ids({"Target": {"Type": "ACCOUNT", "Value": "a1"}}, get_vendor("emas_v2")),
    ]
    assert [json.dumps(each).count("<") for each in elided] == [1, 1, 1, 1]
    assert not [each for each in elided if "a1" in json.dumps(each) or "u1" in json.dumps(each)]
    assert elided[0]["to"] == {"alias": ["<2 ids>"], "tag": ["vip"]}


@pytest.fixture
def message_file(tmp_path):
    file = tmp_path / "message.json"
    file.write_text(json.dumps(MESSAGE))
    return file


def test_command_prints_text_and_json(audience, folders, message_file):
    code, out, err = audience("preview", str(folders / "tpns"), "--message", str(message_file))
    assert code in (0, None)
    assert "tpns by token_list for ios" in out
    assert '"title": "Hi iOS"' in out
    assert "unsupported-field" in err
    words = ("--message", str(message_file), "--method", "token_list", "--json")
    code, out, _ = audience("preview", str(folders / "tpns"), *words)
    (run,) = json.loads(out)
    assert {each["method"] for each in run["requests"]} == {"token_list"}


@pytest.mark.parametrize(
    ("message", "method", "problem"),
    [
        ({"titel": "x"}, "token_list", "unknown-key"),
        ({"title": "x"}, "token_list", "missing-key"),
        (MESSAGE, "carrier-pigeon", "unknown-method"),
        ({**MESSAGE, "split": "split(a:50%, s)", "variants": {"a": {}}}, "token_list", "divi"),
    ],
)
def test_command_refuses_what_a_send_refuses(audience, folders, tmp_path, message, method, problem):
    (tmp_path / "bad.json").write_text(json.dumps(message))
    words = ("--message", str(tmp_path / "bad.json"), "--method", method)
    code, out, err = audience("preview", str(folders / "tpns"), *words)
    assert (code, out) == (2, "")
    assert problem in err


def test_warnings_of_a_campaign_name_the_vendor(audience, tmp_path):
    table = pl.DataFrame({"engagelab_token": ["a" * 11, None], "tpns_token": [None, "b" * 36]})
    index = DeviceIndex.build(
        table, tmp_path / "x.index", tokens={"engagelab": "engagelab_token", "tpns": "tpns_token"}
    )
    (tmp_path / "m.json").write_text(json.dumps({"title": "t", "body": "b", "subtitle": "s", "thread_id": "x"}))
    message = ["--message", str(tmp_path / "m.json")]
    for vendors in (["engagelab", "tpns"], ["tpns"]):
        folder = str(tmp_path / "-".join(vendors))
        words = ["campaign", str(index.folder), "everyone", "--vendors", ",".join(vendors), "-o", folder]
        assert audience(*words)[0] == 0
        code, _, err = audience("preview", folder, *message, "--json")
        named = {each["message"].partition(":")[0] for each in json.loads(err)["warnings"]}
        assert (code, len(vendors) == 1 or named == {*vendors}) == (0, True), named
        assert len(vendors) > 1 or not named & {*vendors}
