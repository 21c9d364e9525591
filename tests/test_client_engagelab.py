"""EngageLab's own client sends the same request for the same push, to the same places."""

import json
from datetime import UTC, datetime

import pytest
from fact_files import cases
from test_messages import meant

from audience import vendor
from audience.messages import message
from audience.vendors.delivery_spec import Application, Call, Stamp

engagelab = pytest.importorskip("engagelab")
serialization = pytest.importorskip("engagelab._serialization")
DELIVERY = vendor("engagelab").delivery
HOST = DELIVERY.hosts["frankfurt"]
KEYS = {"app_key": "c96f42e0d2e662e45d035ab1", "master_secret": "df4d59e84eac2f9d53b36f12"}  # of the page's sample


@pytest.fixture
def sent(monkeypatch):
    """What the client hands to urllib."""
    found = []

    def refuse(request, timeout):
        found.append(request)
        raise ConnectionError("nothing is sent here")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    return found


def ours(body, target, request=DELIVERY.native.request):
    application = Application(HOST, KEYS)
    call = Call(targets=(target,), body=body, handle=None, token="12345678")
    return DELIVERY.sign(request(call, application), application, Stamp(datetime.now(UTC), "n"))


def theirs(param, sent, method="send"):
    client = engagelab.Client(KEYS["app_key"], KEYS["master_secret"], base_url=HOST)
    with pytest.raises(ConnectionError):
        getattr(client.push, method)(param)
    return sent.pop()


def assert_same(own, other):
    assert (own.method, HOST + own.path) == (other.get_method(), other.full_url)
    assert json.loads(own.content) == json.loads(other.data)
    assert {key.capitalize(): value for key, value in own.headers.items()} == dict(other.headers)


def test_a_push_in_their_models_is_ours_in_neutral_words(sent):
    body = DELIVERY.body(
        message(
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
    target = vendor("engagelab").listing(["r1", "r2"])
    assert_same(ours(body, target), theirs(param, sent))
    assert_same(ours(body, target, DELIVERY.dry_run), theirs(param, sent, "validate"))


@pytest.mark.parametrize(
    "said",
    [
        *(case.values[1] for case in cases("messages", "say") if case.values[0] == "engagelab"),
        *(
            f'{{"vendor": {{"engagelab": {case.values[2]}}}}}'
            for case in cases("parameters", "say")
            if case.values[0] == "engagelab"
        ),
    ],
)
def test_their_models_hold_every_field_of_ours(said, sent):
    own = ours(DELIVERY.body(meant(said)), {"to": "all"})
    param = serialization.from_dict(engagelab.PushParam, json.loads(own.content))
    assert_same(own, theirs(param, sent))


def test_the_places_are_theirs():
    named = {value for key, value in vars(engagelab.DataCenter).items() if key.isupper()}
    assert set(DELIVERY.hosts.values()) == named
    assert next(iter(DELIVERY.hosts.values())) == engagelab.Client("k", "s")._base_url


def test_basic_authentication_is_that_of_the_page():
    signed = ours({"body": {}}, {"to": "all"})
    assert signed.headers["Authorization"] == (
        "Basic Yzk2ZjQyZTBkMmU2NjJlNDVkMDM1YWIxOmRmNGQ1OWU4NGVhYzJmOWQ1M2IzNmYxMg=="
    )
