"""How tests call TPNS's sandbox."""

import json

from vendor_calls import tpns_call, tpns_message

from callers import Caller

TAG_ITEM = {"tags": ["a"], "tags_operator": "OR", "items_operator": "OR", "is_not": False, "tag_type": "xg_user_define"}


def read_tags(request):
    """Yield the changes in a call for tags, as far as TPNS reads it."""
    body = json.loads(request.content)
    direction = {1: "add", 2: "remove", 3: "add", 4: "remove", 7: "add", 8: "remove", 9: "add", 10: "remove"}[
        body["operator_type"]
    ]
    if body["operator_type"] in (9, 10):
        yield from ((direction, pair["token"], pair["tag"]) for pair in body["tag_token_list"])
    elif body["operator_type"] in (1, 2):
        yield direction, body["token_list"][0], body["tag_list"][0]
    elif body["operator_type"] in (7, 8):
        yield from ((direction, token, body["tag_list"][0]) for token in body["token_list"])
    else:
        yield from ((direction, body["token_list"][0], tag) for tag in body["tag_list"])


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
    read_tags=read_tags,
)
