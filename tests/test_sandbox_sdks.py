"""The vendors' own client libraries talk to the sandbox over real loopback connections, and are answered."""

from contextlib import contextmanager
from urllib.parse import quote
from uuid import uuid4

import polars as pl
import pytest
from test_sandbox_delivery import make_credentials

from audience import DeviceIndex, get_vendor
from audience.delivery.syncing.index_sync import sync_tags
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog
from audience.sandbox import KEY, SECRET, Population, Sandbox

TABLE = pl.DataFrame(
    {
        "registration_id": ["r1", "r2", "r3", "r4"],
        "tags": [["Shenzhen", "female"], ["Shenzhen"], ["Guangzhou", "female"], []],
        "alias": ["u1", "u2", "u3", None],
        "account": ["a1", "a1", "a2", None],
        "platform": ["android", "ios", "android", "android"],
    }
)


IDS = [f"{number:032x}" for number in range(3)]


@contextmanager
def synced_sandbox(vendor, folder):
    """Yield a sandbox whose tags a sync has made those of an index: p_gd and v of the first device, v of the second."""
    table = pl.DataFrame({"registration_id": IDS, "province": ["gd", None, None], "tags": [["vip"], ["vip"], []]})
    text = f'[tag]\nnames.{vendor} = {{ vip = "v" }}\n[province]\nnames.{vendor} = "p_{{value}}"'
    index = DeviceIndex.build(table, folder / "devices.index")
    with Sandbox(Population(table.select("registration_id")), key=KEY, secret=SECRET) as running:
        catalog = validate_catalog(parse_catalog(text))
        assert sync_tags(index, get_vendor(vendor), catalog, make_credentials(vendor, running)).is_complete
        yield running


@pytest.fixture
def sandbox():
    with Sandbox(Population(TABLE), key=KEY, secret=SECRET) as running:
        yield running


