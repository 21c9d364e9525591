"""Airship's own client builds the same audience, takes it into its payload unchanged, and talks to the sandbox."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from audience import equivalent, get_vendor, parse, plan
from audience.messages import parse_message
from audience.sandbox import Population, Sandbox
from audience.vendors.payload_reader import dump_json, load_json

ua = pytest.importorskip("urbanairship")

KEY = "k" * 22
CHANNEL = "9c36e8c7-5a73-47c0-9716-99fd3d4197d5"
IDS = [f"00000000-0000-4000-8000-{number:012x}" for number in range(3)]
EXPRS = [
    "vip",
    "NOT vip",
    "sports OR entertainment",
    "(sports OR entertainment) AND language_en AND NOT old AND NOT group.loyalty:gold",
    "(a AND b) OR (c AND NOT (d AND e)) OR NOT group.province:guangdong",
    "alias(u1, u2) AND NOT old",
    f"vip OR registration_id({CHANNEL})",
    " AND ".join(f"t{number}" for number in range(25)),
]
COMPOUNDS = {"AND": ua.and_, "OR": ua.or_}
SELECTORS = {"tag": ua.tag, "named_user": ua.named_user, "channel": ua.channel}


def build_selector(selector: dict) -> dict:
    """*selector* made by the client's functions, which check ids; for a list of names they have OR."""
    [key, value] = next(iter(selector.items()))
    match key:
        case "NOT":
            return ua.not_(build_selector(value))
        case "AND" | "OR":
            return COMPOUNDS[key](*map(build_selector, value))
    names = value if isinstance(value, list) else [value]
    single = [ua.tag_group(selector["group"], name) if "group" in selector else SELECTORS[key](name) for name in names]
    return single[0] if len(single) == 1 else ua.or_(*single)


def serialize_push(audience) -> dict:
    """What the client would send."""
    push = ua.Push(ua.client.BasicAuthClient(KEY, secret=KEY))
    push.audience = audience
    push.device_types = ["ios", "android"]
    push.notification = ua.notification(alert="hello")
    return load_json(dump_json(push.payload))


@pytest.mark.parametrize("text", EXPRS)
def test_client_selectors_parse_to_same_expression(text):
    said = get_vendor("airship").emit(parse(text))
    assert equivalent(get_vendor("airship").parse({"audience": build_selector(said["audience"])}), parse(text))


@pytest.mark.parametrize("text", ["everyone", *EXPRS])
def test_client_payload_keeps_audience_and_adds_platforms(text):
    [said] = plan(text, "airship").native
    sent = serialize_push(said["audience"])
    assert sent["audience"] == said["audience"]
    assert get_vendor("airship").parse(sent) == get_vendor("airship").parse(said) & parse(
        "platform:ios OR platform:android"
    )


def test_client_broadcast_matches_ours():
    assert serialize_push(ua.all_)["audience"] == get_vendor("airship").emit(parse("everyone"))["audience"]


FULL_MESSAGE = {
    "title": "Hi",
    "body": "there",
    "subtitle": "s",
    "image": "https://a.b/c.png",
    "sound": "bell",
    "data": {"n": 1},
    "collapse_key": "k",
    "priority": "high",
    "time_to_live": 60,
    "overrides": {"ios": {"badge": "+1", "category": "c", "thread_id": "t"}, "android": {"channel_id": "news"}},
}


def test_client_builds_the_parts_of_platforms_that_we_write():
    body = get_vendor("airship").delivery.build_body(parse_message(FULL_MESSAGE))
    parts = body["notification"]
    assert ua.ios(**parts["ios"]) == parts["ios"]
    assert ua.android(**parts["android"]) == parts["android"]
    assert ua.media_attachment(FULL_MESSAGE["image"]) == parts["ios"]["media_attachment"]
    assert ua.style("big_picture", FULL_MESSAGE["image"]) == parts["android"]["style"]
    assert ua.options(expiry=60) == body["options"]
    assert ua.device_types("android", "ios") == body["device_types"]


