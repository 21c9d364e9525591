"""What the official SDKs of Alibaba would send for the same push is what we send, and their signatures are ours."""

import importlib
import inspect
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from fact_files import load_cases
from hypothesis import given
from hypothesis import strategies as st
from test_messages import parse_fact_message

from audience import DeliveryError, MessageError, get_vendor, parse
from audience.vendors.delivery_spec import Credentials, Request, SendCall, SigningContext
from audience.vendors.emas.calls import BASE_URLS
from audience.vendors.emas.signing import ACS3, SHA1, percent_encode

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
KEYS = {"access_key_id": "id", "access_key_secret": "a secret", "app_key": "23267207"}
TOKEN = "c8016d13-6e76-410c-9bda-769383d11787"
MESSAGE_JSON = (
    '{"title": "t ~*/+&=é时", "body": "b", "badge": "+1", "image": "https://x", "time_to_live": 60, "data": {}}'
)
VENDOR_NAMES = ("emas", "emas_v2")


def make_credentials(signature=ACS3, host="https://cloudpush.aliyuncs.com"):
    return Credentials(host, {**KEYS, "signature": signature})


@pytest.fixture
def client(monkeypatch):
    """The official client, with either signature, and the list of requests that it would send."""
    core = pytest.importorskip("darabonba.core").DaraCore
    made = pytest.importorskip("alibabacloud_push20160801.client").Client
    config = pytest.importorskip("alibabacloud_tea_openapi.utils_models").Config
    sent = []

    def catch_request(request, runtime=None):
        sent.append(request)
        raise ConnectionError

    monkeypatch.setattr(core, "do_action", staticmethod(catch_request))
    keys = {"access_key_id": KEYS["access_key_id"], "access_key_secret": KEYS["access_key_secret"]}

    def make_client(signature):
        return made(
            config(**keys, endpoint="cloudpush.aliyuncs.com", signature_algorithm="v2" if signature == SHA1 else None)
        )

    return make_client, sent


def official_request(client, signature, action, request):
    """What the official client sends for *request*, which is one of ours, by the call of this name."""
    models = pytest.importorskip("alibabacloud_push20160801.models")
    fields = {**request.query, **_parse_mass_tasks(request)}
    model = {
        "Push": ("push", models.PushRequest),
        "ContinuouslyPush": ("continuously_push", models.ContinuouslyPushRequest),
        "CompleteContinuouslyPush": ("complete_continuously_push", models.CompleteContinuouslyPushRequest),
        "MassPush": ("mass_push", models.MassPushRequest),
        "PushV2": ("push_v2", models.PushV2Request),
        "MassPushV2": ("mass_push_v2", models.MassPushV2Request),
    }[action]
    for name in ("PushTask", "PushTasks"):
        if isinstance(fields.get(name), str):
            fields[name] = json.loads(fields[name])
    of, sent = client
    said = model[1]().from_map(fields)
    assert said.to_map() == fields
    with pytest.raises(pytest.importorskip("darabonba.exceptions").UnretryableException):
        getattr(of(signature), model[0])(said)
    return sent[-1]


def _parse_mass_tasks(request):
    tasks = {}
    for name, value in parse_qsl(request.content.decode(), keep_blank_values=True):
        _, number, field = name.split(".", 2)
        tasks.setdefault(number, {})[field] = value
    return {"PushTask": list(tasks.values())} if tasks else {}