class TestAlibaba:
    """alibabacloud-push20160801, signed with ACS3-HMAC-SHA256."""

    models = pytest.importorskip("alibabacloud_push20160801.models")
    Client = pytest.importorskip("alibabacloud_push20160801.client").Client
    Config = pytest.importorskip("alibabacloud_tea_openapi.utils_models").Config
    Refused = pytest.importorskip("alibabacloud_tea_openapi.exceptions").ClientException
    Failed = pytest.importorskip("alibabacloud_tea_openapi.exceptions").ServerException

    @pytest.fixture
    def client(self, sandbox):
        def make_client(secret: str = SECRET, key: str = KEY):
            endpoint = sandbox.url.removeprefix("http://")
            return self.Client(
                self.Config(access_key_id=key, access_key_secret=secret, endpoint=endpoint, protocol="http")
            )

        return make_client

    def make_request(self, **options):
        known = {"app_key": 1, "push_type": "NOTICE", "device_type": "ALL", "title": "Hi 你好*~", "body": "a & b+c"}
        return self.models.PushRequest(**known | options)

    def make_task(self, target_type, value=None, **options):
        target = self.models.PushTaskTarget(type=target_type, value=value)
        message = self.models.PushTaskMessage(title="t", body="b")
        return self.models.PushTask(target=target, message=message, **options)

    def test_synced_tags_are_read(self, tmp_path):
        with synced_sandbox("emas", tmp_path) as sandbox:
            config = self.Config(access_key_id=KEY, access_key_secret=SECRET, region_id="cn-hangzhou")
            config.endpoint, config.protocol = sandbox.url.removeprefix("http://"), "http"
            client = self.Client(config)
            read = [self.models.QueryTagsRequest(app_key=23267207, client_key=id_, key_type="DEVICE") for id_ in IDS]
            infos = [client.query_tags(each).body.tag_infos.tag_info or [] for each in read]
            assert [sorted(info.tag_name for info in each) for each in infos] == [["p_gd", "v"], ["v"], []]

    def test_push_delivers_to_tag(self, sandbox, client):
        tags = '{"and":[{"tag":"Shenzhen"},{"not":{"tag":"female"}}]}'
        body = client().push(self.make_request(target="TAG", target_value=tags)).body
        assert sandbox.delivery_counts("emas", body.message_id) == {"r2": 1}
        assert len(body.request_id) == 36

    def test_tags_are_set_and_read(self, sandbox, client):
        target = {"app_key": 1, "key_type": "DEVICE"}
        bind = self.models.BindTagRequest(client_key="r1,r4", tag_name="会员,a*~ b", **target)
        assert len(client().bind_tag(bind).body.request_id) == 36
        client().unbind_tag(self.models.UnbindTagRequest(client_key="r1", tag_name="female,Shenzhen", **target))
        query = self.models.QueryTagsRequest(client_key="r1", **target)
        names = [info.tag_name for info in client().query_tags(query).body.tag_infos.tag_info]
        assert names == ["a*~ b", "会员"]
        listed = client().list_tags(self.models.ListTagsRequest(app_key=1)).body.tag_infos.tag_info
        assert [info.tag_name for info in listed] == ["Guangzhou", "Shenzhen", "a*~ b", "female", "会员"]
        client().remove_tag(self.models.RemoveTagRequest(app_key=1, tag_name="female"))
        request = self.models.CheckDevicesRequest(app_key=1, device_ids="r1,nobody")
        checked = client().check_devices(request).body.device_check_infos.device_check_info
        assert [(info.device_id, info.available) for info in checked] == [("r1", True), ("nobody", False)]
        assert sandbox.tags("emas") == {
            **{"Guangzhou": ["r3"], "Shenzhen": ["r2"]},
            **{"a*~ b": ["r1", "r4"], "会员": ["r1", "r4"]},
        }
        client().push(self.make_request(target="TAG", target_value="会员"))
        assert sandbox.delivery_counts("emas") == {}  # until ten minutes have passed

    def test_push_v2_deduplicates_by_token(self, sandbox, client):
        token = str(uuid4())
        request = self.models.PushV2Request(
            app_key=1, idempotent_token=token, push_task=self.make_task("ALIAS", "u1,u3")
        )
        first, again = (client().push_v2(request).body for _ in range(2))
        assert first.message_id == again.message_id
        assert sandbox.delivery_counts("emas") == {"r1": 1, "r3": 1}

    def test_mass_push_returns_one_message_id_per_task(self, sandbox, client):
        common = {"push_type": "NOTICE", "device_type": "ALL", "title": "t", "body": "b"}
        tasks = [
            self.models.MassPushRequestPushTask(target="DEVICE", target_value="r1,r2", **common),
            self.models.MassPushRequestPushTask(target="ACCOUNT", target_value="a2", **common),
        ]
        body = client().mass_push(self.models.MassPushRequest(app_key=1, push_task=tasks)).body
        first, second = body.message_ids.message_id
        assert sandbox.delivery_counts("emas", first) == {"r1": 1, "r2": 1}
        assert sandbox.delivery_counts("emas", second) == {"r3": 1}

    def test_mass_push_v2_accepts_push_v2_tasks(self, sandbox, client):
        tasks = [self.make_task("DEVICE", "r4"), self.make_task("ACCOUNT", "a1")]
        body = client().mass_push_v2(self.models.MassPushV2Request(app_key=1, push_tasks=tasks)).body
        assert [sandbox.delivery_counts("emas", message) for message in body.message_ids] == [
            {"r4": 1},
            {"r1": 1, "r2": 1},
        ]

    def test_continuous_push_delivers_to_several_lists(self, sandbox, client):
        message = client().push(self.make_request(target="TBD", target_value="TBD")).body.message_id
        for value in ("r1", "r2,r3"):
            request = self.models.ContinuouslyPushRequest(
                app_key=1, message_id=message, target="DEVICE", target_value=value
            )
            assert client().continuously_push(request).body.message_id == message
        assert sandbox.delivery_counts("emas", message) == {"r1": 1, "r2": 1, "r3": 1}
        end = self.models.CompleteContinuouslyPushRequest(app_key=1, message_id=message)
        assert client().complete_continuously_push(end).body.request_id
        with pytest.raises(self.Refused) as refused:
            client().continuously_push(request)
        assert refused.value.code == "Invalid.Parameter"

    def test_scheduled_push_can_be_cancelled(self, sandbox, client):
        from datetime import UTC, datetime, timedelta

        moment = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        message = client().push(self.make_request(target="ALL", target_value="ALL", push_time=moment)).body.message_id
        assert sandbox.summary("emas")["waiting"] == 1
        client().cancel_push(self.models.CancelPushRequest(app_key=1, message_id=int(message)))
        assert (sandbox.summary("emas")["waiting"], sandbox.delivery_counts("emas")) == (0, {})

    def test_list_of_1000_long_ids_is_accepted(self, sandbox, client):
        value = ",".join(f"{number:0>32}" for number in range(1_000))
        request = self.models.PushV2Request(app_key=1, push_task=self.make_task("DEVICE", f"r1,{value}"[:-33]))
        assert sandbox.delivery_counts("emas", client().push_v2(request).body.message_id) == {"r1": 1}

    def test_more_than_1000_ids_raise_client_error(self, client):
        value = ",".join(map(str, range(1_001)))
        with pytest.raises(self.Refused) as refused:
            client().push(self.make_request(target="DEVICE", target_value=value))
        assert (refused.value.code, refused.value.status_code) == ("InvalidTargetValue.LengthExceed", 400)

    def test_wrong_secret_is_rejected(self, sandbox, client):
        with pytest.raises(self.Refused) as refused:
            client("wrong").push(self.make_request(target="ALL", target_value="ALL"))
        assert refused.value.code == "SignatureDoesNotMatch"
        assert sandbox.delivery_counts("emas") == {}

    def test_unknown_key_is_rejected(self, client):
        with pytest.raises(self.Refused) as refused:
            client(key="other").push(self.make_request(target="ALL", target_value="ALL"))
        assert (refused.value.code, refused.value.status_code) == ("InvalidAccessKeyId.NotFound", 404)

    def test_second_broadcast_exceeds_rate_limit(self, client):
        client().push(self.make_request(target="ALL", target_value="ALL"))
        with pytest.raises(self.Refused) as refused:
            client().push(self.make_request(target="ALL", target_value="ALL"))
        assert refused.value.code == "Throttling.User"

    def test_server_error_raises_client_error(self, sandbox, client):
        sandbox.set_faults("error=500")
        with pytest.raises(self.Failed) as failed:
            client().push(self.make_request(target="ALL", target_value="ALL"))
        assert failed.value.code == "InternalError"