class TestSandbox:
    """The client talks to the sandbox over a real loopback connection, and is answered."""

    SECRET = "s" * 22

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
        with Sandbox(Population(table), key=KEY, secret=self.SECRET, rate=None) as running:
            yield running

    def connect(self, sandbox, client=None):
        client = client or ua.client.BasicAuthClient(KEY, secret=self.SECRET)
        client.urls = ua.urls.Urls(base_url=f"{sandbox.url}/api/")
        return client

    def write(self, client, audience, **fields):
        push = ua.Push(client)
        push.audience = audience
        push.device_types = ua.device_types("ios", "android")
        push.notification = ua.notification(alert="Hi", **fields)
        return push

    def schedule(self, client, moment):
        scheduled = ua.ScheduledPush(client)
        scheduled.push = self.write(client, "all")
        scheduled.schedule = ua.scheduled_time(moment)
        return scheduled

    def test_targets_of_the_client_are_reached(self, sandbox):
        client = self.connect(sandbox)
        for text, told in (
            ("everyone", IDS),
            ("vip AND NOT old", IDS[:1]),
            (f'registration_id("{IDS[2]}")', IDS[2:]),
            ("alias(u2, u9)", IDS[1:2]),
            (f'registration_id("{CHANNEL}")', []),
        ):
            [said] = plan(text, "airship").native
            [push_id] = self.write(client, said["audience"]).send().push_ids
            assert sandbox.delivery_counts("airship", push_id) == dict.fromkeys(told, 1)

    def test_tags_of_channels_are_changed_and_read(self, sandbox):
        client = self.connect(sandbox)
        added, removed = ua.ChannelTags(client), ua.ChannelTags(client)
        added.set_audience(ios=IDS[0], android=IDS[1:])
        added.add("device", ["new"])
        added.add("crm", ["gold", "silver"])
        removed.set_audience(ios=IDS[0])
        removed.remove("crm", ["gold"])
        assert (added.send(), removed.send()) == ({"ok": True}, {"ok": True})
        channel = ua.ChannelInfo(client).lookup(IDS[0])
        assert (channel.tags, channel.tag_groups["crm"]) == (["new", "vip"], ["silver"])
        [said] = plan("group.crm:gold AND NOT vip", "airship").native
        [push_id] = self.write(client, said["audience"]).send().push_ids
        assert sandbox.delivery_counts("airship", push_id) == {IDS[1]: 1}

    def test_check_sends_nothing(self, sandbox):
        client = self.connect(sandbox)
        assert self.write(client, "all").validate().ok
        with pytest.raises(ua.AirshipFailure) as refused:
            self.write(client, {"channel": "nobody"}).validate()
        assert (refused.value.error_code, refused.value.details["path"]) == (40000, "audience.channel")
        assert sandbox.delivery_counts("airship") == {}

    def test_schedule_is_kept_and_withdrawn(self, sandbox):
        client = self.connect(sandbox)
        kept = self.schedule(client, datetime.now(UTC) + timedelta(hours=1))
        assert kept.send().ok
        assert (sandbox.summary("airship")["waiting"], sandbox.delivery_counts("airship")) == (1, {})
        assert kept.cancel().status_code == 204
        assert sandbox.summary("airship")["waiting"] == 0
        with pytest.raises(ua.AirshipFailure) as refused:
            kept.cancel()
        assert refused.value.error_code == 40401

    def test_past_schedule_is_refused(self, sandbox):
        with pytest.raises(ua.AirshipFailure):
            self.schedule(self.connect(sandbox), datetime.now(UTC) - timedelta(hours=1)).send()

    @pytest.mark.parametrize(
        "client",
        [
            ua.client.BasicAuthClient(KEY, secret="w" * 22),
            ua.client.BasicAuthClient("w" * 22, secret="s" * 22),
            ua.client.BearerTokenClient(KEY, token="wrong"),
        ],
    )
    def test_wrong_keys_raise_error_of_client(self, sandbox, client):
        with pytest.raises(ua.Unauthorized):
            self.write(self.connect(sandbox, client), "all").send()

    def test_token_of_the_dashboard_is_taken(self, sandbox):
        client = self.connect(sandbox, ua.client.BearerTokenClient(KEY, token=self.SECRET))
        assert self.write(client, "all").send().ok

    def test_token_of_oauth_is_requested_with_an_assertion(self, sandbox):
        client = self.connect(sandbox, ua.client.OAuthClient(KEY, "client-1", make_elliptic_key()))
        client.token_url = f"{sandbox.url}/oauth2/token"
        assert self.write(client, "all").send().ok
        assert set(sandbox.delivery_counts("airship").values()) == {1}

    def test_refusal_of_the_message_names_its_place(self, sandbox):
        with pytest.raises(ua.AirshipFailure) as refused:
            self.write(self.connect(sandbox), "all", ios={"badge": "one"}).send()
        assert refused.value.details["path"] == "notification.ios.badge"
        assert sandbox.delivery_counts("airship") == {}


def make_elliptic_key() -> str:
    """A private key as a client of OAuth has it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return ec.generate_private_key(ec.SECP384R1()).private_bytes(*form).decode()
