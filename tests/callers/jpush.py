"""How tests call JPush's sandbox."""

import json

from vendor_calls import jpush_call, read_registration_tags

from callers import Caller

CALLER = Caller(
    send=lambda payload: jpush_call({"platform": "all", "message": {"msg_content": "x"}, **payload}),
    post=jpush_call,
    post_text=lambda text: jpush_call(text.encode()),
    frames={
        "audience": lambda text: jpush_call(
            {"platform": "all", "audience": json.loads(text), "notification": {"alert": "x"}}
        )
    },
    sound_body={
        "audience": {"tag": ["a"]},
        "platform": "all",
        "notification": {"alert": "x"},
        "options": {"sendno": 1},
    },
    nobody_codes=frozenset({"1011"}),
    unknown_tagged=("InvalidIds nobody", "InvalidIds nobody"),
    id_format="{:019x}",
    read_tags=read_registration_tags,
)
