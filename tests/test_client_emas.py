"""What the official SDKs of Alibaba would send for the same push is what we send, and their signatures are ours."""

import importlib
import inspect
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from fact_files import cases
from hypothesis import given
from hypothesis import strategies as st
from test_messages import meant

from audience import MessageError, parse, vendor
from audience.vendors.delivery_spec import Application, Call, Request, Stamp
from audience.vendors.emas.calls import HOSTS
from audience.vendors.emas.percent_encoding import encoded
from audience.vendors.emas.signing import ACS3, SHA1

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
KEYS = {"access_key_id": "id", "access_key_secret": "a secret", "app_key": "23267207"}
TOKEN = "c8016d13-6e76-410c-9bda-769383d11787"
SAID = '{"title": "t ~*/+&=é时", "body": "b", "badge": "+1", "image": "https://x", "time_to_live": 60, "data": {}}'
FORMS = ("emas", "emas_v2")


def application(signature=ACS3, host="https://cloudpush.aliyuncs.com"):
    return Application(host, {**KEYS, "signature": signature})


@pytest.fixture
def client(monkeypatch):
    """The official client, with either signature, and the list of requests that it would send."""
    core = pytest.importorskip("darabonba.core").DaraCore
    made = pytest.importorskip("alibabacloud_push20160801.client").Client
    config = pytest.importorskip("alibabacloud_tea_openapi.utils_models").Config
    sent = []

    def caught(request, runtime=None):
        sent.append(request)
        raise ConnectionError

    monkeypatch.setattr(core, "do_action", staticmethod(caught))
    keys = {"access_key_id": KEYS["access_key_id"], "access_key_secret": KEYS["access_key_secret"]}

    def of(signature):
        return made(
            config(**keys, endpoint="cloudpush.aliyuncs.com", signature_algorithm="v2" if signature == SHA1 else None)
        )

    return of, sent


def official(client, signature, way, request):
    """What the official client sends for *request*, which is one of ours, by the call of this name."""
    models = pytest.importorskip("alibabacloud_push20160801.models")
    fields = {**request.query, **_tasks(request)}
    model = {
        "Push": ("push", models.PushRequest),
        "ContinuouslyPush": ("continuously_push", models.ContinuouslyPushRequest),
        "CompleteContinuouslyPush": ("complete_continuously_push", models.CompleteContinuouslyPushRequest),
        "MassPush": ("mass_push", models.MassPushRequest),
        "PushV2": ("push_v2", models.PushV2Request),
        "MassPushV2": ("mass_push_v2", models.MassPushV2Request),
    }[way]
    for name in ("PushTask", "PushTasks"):
        if isinstance(fields.get(name), str):
            fields[name] = json.loads(fields[name])
    of, sent = client
    said = model[1]().from_map(fields)
    assert said.to_map() == fields
    with pytest.raises(pytest.importorskip("darabonba.exceptions").UnretryableException):
        getattr(of(signature), model[0])(said)
    return sent[-1]


def _tasks(request):
    tasks = {}
    for name, value in parse_qsl(request.content.decode(), keep_blank_values=True):
        _, number, field = name.split(".", 2)
        tasks.setdefault(number, {})[field] = value
    return {"PushTask": list(tasks.values())} if tasks else {}


