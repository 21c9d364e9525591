"""Firebase's own client talks to the sandbox, with an access token for the key of a service account."""

import warnings

import pytest
from callers.fcm import make_private_key
from vendor_calls import TABLE

from audience.sandbox import KEY, SECRET, Population, Sandbox

firebase_admin = pytest.importorskip("firebase_admin")
messaging = pytest.importorskip("firebase_admin.messaging")
credentials = pytest.importorskip("firebase_admin.credentials")
refresh_errors = pytest.importorskip("google.auth.exceptions")


@pytest.fixture
def sandbox():
    with Sandbox(Population(TABLE), key=KEY, secret=SECRET) as running:
        yield running


@pytest.fixture
def app(sandbox, monkeypatch):
    """Return the client of a project, pointed to the sandbox."""
    account = {"type": "service_account", "project_id": "p1", "client_email": KEY, "private_key_id": "k1"}
    account |= {"private_key": make_private_key(), "token_uri": f"{sandbox.url}/token"}
    address = f"{sandbox.url}/v1/projects/{{0}}/messages:send"
    monkeypatch.setattr(messaging._MessagingService, "FCM_URL", address)
    monkeypatch.setattr(messaging._MessagingService, "IID_URL", sandbox.url)
    running = firebase_admin.initialize_app(credentials.Certificate(account), name=sandbox.url)
    service = messaging._get_messaging_service(running)
    monkeypatch.setattr(service, "_fcm_topic_url", f"{sandbox.url}/v1/projects/p1/registrations")
    yield running
    firebase_admin.delete_app(running)


def make_message(**target):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of tokens, which are still what devices have
        return messaging.Message(notification=messaging.Notification(title="Hi", body="there"), **target)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ({"token": "r1"}, {"r1": 1}),
        ({"topic": "a"}, {"r1": 1, "r2": 1}),
        ({"condition": "'a' in topics && !('b' in topics)"}, {"r2": 1}),
    ],
)
def test_client_reaches_its_target(sandbox, app, target, told):
    name = messaging.send(make_message(**target), app=app)
    assert name.startswith("projects/p1/messages/")
    assert sandbox.delivery_counts("fcm") == told


def test_dry_run_of_client_reaches_nobody(sandbox, app):
    assert messaging.send(make_message(token="r1"), dry_run=True, app=app)
    assert sandbox.delivery_counts("fcm") == {}


def test_client_knows_a_token_that_is_gone(sandbox, app):
    with pytest.raises(messaging.UnregisteredError):
        messaging.send(make_message(token="nobody"), app=app)
    assert sandbox.delivery_counts("fcm") == {}


def test_client_sends_each_of_several_tokens(sandbox, app):
    batch = messaging.send_each([make_message(token=each) for each in ("r1", "nobody", "r3")], app=app)
    assert [each.success for each in batch.responses] == [True, False, True]
    assert sandbox.delivery_counts("fcm") == {"r1": 1, "r3": 1}


def change_topic(name: str, tokens, topic: str, app):
    """Subscribe or unsubscribe tokens with the client's function *name*."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the function whose calls have many tokens
        response = getattr(messaging, name)(tokens, topic, app=app)
    return response.success_count, [(each.index, each.reason) for each in response.errors]


@pytest.mark.parametrize("kind", ["", "_legacy"])
def test_client_subscribes_and_unsubscribes_tokens(sandbox, app, kind):
    subscribe, unsubscribe = f"subscribe_to_topic{kind}", f"unsubscribe_from_topic{kind}"
    assert change_topic(subscribe, ["r1", "nobody", "r3"], "new", app)[0] == 2
    assert [index for index, _ in change_topic(subscribe, ["r1", "nobody", "r3"], "/topics/new", app)[1]] == [1]
    assert sandbox.tags("fcm")["new"] == ["r1", "r3"]
    assert change_topic(unsubscribe, ["r3", "r4"], "new", app) == (2, [])  # r4 never had it
    assert sandbox.tags("fcm")["new"] == ["r1"]
    messaging.send(make_message(condition="'new' in topics && 'a' in topics"), app=app)
    assert sandbox.delivery_counts("fcm") == {"r1": 1}


def test_stranger_gets_no_access_token(sandbox, app):
    account = {"type": "service_account", "project_id": "p1", "client_email": "stranger", "private_key_id": "k1"}
    account |= {"private_key": make_private_key(), "token_uri": f"{sandbox.url}/token"}
    other = firebase_admin.initialize_app(credentials.Certificate(account), name=f"{sandbox.url}/other")
    with pytest.raises(refresh_errors.RefreshError, match="account not found"):
        messaging.send(make_message(token="r1"), app=other)
    firebase_admin.delete_app(other)
    assert sandbox.delivery_counts("fcm") == {}
