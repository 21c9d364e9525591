"""How tests call OneSignal's sandbox."""

import json

from audience.sandbox.http_types import HttpCall
from callers import Caller

HEADERS = {"authorization": "Key k"}
MESSAGE = {"app_id": "a", "contents": {"en": "x"}}


def onesignal_call(body):
    return HttpCall("POST", "/notifications", {"c": "push"}, HEADERS, json.dumps(body).encode())


CALLER = Caller(
    send=lambda payload: onesignal_call({**MESSAGE, **payload}),
    post=onesignal_call,
    post_text=lambda text: HttpCall("POST", "/notifications", {"c": "push"}, HEADERS, text.encode()),
    frames={
        "audience": lambda text: onesignal_call({**MESSAGE, **json.loads(text)}),
        "with": lambda text: onesignal_call({**MESSAGE, "included_segments": ["All"], **json.loads(text)}),
    },
    sound_body={
        **MESSAGE,
        "filters": [{"field": "tag", "key": "a", "relation": "exists"}],
        "data": {"n": 1},
        "ttl": 60,
        "isAndroid": True,
    },
    id_format="00000000-0000-4000-8000-{:012x}",
)