def build_requests(vendor_name):
    """One request of each kind that a vendor's ways make, with the name of its action."""
    v = get_vendor(vendor_name)
    body = v.delivery.apply_timestamps(v.delivery.build_body(parse_fact_message(MESSAGE_JSON)), NOW)
    for way in v.delivery.send_methods:
        targets = tuple(v.target_ids([f"id{at}", "x y"]) for at in range(min(2, way.max_ids // v.max_ids)))
        yield way.build_request(
            SendCall(targets=targets, body=body, handle="501029", idempotency_key=TOKEN), make_credentials()
        )
        if way.setup_call:
            yield way.setup_call.build_request(body, targets, make_credentials())
            if way.setup_call.close:
                yield way.setup_call.close("501029", make_credentials())


REQUESTS = [
    pytest.param(request, id=f"{name} {request.headers['x-acs-action']} {at}")
    for name in VENDOR_NAMES
    for at, request in enumerate(build_requests(name))
]


def normalize_text(text):
    """*text* as both write it: the SDK in Python writes True where others write true, and sorts keys of JSON."""
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text


@pytest.mark.parametrize("request_", REQUESTS)
def test_official_client_builds_same_request(client, request_):
    theirs = official_request(client, ACS3, request_.headers["x-acs-action"], request_)
    assert {key: normalize_text(value) for key, value in theirs.query.items()} == {
        key: normalize_text(value) for key, value in request_.query.items()
    }
    ours = dict(parse_qsl(request_.content.decode(), keep_blank_values=True))
    assert dict(parse_qsl(theirs.body or "", keep_blank_values=True)) == ours
    assert (theirs.method, theirs.pathname) == (request_.method, request_.path)
    for name in ("x-acs-action", "x-acs-version", "content-type"):
        assert theirs.headers.get(name) == request_.headers.get(name)


@pytest.mark.parametrize("request_", REQUESTS)
def test_official_client_signs_same_with_acs3(client, request_):
    theirs = official_request(client, ACS3, request_.headers["x-acs-action"], request_)
    headers = {name.lower(): value for name, value in theirs.headers.items()}
    stamp = SigningContext(datetime.fromisoformat(headers["x-acs-date"]), headers["x-acs-signature-nonce"])
    unsigned = {name: value for name, value in headers.items() if name != "authorization"}
    same = Request(method="POST", path="/", query=theirs.query, headers=unsigned, content=(theirs.body or "").encode())
    signed = get_vendor("emas").delivery.sign(same, make_credentials(), stamp)
    assert signed.headers["authorization"] == headers["authorization"]
    assert signed.headers["x-acs-content-sha256"] == headers["x-acs-content-sha256"]


@pytest.mark.parametrize("request_", REQUESTS)
def test_official_client_signs_same_with_hmac_sha1(client, request_):
    theirs = official_request(client, SHA1, request_.headers["x-acs-action"], request_)
    stamp = SigningContext(datetime.fromisoformat(theirs.query["Timestamp"]), theirs.query["SignatureNonce"])
    bare = {name: value for name, value in theirs.query.items() if name in request_.query}
    same = Request(method="POST", path="/", query=bare, headers=request_.headers, content=(theirs.body or "").encode())
    assert get_vendor("emas").delivery.sign(same, make_credentials(SHA1), stamp).query == theirs.query


@pytest.mark.parametrize("request_", REQUESTS)
def test_legacy_client_signs_same_with_hmac_sha1(request_):
    composer = pytest.importorskip("aliyunsdkcore.auth.composer.rpc_signature_composer")
    form = dict(parse_qsl(request_.content.decode(), keep_blank_values=True))
    action, version = (request_.headers[name] for name in ("x-acs-action", "x-acs-version"))
    said = {**request_.query, "Action": action, "Version": version}
    url, _ = composer.get_signed_url(said, "id", "a secret", "json", "POST", form)
    theirs = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    stamp = SigningContext(datetime.fromisoformat(theirs["Timestamp"]), theirs["SignatureNonce"])
    same = replace(request_, query={**request_.query, "SignatureType": ""})
    assert get_vendor("emas").delivery.sign(same, make_credentials(SHA1), stamp).query == theirs


@given(st.text(st.characters(codec="utf-8")))
def test_percent_encoding_matches_standard_library(text):
    assert percent_encode(text) == quote(text, safe="~")


def test_signature_covers_host_and_hides_secret():
    delivery, request_ = get_vendor("emas").delivery, next(build_requests("emas"))
    stamp = SigningContext(NOW, "nonce")
    signed = delivery.sign(request_, make_credentials(), stamp)
    local = delivery.sign(request_, make_credentials(host="http://127.0.0.1:8080"), stamp)
    assert (signed.headers["host"], local.headers["host"]) == ("cloudpush.aliyuncs.com", "127.0.0.1:8080")
    assert signed.headers["authorization"] != local.headers["authorization"]
    for shown in (repr(signed), repr(make_credentials()), str(signed.headers), str(signed.query)):
        assert KEYS["access_key_secret"] not in shown


def test_hosts_match_official_client(client):
    of, _ = client
    theirs = of(ACS3)._endpoint_map
    assert {region: f"https://{theirs[region]}" for region in BASE_URLS} == dict(BASE_URLS)


# What is laid out. --------------------------------------------------------------------------------------------------


def test_every_official_parameter_is_listed():
    """The documents lost some; what the models add is listed, too."""
    models = pytest.importorskip("alibabacloud_push20160801.models")
    listed = {name: {case.values[1].removeprefix("$.") for case in _parameter_cases(name)} for name in VENDOR_NAMES}
    assert set(_field_names(models.PushRequest)) == listed["emas"]
    tasks = {path for path in listed["emas_v2"] if path not in ("AppKey", "IdempotentToken", "PushTask")}
    assert set(_field_paths(models.PushTask)) == tasks


def _parameter_cases(vendor_name):
    return [case for case in load_cases("parameters", "say", "leave") if case.values[0] == vendor_name]


def _field_names(model):
    """The names that *model* writes; it is made with every field set, to texts or to models of its own."""
    names = [name for name in inspect.signature(model.__init__).parameters if name != "self"]
    return list(_make_model(model, names).to_map())


def _make_model(model, names):
    made = model()
    for name in names:
        setattr(made, name, "x")
    return made


def _field_paths(model, prefix=""):
    """The dotted names of all fields of *model* and of the models in it."""
    hints = inspect.signature(model.__init__).parameters
    models = importlib.import_module("alibabacloud_push20160801.models")
    for name, hint in hints.items():
        if name == "self":
            continue
        inner = re.fullmatch(r"main_models\.(\w+)", str(hint.annotation))
        key = _field_key(model, name, inner)
        if inner:
            yield from _field_paths(getattr(models, inner[1]), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _field_key(model, name, inner_model):
    """What *model* writes for its attribute *name*."""
    models = importlib.import_module("alibabacloud_push20160801.models")
    made = model()
    setattr(made, name, getattr(models, inner_model[1])() if inner_model else "x")
    (key,) = made.to_map()
    return key


@pytest.mark.parametrize("name", VENDOR_NAMES)
def test_ttl_counts_from_call_or_schedule(name):
    delivery = get_vendor(name).delivery
    scheduled = {"emas": {"PushTime": "2026-11-22T08:00:00Z"}}
    scheduled["emas_v2"] = {"Action": "SCHEDULED_PUSH", "Options": scheduled["emas"]}
    said = {"title": "t", "body": "b", "time_to_live": 60, "vendor": {name: scheduled[name]}}
    for spoken, day in ((said, 22), (said | {"vendor": {}}, 21)):
        body = delivery.apply_timestamps(delivery.build_body(parse_fact_message(json.dumps(spoken))), NOW)
        assert body.get("Options", body)["ExpireTime"] == f"2026-11-{day}T08:01:00Z"


@pytest.mark.parametrize(
    ("moments", "where"),
    [
        ({"PushTime": "2026-11-21T07:59:59Z"}, "PushTime"),
        ({"PushTime": "2026-11-21T08:00:00Z"}, "PushTime"),
        ({"PushTime": "2026-11-28T08:00:01Z"}, "PushTime"),
        ({"ExpireTime": "2026-11-21T08:00:03Z"}, "ExpireTime"),
        ({"ExpireTime": "2026-11-24T08:00:01Z"}, "ExpireTime"),
        ({"PushTime": "2026-11-28T08:00:00Z", "ExpireTime": "2026-12-01T08:00:00Z"}, None),
        ({"ExpireTime": "2026-11-21T08:00:04Z"}, None),
        ({"ExpireTime": "2026-11-24T08:00:00Z"}, None),
    ],
)
@pytest.mark.parametrize("name", VENDOR_NAMES)
def test_past_or_distant_timestamp_is_rejected(name, moments, where):
    delivery = get_vendor(name).delivery
    action = {"Action": "SCHEDULED_PUSH"} if "PushTime" in moments else {}
    own = moments if name == "emas" else {**action, "Options": moments}
    body = delivery.build_body(parse_fact_message(json.dumps({"title": "t", "body": "b", "vendor": {name: own}})))
    if where is None:
        assert delivery.apply_timestamps(body, NOW) == body
        return
    with pytest.raises(MessageError) as caught:
        delivery.apply_timestamps(body, NOW)
    assert [problem.path for problem in caught.value.problems] == [f"$.{'Options.' * (name == 'emas_v2')}{where}"]


@pytest.mark.parametrize("name", VENDOR_NAMES)
def test_mass_push_sends_100_lists_as_form(name):
    v = get_vendor(name)
    _, many, _ = v.delivery.send_methods
    ids = [f"{at:032d}" for at in range(many.max_ids)]
    targets = tuple(v.target_ids(ids[at : at + v.max_ids]) for at in range(0, len(ids), v.max_ids))
    assert len(targets) == 100
    call = SendCall(
        targets=targets,
        body=v.delivery.build_body(parse_fact_message(MESSAGE_JSON)),
        handle=None,
        idempotency_key=TOKEN,
    )
    request_ = many.build_request(call, make_credentials())
    fields = dict(parse_qsl(request_.content.decode())) | dict(request_.query)
    assert fields["AppKey"] == KEYS["app_key"] and fields["IdempotentToken"] == TOKEN
    if name == "emas":
        lists = [fields[f"PushTask.{at}.TargetValue"] for at in range(1, 101)]
    else:
        lists = [task["Target"]["Value"] for task in json.loads(fields["PushTasks"])]
    assert ",".join(lists) == ",".join(ids)


def test_long_list_is_sent_as_form():
    v = get_vendor("emas")
    aliases = v.emit(parse(f"alias({', '.join(chr(0x4E00 + at) * 40 for at in range(1_000))})"))
    call = SendCall(
        targets=(aliases,),
        body=v.delivery.build_body(parse_fact_message(MESSAGE_JSON)),
        handle=None,
        idempotency_key=TOKEN,
    )
    request_ = v.delivery.native_method.build_request(call, make_credentials())
    assert request_.query == {}
    assert dict(parse_qsl(request_.content.decode()))["TargetValue"] == aliases["TargetValue"]


@pytest.mark.parametrize("name", VENDOR_NAMES)
def test_broadcast_rate_limits(name):
    v = get_vendor(name)
    native = v.delivery.native_method
    few, all_of_them = (native.rate_limits([v.emit(parse(text))]) for text in ("vip", "everyone"))
    assert [(pace.max_calls, pace.period_seconds) for pace in all_of_them if pace not in few] == [(1, 1.0), (10, 600.0)]


@pytest.mark.parametrize("name", VENDOR_NAMES)
def test_continuous_push_keeps_platform(name):
    v = get_vendor(name)
    later = v.delivery.send_methods[-1]
    body = v.delivery.build_body(parse_fact_message('{"body": "b", "platforms": ["ios"]}'))
    opened = later.setup_call.build_request(body, (v.target_ids(["a"]),), make_credentials())
    told = later.build_request(
        SendCall(targets=(v.target_ids(["a"]),), body=body, handle="7", idempotency_key=TOKEN), make_credentials()
    )
    if name == "emas":
        assert (opened.query["DeviceType"], opened.query["Target"], opened.query["TargetValue"]) == (
            "iOS",
            "TBD",
            "TBD",
        )
    else:
        for request_ in (opened, told):
            assert json.loads(request_.query["PushTask"])["Target"]["Platform"] == "IOS"


@pytest.mark.parametrize("name", VENDOR_NAMES)
def test_mass_methods_take_only_lists_and_numeric_app_key(name):
    v = get_vendor(name)
    native, *others = v.delivery.send_methods
    body, tags = v.delivery.build_body(parse_fact_message(MESSAGE_JSON)), [v.emit(parse("vip AND female"))]
    wrong = Credentials(BASE_URLS["cn-hangzhou"], {**KEYS, "app_key": "my app"})
    assert list(native.check(body, tags, make_credentials())) == []
    for way in others:
        assert "no-target" in {problem.code for problem in way.check(body, tags, make_credentials())}
    long = {f"Parameter{at}": "x" for at in range(99)}
    codes = {problem.code for problem in others[0].check({**body, **long}, [v.target_ids(["a"])], make_credentials())}
    assert codes == ({"too-many"} if name == "emas" else set())
    for way in v.delivery.send_methods:
        assert "bad-key" in {problem.code for problem in way.check(body, [v.target_ids(["a"])], wrong)}


# One AppKey a platform


def application(platform):
    return Credentials("https://cloudpush.aliyuncs.com", {**KEYS, "platform": platform})


def read_sent_body(name, message, platform, target=None):
    """The parameters of Push, or the PushTask, that goes to the application of a platform."""
    vendor = get_vendor(name)
    body = vendor.delivery.build_body(parse_fact_message(json.dumps(message)))
    targets = (target or vendor.target_ids(["a"]),)
    call = SendCall(targets=targets, body=body, handle=None, idempotency_key=TOKEN)
    query = vendor.delivery.native_method.build_request(call, application(platform)).query
    return json.loads(query["PushTask"]) if name == "emas_v2" else dict(query)


EVERYWHERE = {"title": "t", "body": "b", "badge": 3, "time_to_live": 3600}


def test_application_gets_parts_of_its_platform_only():
    for platform, device_type, prefix in (
        *(("android", "ANDROID", "Android"), ("ios", "iOS", "iOS")),
        ("harmonyos", "HARMONY", "Harmony"),
    ):
        sent = read_sent_body("emas", EVERYWHERE, platform)
        assert sent["DeviceType"] == device_type
        assert {word for word in ("iOS", "Android", "Harmony") for name in sent if name.startswith(word)} == {prefix}
    assert read_sent_body("emas", EVERYWHERE, "all")["DeviceType"] == "ALL"


@pytest.mark.parametrize(("platform", "part"), [("android", "Android"), ("ios", "Ios"), ("harmonyos", "Hmos")])
def test_task_of_application_needs_no_name_of_its_platform(platform, part):
    for message in (EVERYWHERE, {**EVERYWHERE, "platforms": [platform]}):
        sent = read_sent_body("emas_v2", message, platform)
        assert sent["Notification"].keys() & {"Ios", "Android", "Hmos"} == {part}
        assert "Platform" not in sent["Target"]


@pytest.mark.parametrize("name", VENDOR_NAMES)
@pytest.mark.parametrize("platform", ["android", "ios", "harmonyos"])
def test_message_for_other_platform_than_application_is_refused(name, platform):
    delivery, other = get_vendor(name).delivery, {"android": "ios"}.get(platform, "android")
    body = delivery.build_body(parse_fact_message(json.dumps({**EVERYWHERE, "platforms": [other]})))
    target = get_vendor(name).target_ids(["a"])
    for method in delivery.send_methods:
        codes = [problem.code for problem in method.check(body, [target], application(platform))]
        assert "wrong-platform" in codes, method.name
    with pytest.raises(DeliveryError):
        read_sent_body(name, {**EVERYWHERE, "platforms": [other]}, platform)


@pytest.mark.parametrize("name", VENDOR_NAMES)
def test_audience_on_other_platform_than_application_is_refused(name):
    delivery = get_vendor(name).delivery
    field = get_vendor(name).platforms
    target = field.write(get_vendor(name).target_ids(["a"]), [field.names["ios"]])
    body = delivery.build_body(parse_fact_message(json.dumps(EVERYWHERE)))
    problems = delivery.native_method.check(body, [target], application("harmonyos"))
    assert [problem.code for problem in problems] == ["wrong-platform"]
    assert [*delivery.native_method.check(body, [target], application("ios"))] == []


# Live activities


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("emas", {"iOSLiveActivityEvent": "end", "iOSLiveActivityDismissalDate": "AT"}),
        (
            "emas_v2",
            {"Notification": {"Ios": {"LiveActivity": {"Event": "end", "Id": "i", "DismissalDate": "AT"}}}},
        ),
    ],
)
def test_live_activity_stays_at_most_four_hours(name, part):
    latest = int(NOW.timestamp()) + 4 * 3_600
    delivery = get_vendor(name).delivery

    def apply(timestamp):
        words = json.loads(json.dumps(part).replace('"AT"', str(timestamp)))
        message = {"title": "t", "body": "b", "platforms": ["ios"], "vendor": {name: words}}
        return delivery.apply_timestamps(delivery.build_body(parse_fact_message(json.dumps(message))), NOW)

    assert str(latest) in json.dumps(apply(latest))
    with pytest.raises(MessageError) as caught:
        apply(latest + 1)
    assert [problem.code for problem in caught.value.problems] == ["untimely"]
