"""How tests call Huawei's sandbox, which takes any access token if it takes any credentials."""

import json

from audience.sandbox.http_types import HttpCall
from callers import Caller

TEXT = {"android": {"notification": {"title": "t", "body": "b", "click_action": {"type": 3}}}}


def huawei_call(body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpCall("POST", "/v1/7/messages:send", headers={"authorization": "Bearer token"}, body=content)


CALLER = Caller(
    send=lambda payload: huawei_call({"message": {**TEXT, **payload["message"]}}),
    post=huawei_call,
    post_text=lambda text: huawei_call(text.encode()),
    frames={
        "to": lambda text: huawei_call({"message": {**TEXT, **json.loads(text)}}),
        "message": lambda text: huawei_call({"message": {"token": ["r1", "r2"], **json.loads(text)}}),
        "android": lambda text: huawei_call(
            {"message": {"token": ["r1", "r2"], "data": "x", "android": json.loads(text)}}
        ),
    },
    sound_body={
        "validate_only": False,
        "message": {**TEXT, "token": ["r1"], "android": {**TEXT["android"], "ttl": "60s"}},
    },
    id_format="{:0130x}",
)