def calls(name):
    """One request of each kind that a vendor's ways make, with the name of its action."""
    v = vendor(name)
    body = v.delivery.timed(v.delivery.body(meant(SAID)), NOW)
    for way in v.delivery.ways:
        targets = tuple(v.listing([f"id{at}", "x y"]) for at in range(min(2, way.ids // v.batch)))
        yield way.request(Call(targets=targets, body=body, handle="501029", token=TOKEN), application())
        if way.opening:
            yield way.opening.request(body, targets, application())
            if way.opening.close:
                yield way.opening.close("501029", application())


REQUESTS = [
    pytest.param(request, id=f"{name} {request.headers['x-acs-action']} {at}")
    for name in FORMS
    for at, request in enumerate(calls(name))
]


def plain(text):
    """*text* as both write it: the SDK in Python writes True where others write true, and sorts keys of JSON."""
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_official_client_lays_out_the_same_request(client, request_):
    theirs = official(client, ACS3, request_.headers["x-acs-action"], request_)
    assert {key: plain(value) for key, value in theirs.query.items()} == {
        key: plain(value) for key, value in request_.query.items()
    }
    ours = dict(parse_qsl(request_.content.decode(), keep_blank_values=True))
    assert dict(parse_qsl(theirs.body or "", keep_blank_values=True)) == ours
    assert (theirs.method, theirs.pathname) == (request_.method, request_.path)
    for name in ("x-acs-action", "x-acs-version", "content-type"):
        assert theirs.headers.get(name) == request_.headers.get(name)


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_official_client_signs_the_same_with_acs3(client, request_):
    theirs = official(client, ACS3, request_.headers["x-acs-action"], request_)
    headers = {name.lower(): value for name, value in theirs.headers.items()}
    stamp = Stamp(datetime.fromisoformat(headers["x-acs-date"]), headers["x-acs-signature-nonce"])
    unsigned = {name: value for name, value in headers.items() if name != "authorization"}
    same = Request(method="POST", path="/", query=theirs.query, headers=unsigned, content=(theirs.body or "").encode())
    signed = vendor("emas").delivery.sign(same, application(), stamp)
    assert signed.headers["authorization"] == headers["authorization"]
    assert signed.headers["x-acs-content-sha256"] == headers["x-acs-content-sha256"]


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_official_client_signs_the_same_with_hmac_sha1(client, request_):
    theirs = official(client, SHA1, request_.headers["x-acs-action"], request_)
    stamp = Stamp(datetime.fromisoformat(theirs.query["Timestamp"]), theirs.query["SignatureNonce"])
    bare = {name: value for name, value in theirs.query.items() if name in request_.query}
    same = Request(method="POST", path="/", query=bare, headers=request_.headers, content=(theirs.body or "").encode())
    assert vendor("emas").delivery.sign(same, application(SHA1), stamp).query == theirs.query


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_older_client_signs_the_same_with_hmac_sha1(request_):
    composer = pytest.importorskip("aliyunsdkcore.auth.composer.rpc_signature_composer")
    form = dict(parse_qsl(request_.content.decode(), keep_blank_values=True))
    action, version = (request_.headers[name] for name in ("x-acs-action", "x-acs-version"))
    said = {**request_.query, "Action": action, "Version": version}
    url, _ = composer.get_signed_url(said, "id", "a secret", "json", "POST", form)
    theirs = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    stamp = Stamp(datetime.fromisoformat(theirs["Timestamp"]), theirs["SignatureNonce"])
    same = replace(request_, query={**request_.query, "SignatureType": ""})
    assert vendor("emas").delivery.sign(same, application(SHA1), stamp).query == theirs


@given(st.text(st.characters(codec="utf-8")))
def test_texts_are_encoded_as_the_standard_library_does(text):
    assert encoded(text) == quote(text, safe="~")


def test_a_signature_is_of_its_host_and_shows_no_secret():
    delivery, request_ = vendor("emas").delivery, next(calls("emas"))
    stamp = Stamp(NOW, "nonce")
    signed = delivery.sign(request_, application(), stamp)
    local = delivery.sign(request_, application(host="http://127.0.0.1:8080"), stamp)
    assert (signed.headers["host"], local.headers["host"]) == ("cloudpush.aliyuncs.com", "127.0.0.1:8080")
    assert signed.headers["authorization"] != local.headers["authorization"]
    for shown in (repr(signed), repr(application()), str(signed.headers), str(signed.query)):
        assert KEYS["access_key_secret"] not in shown


def test_the_hosts_are_those_of_the_official_client(client):
    of, _ = client
    theirs = of(ACS3)._endpoint_map
    assert {region: f"https://{theirs[region]}" for region in HOSTS} == dict(HOSTS)


# What is laid out. --------------------------------------------------------------------------------------------------


def test_every_parameter_of_the_official_models_is_in_the_list():
    """The documents lost some; what the models add is listed, too."""
    models = pytest.importorskip("alibabacloud_push20160801.models")
    listed = {name: {case.values[1].removeprefix("$.") for case in _listed(name)} for name in FORMS}
    assert set(_fields(models.PushRequest)) == listed["emas"]
    tasks = {path for path in listed["emas_v2"] if path not in ("AppKey", "IdempotentToken", "PushTask")}
    assert set(_paths(models.PushTask)) == tasks


def _listed(name):
    return [case for case in cases("parameters", "say", "leave") if case.values[0] == name]


def _fields(model):
    """The names that *model* writes; it is made with every field set, to texts or to models of its own."""
    names = [name for name in inspect.signature(model.__init__).parameters if name != "self"]
    return list(_made(model, names).to_map())


def _made(model, names):
    made = model()
    for name in names:
        setattr(made, name, "x")
    return made


def _paths(model, within=""):
    """The dotted names of all fields of *model* and of the models in it."""
    hints = inspect.signature(model.__init__).parameters
    models = importlib.import_module("alibabacloud_push20160801.models")
    for name, hint in hints.items():
        if name == "self":
            continue
        inner = re.fullmatch(r"main_models\.(\w+)", str(hint.annotation))
        key = _key(model, name, inner)
        if inner:
            yield from _paths(getattr(models, inner[1]), f"{within}{key}.")
        else:
            yield f"{within}{key}"


def _key(model, name, inner):
    """What *model* writes for its attribute *name*."""
    models = importlib.import_module("alibabacloud_push20160801.models")
    made = model()
    setattr(made, name, getattr(models, inner[1])() if inner else "x")
    (key,) = made.to_map()
    return key


@pytest.mark.parametrize("name", FORMS)
def test_a_time_to_live_counts_from_the_call_or_from_when_it_is_scheduled(name):
    delivery = vendor(name).delivery
    scheduled = {"emas": {"PushTime": "2026-11-22T08:00:00Z"}}
    scheduled["emas_v2"] = {"Action": "SCHEDULED_PUSH", "Options": scheduled["emas"]}
    said = {"title": "t", "body": "b", "time_to_live": 60, "vendor": {name: scheduled[name]}}
    for spoken, day in ((said, 22), (said | {"vendor": {}}, 21)):
        body = delivery.timed(delivery.body(meant(json.dumps(spoken))), NOW)
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
@pytest.mark.parametrize("name", FORMS)
def test_a_moment_that_is_past_or_too_far_is_refused_when_a_call_is_made(name, moments, where):
    delivery = vendor(name).delivery
    action = {"Action": "SCHEDULED_PUSH"} if "PushTime" in moments else {}
    own = moments if name == "emas" else {**action, "Options": moments}
    body = delivery.body(meant(json.dumps({"title": "t", "body": "b", "vendor": {name: own}})))
    if where is None:
        assert delivery.timed(body, NOW) == body
        return
    with pytest.raises(MessageError) as caught:
        delivery.timed(body, NOW)
    assert [problem.path for problem in caught.value.problems] == [f"$.{'Options.' * (name == 'emas_v2')}{where}"]


@pytest.mark.parametrize("name", FORMS)
def test_a_hundred_lists_of_a_thousand_ids_go_in_one_call_as_a_form(name):
    v = vendor(name)
    _, many, _ = v.delivery.ways
    ids = [f"{at:032d}" for at in range(many.ids)]
    targets = tuple(v.listing(ids[at : at + v.batch]) for at in range(0, len(ids), v.batch))
    assert len(targets) == 100
    call = Call(targets=targets, body=v.delivery.body(meant(SAID)), handle=None, token=TOKEN)
    request_ = many.request(call, application())
    fields = dict(parse_qsl(request_.content.decode())) | dict(request_.query)
    assert fields["AppKey"] == KEYS["app_key"] and fields["IdempotentToken"] == TOKEN
    if name == "emas":
        lists = [fields[f"PushTask.{at}.TargetValue"] for at in range(1, 101)]
    else:
        lists = [task["Target"]["Value"] for task in json.loads(fields["PushTasks"])]
    assert ",".join(lists) == ",".join(ids)


def test_a_list_that_no_url_carries_goes_as_a_form():
    v = vendor("emas")
    aliases = v.emit(parse(f"alias({', '.join(chr(0x4E00 + at) * 40 for at in range(1_000))})"))
    call = Call(targets=(aliases,), body=v.delivery.body(meant(SAID)), handle=None, token=TOKEN)
    request_ = v.delivery.native.request(call, application())
    assert request_.query == {}
    assert dict(parse_qsl(request_.content.decode()))["TargetValue"] == aliases["TargetValue"]


@pytest.mark.parametrize("name", FORMS)
def test_pushes_to_all_are_a_second_apart_and_ten_in_ten_minutes(name):
    v = vendor(name)
    native = v.delivery.native
    few, all_of_them = (native.paces([v.emit(parse(text))]) for text in ("vip", "everyone"))
    assert [(pace.calls, pace.seconds) for pace in all_of_them if pace not in few] == [(1, 1.0), (10, 600.0)]


@pytest.mark.parametrize("name", FORMS)
def test_a_platform_stays_said_in_a_continuous_push(name):
    v = vendor(name)
    later = v.delivery.ways[-1]
    body = v.delivery.body(meant('{"body": "b", "platforms": ["ios"]}'))
    opened = later.opening.request(body, (v.listing(["a"]),), application())
    told = later.request(Call(targets=(v.listing(["a"]),), body=body, handle="7", token=TOKEN), application())
    if name == "emas":
        assert (opened.query["DeviceType"], opened.query["Target"], opened.query["TargetValue"]) == (
            "iOS",
            "TBD",
            "TBD",
        )
    else:
        for request_ in (opened, told):
            assert json.loads(request_.query["PushTask"])["Target"]["Platform"] == "IOS"


@pytest.mark.parametrize("name", FORMS)
def test_lists_alone_go_by_many_tasks_and_an_app_key_is_a_number(name):
    v = vendor(name)
    native, *others = v.delivery.ways
    body, tags = v.delivery.body(meant(SAID)), [v.emit(parse("vip AND female"))]
    wrong = Application(HOSTS["cn-hangzhou"], {**KEYS, "app_key": "my app"})
    assert list(native.refuses(body, tags, application())) == []
    for way in others:
        assert "no-target" in {problem.code for problem in way.refuses(body, tags, application())}
    long = {f"Parameter{at}": "x" for at in range(99)}
    codes = {problem.code for problem in others[0].refuses({**body, **long}, [v.listing(["a"])], application())}
    assert codes == ({"too-many"} if name == "emas" else set())
    for way in v.delivery.ways:
        assert "bad-key" in {problem.code for problem in way.refuses(body, [v.listing(["a"])], wrong)}