class TestAlibabaLegacy:
    """aliyun-python-sdk-core, signed with HMAC-SHA1."""

    core = pytest.importorskip("aliyunsdkcore.client")
    Failed = pytest.importorskip("aliyunsdkcore.acs_exception.exceptions").ServerException

    def make_request(self, sandbox, method):
        from aliyunsdkcore.request import CommonRequest

        request = CommonRequest(sandbox.url.removeprefix("http://"), "2016-08-01", "Push")
        request.set_method(method)
        request.set_protocol_type("http")
        add = request.add_query_param if method == "GET" else request.add_body_params
        said = {"AppKey": "1", "PushType": "NOTICE", "DeviceType": "ALL", "Target": "DEVICE", "TargetValue": "r1,r2"}
        for name, value in {**said, "Title": "Hi 你好*~", "Body": "a & b+c / d"}.items():
            add(name, value)
        return request

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_push_delivers_to_list(self, sandbox, method):
        import json

        client = self.core.AcsClient(KEY, SECRET, "cn-hangzhou")
        answer = json.loads(client.do_action_with_exception(self.make_request(sandbox, method)))
        assert sandbox.delivery_counts("emas", answer["MessageId"]) == {"r1": 1, "r2": 1}

    def test_wrong_secret_is_rejected(self, sandbox):
        client = self.core.AcsClient(KEY, "wrong", "cn-hangzhou")
        with pytest.raises(self.Failed) as failed:
            client.do_action_with_exception(self.make_request(sandbox, "GET"))
        assert failed.value.get_error_code() == "SignatureDoesNotMatch"


