"""OneSignal's own client takes what is emitted into its models, writes it unchanged, and talks to the sandbox."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from audience import get_vendor, parse, plan
from audience.sandbox import SECRET, Population, Sandbox

onesignal = pytest.importorskip("onesignal")
Filter = pytest.importorskip("onesignal.model.filter").Filter
IncludeAliases = pytest.importorskip("onesignal.model.include_aliases").IncludeAliases
Notification = pytest.importorskip("onesignal.model.notification").Notification
Operator = pytest.importorskip("onesignal.model.operator").Operator
PropertiesObject = pytest.importorskip("onesignal.model.properties_object").PropertiesObject
UpdateUserRequest = pytest.importorskip("onesignal.model.update_user_request").UpdateUserRequest

APP_ID = "8250eaf6-1a58-489e-b136-7c74a864b434"
IDS = [f"00000000-0000-4000-8000-{number:012x}" for number in range(3)]
SUBSCRIPTION_ID = "1dd608f2-c6a1-11e3-851d-000c2940e62c"
EXPRS = [
    "vip",
    "NOT vip",
    "politics OR breaking",
    "(a OR b) AND level:10 AND NOT city:Rome",
    "country:US AND language:en AND version:1.0.2",
    "NOT (a AND b) OR (c AND NOT d)",
]


def model_target(target: dict) -> dict:
    """The client's own models of *target*."""
    models = dict(target)
    if "filters" in target:
        entries = target["filters"]
        models["filters"] = [Operator(**entry) if "operator" in entry else Filter(**entry) for entry in entries]
    if "include_aliases" in target:
        models["include_aliases"] = IncludeAliases(**target["include_aliases"])
    return models


def serialize_target(target: dict) -> dict:
    """What the client would send of *target*, through its own models."""
    sent = onesignal.ApiClient.sanitize_for_serialization(Notification(app_id="app", **model_target(target)))
    return {key: value for key, value in sent.items() if key in target}


@pytest.mark.parametrize("text", ["everyone", *EXPRS, "alias(u1, u2)", f"registration_id({SUBSCRIPTION_ID})"])
def test_client_models_keep_target_unchanged(text):
    [said] = plan(text, "onesignal").native
    assert serialize_target(said) == said
    assert get_vendor("onesignal").parse(serialize_target(said)) == get_vendor("onesignal").parse(said)


def test_client_models_keep_id_list_unchanged():
    said = get_vendor("onesignal").target_ids([f"id{number}" for number in range(get_vendor("onesignal").max_ids)])
    assert serialize_target(said) == said


@pytest.mark.parametrize("change", [{"relation": "has"}, {"value": 10}, {"key": None}])
def test_client_models_reject_invalid_filters(change):
    [entry] = get_vendor("onesignal").emit(parse("city:Rome"))["filters"]
    with pytest.raises(onesignal.OpenApiException):
        Filter(**(entry | change))


