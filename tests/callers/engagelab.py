"""How tests call EngageLab's sandbox."""

import json

from vendor_calls import NOTIFICATION, engagelab_call, read_registration_tags

from callers import Caller


def call_with_body(text: str):
    target = "all" if "live" not in text else {"registration_id": ["r2"]}
    return engagelab_call({"to": target, "body": json.loads(text)})


CALLER = Caller(
    send=lambda payload: engagelab_call({"body": NOTIFICATION, **payload}),
    post=engagelab_call,
    post_text=lambda text: engagelab_call(text.encode()),
    frames={
        "to": lambda text: engagelab_call({"to": json.loads(text), "body": NOTIFICATION}),
        "body": call_with_body,
        "options": lambda text: engagelab_call({"to": "all", "body": {**NOTIFICATION, "options": json.loads(text)}}),
    },
    sound_body={"to": {"tag": ["a"], "tag_not": ["b"]}, "body": {**NOTIFICATION, "options": {"time_to_live": 1}}},
    nobody_codes=frozenset({"21011"}),
    unknown_tagged=("InvalidIds", "InvalidIds"),
    id_format="{:024x}",
    read_tags=read_registration_tags,
)