class TestEngageLab:
    """engagelab-apppush."""

    engagelab = pytest.importorskip("engagelab")
    push = pytest.importorskip("engagelab.push")
    Failed = pytest.importorskip("engagelab.errors").ApiError

    def make_push(self, target, **options):
        notification = self.push.NotificationMessage(alert="Hi")
        body = self.push.PushBody(platform=options.pop("platform", "all"), notification=notification)
        return self.push.PushParam(to=target, body=body, **options)

    def make_client(self, sandbox, secret=SECRET):
        return self.engagelab.Client(KEY, secret, base_url=sandbox.url)

    def test_push_delivers_to_target(self, sandbox):
        to = self.push.PushTo(tag=["Shenzhen", "Guangzhou"], tag_and=["female"], tag_not=[])
        result = self.make_client(sandbox).push.send(self.make_push(to, request_id="18", platform=["android"]))
        assert result.request_id == "18"
        assert sandbox.delivery_counts("engagelab", result.msg_id) == {"r1": 1, "r3": 1}

    def test_validate_delivers_nothing(self, sandbox):
        assert self.make_client(sandbox).push.validate(self.make_push("all")).msg_id
        assert sandbox.delivery_counts("engagelab") == {}

    def test_tags_are_set_and_read(self, sandbox):
        tag, device = pytest.importorskip("engagelab.tag"), pytest.importorskip("engagelab.device")
        client = self.make_client(sandbox)
        changes = tag.TagRegistrationIDs(add=["r1", "r4"], remove=["r2"])
        client.tag.set("Shenzhen", tag.TagSetParam(registration_ids=changes))
        client.device.set("r1", device.DeviceSetParam(tags=device.DeviceSetTags(add=["会员"], remove=["female"])))
        assert (client.device.get("r1").tags, client.device.get("r1").alias) == (["Shenzhen", "会员"], "u1")
        assert client.tag.list().tags == ["Guangzhou", "Shenzhen", "female", "会员"]
        assert client.tag.get_count(["Shenzhen", "会员"], "android").tags_count == {"Shenzhen": 2, "会员": 1}
        assert client.tag.get_device_status(quote("会员"), "r1").result is True  # the client does not quote it
        assert client.tag.get_device_status("Shenzhen", "r2").result is False
        client.push.send(self.make_push(self.push.PushTo(tag=["Shenzhen"])))
        client.tag.delete("Shenzhen", ["android"])
        assert sandbox.tags("engagelab") == {"Guangzhou": ["r3"], "female": ["r3"], "会员": ["r1"]}
        assert sandbox.delivery_counts("engagelab") == {"r1": 1, "r4": 1}
        with pytest.raises(self.Failed) as failed:
            client.tag.set("a-b", tag.TagSetParam(registration_ids=changes))
        assert (failed.value.status_code, failed.value.error.code) == (400, 21003)

    def test_synced_tags_are_read(self, tmp_path):
        with synced_sandbox("engagelab", tmp_path) as sandbox:
            client = self.make_client(sandbox)
            assert [client.device.get(id_).tags for id_ in IDS] == [["p_gd", "v"], ["v"], []]
            assert client.tag.get_device_status("v", IDS[1]).result is True

    def test_live_activity_and_voip_are_accepted(self, sandbox):
        live = self.push.LiveActivityIOS(event="start", content_state={"a": 1}, attributes_type="order")
        body = self.push.PushBody(platform="ios", live_activity=self.push.LiveActivityMessage(ios=live))
        to = self.push.PushTo(registration_id=["r2"])
        self.make_client(sandbox).push.send(self.push.PushParam(to=to, body=body))
        self.make_client(sandbox).push.send(self.push.PushParam(to=to, body=self.push.PushBody("ios", voip={"k": "v"})))
        assert sandbox.delivery_counts("engagelab") == {"r2": 2}

    @pytest.mark.parametrize(
        ("to", "code"),
        [
            (push.PushTo(registration_id=["r1", "nobody"]), 20101),
            (push.PushTo(registration_id=[f"r{number}" for number in range(1_001)]), 21016),
            (push.PushTo(tag_not=["Shenzhen"]), 21003),
            (push.PushTo(tag=["nowhere"]), 21011),
            (None, 21002),
        ],
    )
    def test_invalid_push_raises_client_error(self, sandbox, to, code):
        with pytest.raises(self.Failed) as failed:
            self.make_client(sandbox).push.send(self.make_push(to))
        assert (failed.value.status_code, failed.value.error.code) == (400, code)
        assert sandbox.delivery_counts("engagelab") == {}

    def test_wrong_secret_is_rejected(self, sandbox):
        with pytest.raises(self.Failed) as failed:
            self.make_client(sandbox, "wrong").push.send(self.make_push("all"))
        assert (failed.value.status_code, failed.value.error.code) == (401, 21004)

    def test_rate_limit_raises_client_error(self, sandbox):
        sandbox.set_faults("fast:#2")
        self.make_client(sandbox).push.send(self.make_push("all"))
        with pytest.raises(self.Failed) as failed:
            self.make_client(sandbox).push.send(self.make_push("all"))
        assert (failed.value.status_code, failed.value.error.code) == (400, 23008)


