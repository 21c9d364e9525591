"""Alibaba Cloud's client of Umeng takes what is emitted, and puts it into the request that it would send."""

import json

import pytest

from audience import get_vendor, parse
from audience.vendors.payload_reader import dump_json

models = pytest.importorskip("alibabacloud_umeng_push20220225.models")

EXPRS = [
    "vip",
    "NOT vip",
    "(美剧 OR 文艺) AND NOT channel:360 AND version:1.2.0",
    "(registered_user AND active >= 2014-11-15) OR NOT active >= 2014-11-15",
]
ID_EXPRS = ["registration_id(r1)", "registration_id(r1, r2)", "alias(u1, u2) AND alias_type:weibo"]


@pytest.fixture
def sent(monkeypatch):
    """A client of Umeng and the requests that it would send, each its action and its body."""
    client = pytest.importorskip("alibabacloud_umeng_push20220225.client")
    config = pytest.importorskip("alibabacloud_tea_openapi.utils_models").Config
    found = []
    made = client.Client(config(access_key_id="id", access_key_secret="secret", endpoint="localhost"))

    def call_api(params, request, runtime):
        found.append((params.action, request.body))
        return {"statusCode": 200, "headers": {}, "body": {}}

    monkeypatch.setattr(made, "call_api", call_api)
    return made, found


@pytest.mark.parametrize("text", EXPRS)
def test_client_sends_equivalent_filter(sent, text):
    client, found = sent
    payload = get_vendor("umeng").emit(parse(text))
    client.send_by_filter_with_options(models.SendByFilterRequest(filter=dump_json(payload["filter"])), {}, None)
    [(action, body)] = found
    assert action == "SendByFilter"
    assert json.loads(body["Filter"]) == payload["filter"]
    assert get_vendor("umeng").parse({"type": "groupcast", "filter": body["Filter"]}) == get_vendor("umeng").parse(
        payload
    )


@pytest.mark.parametrize("text", ID_EXPRS)
def test_client_sends_ids(sent, text):
    client, found = sent
    payload = get_vendor("umeng").emit(parse(text))
    if "alias" in payload:
        request = models.SendByAliasRequest(alias=payload["alias"], alias_type=payload["alias_type"])
        client.send_by_alias_with_options(request, {}, None)
        said = {"Alias": payload["alias"], "AliasType": payload["alias_type"]}
    else:
        client.send_by_device_with_options(models.SendByDeviceRequest(device_tokens=payload["device_tokens"]), {}, None)
        said = {"DeviceTokens": payload["device_tokens"]}
    assert [body for _, body in found] == [said]
