"""How tests call Braze's sandbox."""

import json

from audience.sandbox.http_types import HttpCall
from callers import Caller

HEADERS = {"authorization": "Bearer s", "content-type": "application/json"}
PUSHES = {"android_push": {"title": "t", "alert": "x"}, "apple_push": {"alert": "x"}}
SUBSCRIBED = {"push_subscription_status": {"comparison": "is_not", "value": "unsubscribed"}}  # everybody of the table


def braze_call(body, path="/messages/send"):
    return HttpCall("POST", path, headers=HEADERS, body=json.dumps(body).encode())


def push_call(part, text):
    return braze_call({"audience": SUBSCRIBED, "broadcast": True, "messages": {part: json.loads(text)}})


CALLER = Caller(
    send=lambda payload: braze_call({"messages": PUSHES, **payload}),
    post=braze_call,
    post_text=lambda text: HttpCall("POST", "/messages/send", headers=HEADERS, body=text.encode()),
    frames={
        "audience": lambda text: braze_call({"messages": PUSHES, "broadcast": True, "audience": json.loads(text)}),
        "to": lambda text: braze_call({"messages": PUSHES, **json.loads(text)}),
        "with": lambda text: braze_call(
            {"messages": PUSHES, "broadcast": True, "audience": SUBSCRIBED, **json.loads(text)}
        ),
        "ios": lambda text: push_call("apple_push", text),
        "android": lambda text: push_call("android_push", text),
        "at": lambda text: braze_call(
            {"messages": PUSHES, "external_user_ids": ["r1", "r2"], "schedule": json.loads(text)},
            "/messages/schedule/create",
        ),
        "delete": lambda text: braze_call(json.loads(text), "/messages/schedule/delete"),
    },
    sound_body={
        "broadcast": True,
        "audience": {
            "AND": [
                SUBSCRIBED,
                {"custom_attribute": {"custom_attribute_name": "a", "comparison": "equals", "value": True}},
            ]
        },
        "messages": {**PUSHES, "apple_push": {"alert": {"title": "t", "body": "x"}, "badge": 1}},
    },
    id_format="user-{:08x}",
)