class TestSandbox:
    """The client talks to the sandbox over a real loopback connection, and is answered."""

    default_api = pytest.importorskip("onesignal.api.default_api")
    helpers = pytest.importorskip("onesignal.helpers")
    KEYS = ("be4a8044-bbd6-11e4-a581-000c2940e62c", "5fdc92b2-3b2a-11e5-ac13-8fdccfe4d986")

    @pytest.fixture
    def sandbox(self):
        table = pl.DataFrame(
            {
                "registration_id": IDS,
                "tags": [["vip"], [], ["vip", "old"]],
                "alias": ["u1", "u2", None],
                "platform": ["ios", "android", "android"],
            }
        )
        with Sandbox(Population(table), key=APP_ID, secret=SECRET) as running:
            yield running

    def connect(self, sandbox, key=SECRET):
        configuration = onesignal.Configuration(host=sandbox.url, rest_api_key=key)
        return self.default_api.DefaultApi(onesignal.ApiClient(configuration))

    def write(self, target, **fields):
        return Notification(app_id=APP_ID, contents={"en": "Hi"}, **model_target(target), **fields)

    def test_targets_of_the_client_are_reached(self, sandbox):
        client = self.connect(sandbox)
        for text, told in (
            ("everyone", IDS),
            ("vip AND NOT old", IDS[:1]),
            (f'registration_id("{IDS[2]}")', IDS[2:]),
            ("alias(u2, u9)", IDS[1:2]),
        ):
            [said] = plan(text, "onesignal").native
            answer = client.create_notification(self.write(said))
            assert self.helpers.is_message_sent(answer)
            assert sandbox.delivery_counts("onesignal", answer.id) == dict.fromkeys(told, 1)

    def test_two_kinds_of_200(self, sandbox):
        client = self.connect(sandbox)
        unknown = client.create_notification(self.write({"include_subscription_ids": [SUBSCRIPTION_ID]}))
        assert (self.helpers.is_message_not_sent(unknown), unknown.id) == (True, "")
        mixed = client.create_notification(self.write({"include_subscription_ids": [SUBSCRIPTION_ID, IDS[0]]}))
        assert "errors" not in mixed.to_dict()
        assert sandbox.delivery_counts("onesignal") == {IDS[0]: 1}

    def test_key_is_remembered_for_thirty_days(self, sandbox):
        client, target = self.connect(sandbox), {"included_segments": ["All"]}
        replays = [
            self.helpers.create_notification_with_retry(
                client, self.write(target, idempotency_key=key), max_retries=0
            ).was_replayed
            for key in (*self.KEYS, *self.KEYS)
        ]
        assert replays == [False, False, True, True]
        assert set(sandbox.delivery_counts("onesignal").values()) == {2}

    def test_scheduled_message_is_shown_and_withdrawn(self, sandbox):
        client, moment = self.connect(sandbox), datetime.now(UTC) + timedelta(hours=1)
        kept = client.create_notification(self.write({"included_segments": ["All"]}, send_after=moment))
        assert client.get_notification(APP_ID, kept.id).remaining == 3
        assert client.cancel_notification(APP_ID, kept.id).success
        assert client.get_notification(APP_ID, kept.id).canceled
        assert sandbox.summary("onesignal")["waiting"] == 0
        with pytest.raises(onesignal.ApiException) as refused:
            client.cancel_notification(APP_ID, kept.id)
        assert refused.value.status == 400

    @pytest.mark.parametrize(("key", "fields", "status"), [("wrong", {}, 403), (SECRET, {"ttl": -1}, 400)])
    def test_refusal_raises_error_of_client(self, sandbox, key, fields, status):
        with pytest.raises(onesignal.ApiException) as refused:
            self.connect(sandbox, key).create_notification(self.write({"included_segments": ["All"]}, **fields))
        assert refused.value.status == status
        assert sandbox.delivery_counts("onesignal") == {}

    def test_malformed_id_fails_the_call(self, sandbox):
        with pytest.raises(onesignal.ApiException) as refused:
            self.connect(sandbox).create_notification(self.write({"include_subscription_ids": [IDS[0], "r1"]}))
        assert "not a valid UUID" in refused.value.body
        assert sandbox.delivery_counts("onesignal") == {}

    def test_client_sets_reads_and_removes_tags_of_users(self, sandbox):
        client = self.connect(sandbox)

        def update(user, **tags):
            request = UpdateUserRequest(properties=PropertiesObject(tags=tags))
            client.update_user(APP_ID, "external_id", user, request)

        update("u2", city="Rome", new="true")
        update("u1", vip="")
        assert sandbox.tags("onesignal") == {"city:Rome": IDS[1:2], "new": IDS[1:2], "old": IDS[2:], "vip": IDS[2:]}
        user = client.get_user(APP_ID, "external_id", "u2")
        assert user["properties"]["tags"] == {"city": "Rome", "new": "true"}
        with pytest.raises(onesignal.OpenApiException) as caught:
            update("nobody", vip="true")
        assert caught.value.status == 404
