"""EngageLab's own client sends the same request for the same push, to the same places."""

import json
from datetime import UTC, datetime

import pytest
from fact_files import load_cases
from test_messages import parse_fact_message

from audience import get_vendor
from audience.messages import parse_message
from audience.vendors.delivery_spec import Credentials, SendCall, SigningContext

engagelab = pytest.importorskip("engagelab")
serialization = pytest.importorskip("engagelab._serialization")
DELIVERY = get_vendor("engagelab").delivery
HOST = DELIVERY.base_urls["frankfurt"]
KEYS = {"app_key": "c96f42e0d2e662e45d035ab1", "master_secret": "df4d59e84eac2f9d53b36f12"}  # of the page's sample


@pytest.fixture
def sent(monkeypatch):
    """What the client hands to urllib."""
    found = []

    def refuse_connection(request, timeout):
        found.append(request)
        raise ConnectionError("nothing is sent here")

    monkeypatch.setattr("urllib.request.urlopen", refuse_connection)
    return found


def sign_our_request(body, target, build_request=DELIVERY.native_method.build_request):
    application = Credentials(HOST, KEYS)
    call = SendCall(targets=(target,), body=body, handle=None, idempotency_key="12345678")
    return DELIVERY.sign(build_request(call, application), application, SigningContext(datetime.now(UTC), "n"))


def capture_client_request(param, sent, method="send"):
    client = engagelab.Client(KEYS["app_key"], KEYS["master_secret"], base_url=HOST)
    with pytest.raises(ConnectionError):
        getattr(client.push, method)(param)
    return sent.pop()


def assert_same(ours, theirs):
    assert (ours.method, HOST + ours.path) == (theirs.get_method(), theirs.full_url)
    assert json.loads(ours.content) == json.loads(theirs.data)
    assert {key.capitalize(): value for key, value in ours.headers.items()} == dict(theirs.headers)


def test_client_models_match_neutral_message(sent):
    body = DELIVERY.build_body(
        parse_message(
            {
                "title": "Send to Android",
                "body": "Hi, Push!",
                "data": {"newsid": 321},
                "badge": "+1",
                "sound": "default",
                "time_to_live": 60,
                "platforms": ["android", "ios"],
                "test": True,
                "vendor": {"engagelab": {"from": "push", "custom_args": {"Engagelab": "push to you"}}},
            }
        )
    )
    android = engagelab.AndroidNotification(
        alert="Hi, Push!", title="Send to Android", extras={"newsid": 321}, sound="default", badge_add_num=1
    )
    ios = engagelab.IOSNotification(
        alert={"title": "Send to Android", "body": "Hi, Push!"}, extras={"newsid": 321}, sound="default", badge="+1"
    )
    param = engagelab.PushParam(
        from_="push",
        to=engagelab.PushTo(registration_id=["r1", "r2"]),
        request_id="12345678",
        custom_args={"Engagelab": "push to you"},
        body=engagelab.PushBody(
            platform=["android", "ios"],
            notification=engagelab.NotificationMessage(android=android, ios=ios),
            options=engagelab.Options(time_to_live=60, apns_production=False),
        ),
    )
    target = get_vendor("engagelab").target_ids(["r1", "r2"])
    assert_same(sign_our_request(body, target), capture_client_request(param, sent))
    assert_same(sign_our_request(body, target, DELIVERY.dry_run), capture_client_request(param, sent, "validate"))


@pytest.mark.parametrize(
    "said",
    [
        *(case.values[1] for case in load_cases("messages", "say") if case.values[0] == "engagelab"),
        *(
            f'{{"vendor": {{"engagelab": {case.values[2]}}}}}'
            for case in load_cases("parameters", "say")
            if case.values[0] == "engagelab"
        ),
    ],
)
def test_client_models_have_all_our_fields(said, sent):
    own = sign_our_request(DELIVERY.build_body(parse_fact_message(said)), {"to": "all"})
    if '"web"' in said:  # which the page names, and the client does not
        assert b'"web"' in own.content
        return
    param = serialization.from_dict(engagelab.PushParam, json.loads(own.content))
    assert_same(own, capture_client_request(param, sent))


def test_hosts_match_client_data_centers():
    named = {value for key, value in vars(engagelab.DataCenter).items() if key.isupper()}
    assert set(DELIVERY.base_urls.values()) == named
    assert next(iter(DELIVERY.base_urls.values())) == engagelab.Client("k", "s")._base_url


def test_basic_auth_matches_vendor_docs():
    signed = sign_our_request({"body": {}}, {"to": "all"})
    assert signed.headers["Authorization"] == (
        "Basic Yzk2ZjQyZTBkMmU2NjJlNDVkMDM1YWIxOmRmNGQ1OWU4NGVhYzJmOWQ1M2IzNmYxMg=="
    )
