"""How tests call TPNS's sandbox."""

import json

from vendor_calls import tpns_call, tpns_message

from callers import Caller

TAG_ITEM = {"tags": ["a"], "tags_operator": "OR", "items_operator": "OR", "is_not": False, "tag_type": "xg_user_define"}
CALLER = Caller(
    send=lambda payload: tpns_call(tpns_message(**payload)),
    post=tpns_call,
    post_text=lambda text: tpns_call(text.encode()),
    frames={
        "rules": lambda text: tpns_call(tpns_message(audience_type="tag", tag_rules=json.loads(text))),
        "with": lambda text: tpns_call(tpns_message(**json.loads(text))),
    },
    sound_body=tpns_message(
        audience_type="tag",
        seq=1,
        environment="dev",
        expire_time=1,
        tag_rules=[{"tag_items": [TAG_ITEM], "operator": "OR", "is_not": False}],
    ),
    unknown_tagged=("InvalidIds", "InvalidIds"),
    id_format="{:036x}",
)