class TestJPush:
    """jpush, whose hosts are a table that a zone is added to."""

    jpush = pytest.importorskip("jpush")
    common = pytest.importorskip("jpush.common")

    @pytest.fixture
    def push(self, sandbox, monkeypatch):
        places = {"PUSH": "", "DEVICE": "devices/", "TAG": "tags/"}
        places = {name: f"{sandbox.url}/v3/{place}" for name, place in places.items()}
        monkeypatch.setitem(self.common.ZONES, "SANDBOX", places)
        opened = []

        def make_push(audience, secret=SECRET):
            client = self.jpush.JPush(KEY, secret, zone="sandbox")
            opened.append(client.session)
            push = client.create_push()
            push.audience, push.platform = audience, self.jpush.all_
            push.notification = self.jpush.notification(alert="Hi")
            return push

        yield make_push
        for session in opened:
            session.close()

    def test_push_delivers_to_audience(self, sandbox, push):
        audience = self.jpush.audience(self.jpush.tag("Shenzhen", "Guangzhou"), self.jpush.tag_and("female"))
        answer = push(audience).send()
        assert answer.payload["sendno"] == "0"
        assert sandbox.delivery_counts("jpush", answer.payload["msg_id"]) == {"r1": 1, "r3": 1}

    def test_tags_are_set_and_read(self, sandbox, push):
        sending = push(self.jpush.audience(self.jpush.tag("Shenzhen")))
        device = sending._jpush.create_device()
        ids = self.jpush.device_regid(self.jpush.add("r1", "r4"), self.jpush.remove("r2"))
        assert device.update_tagusers("Shenzhen", ids).payload == "success"
        tags = self.jpush.device_tag(self.jpush.add("会员"), self.jpush.remove("female"))
        assert device.set_deviceinfo("r1", tags).get_status_code() == 200
        assert device.get_deviceinfo("r1").payload == {"tags": ["Shenzhen", "会员"], "alias": "u1"}
        assert device.get_taglist().payload == {"tags": ["Guangzhou", "Shenzhen", "female", "会员"]}
        assert device.check_taguserexist("会员", "r1").payload == {"result": True}
        assert device.get_device_status(["r1", "nobody"]).payload == {"r1": {"online": True}, "nobody": {}}
        sending.send()
        device.delete_tag("Shenzhen", "android,ios")
        device.set_deviceinfo("r1", self.jpush.device_tag(""))
        assert sandbox.tags("jpush") == {"Guangzhou": ["r3"], "female": ["r3"]}
        assert sandbox.delivery_counts("jpush") == {"r1": 1, "r4": 1}
        with pytest.raises(self.common.JPushFailure) as failed:
            device.update_tagusers("x", self.jpush.device_regid(self.jpush.add("nobody", "r1")))
        assert (failed.value.error_code, failed.value.error["illegal_rids"]) == (7013, ["nobody"])

    def test_synced_tags_are_read(self, tmp_path, monkeypatch):
        with synced_sandbox("jpush", tmp_path) as sandbox:
            places = {"PUSH": "", "DEVICE": "devices/", "TAG": "tags/"}
            urls = {name: f"{sandbox.url}/v3/{place}" for name, place in places.items()}
            monkeypatch.setitem(self.common.ZONES, "SANDBOX", urls)
            client = self.jpush.JPush(KEY, SECRET, zone="sandbox")
            with client.session:
                device = client.create_device()
                tags = [device.get_deviceinfo(id_).payload["tags"] for id_ in IDS]
                assert tags == [["p_gd", "v"], ["v"], []]
                assert device.check_taguserexist("v", IDS[1]).payload == {"result": True}

    def test_tag_not_alone_is_accepted(self, sandbox, push):
        push(self.jpush.audience(self.jpush.tag_not("female"))).send()
        assert sandbox.delivery_counts("jpush") == {"r2": 1, "r4": 1}

    def test_validate_delivers_nothing(self, sandbox, push):
        assert push(self.jpush.all_).send_validate().get_status_code() == 200
        assert sandbox.delivery_counts("jpush") == {}

    def test_push_with_the_same_cid_is_delivered_once(self, sandbox, push):
        sending = push(self.jpush.all_)
        sending.cid = sending.get_cid(1).payload["cidlist"][0]
        assert sending.send().payload == sending.send().payload
        assert sandbox.summary("jpush")["most"] == 1

    @pytest.mark.parametrize(
        ("audience", "code"),
        [
            (jpush.audience(jpush.registration_id("r1", "nobody")), 1003),
            (jpush.audience(jpush.alias(*map(str, range(1_001)))), 1003),
            (jpush.audience(jpush.tag("nowhere")), 1011),
            ({}, 1002),
        ],
    )
    def test_invalid_push_raises_client_error(self, sandbox, push, audience, code):
        with pytest.raises(self.common.JPushFailure) as failed:
            push(audience).send()
        assert failed.value.error_code == code
        assert sandbox.delivery_counts("jpush") == {}

    def test_wrong_secret_is_rejected(self, push):
        with pytest.raises(self.common.Unauthorized):
            push(self.jpush.all_, "wrong").send()
