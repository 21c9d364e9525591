"""How tests call Umeng's sandbox; the secret of `somebody` is not known, so that any signature will do."""

import json

from vendor_calls import START

from audience.sandbox.http_types import HttpCall
from callers import Caller

KEYS = {"appkey": "somebody", "timestamp": str(int(START))}
TEXT = {"payload": {"display_type": "notification", "body": {"title": "t", "text": "b"}}}


def umeng_call(body, path="/api/send"):
    content = body if isinstance(body, bytes) else json.dumps({**KEYS, **body} if isinstance(body, dict) else body)
    return HttpCall("POST", path, {"sign": "any"}, body=content if isinstance(content, bytes) else content.encode())


def post_text(text: str):
    """A call with the body that *text* writes, as it is."""
    return umeng_call(text.encode())


CALLER = Caller(
    send=lambda payload: umeng_call({**TEXT, **payload}),
    post=umeng_call,
    post_text=post_text,
    frames={
        "cast": lambda text: umeng_call({**TEXT, **json.loads(text)}),
        "where": lambda text: umeng_call({**TEXT, "type": "groupcast", "filter": {"where": json.loads(text)}}),
        "payload": lambda text: umeng_call({"type": "broadcast", "payload": json.loads(text)}),
        "policy": lambda text: umeng_call({**TEXT, "type": "broadcast", "policy": json.loads(text)}),
    },
    sound_body={
        **KEYS,
        **TEXT,
        "type": "groupcast",
        "filter": {"where": {"and": [{"tag": "a"}, {"not": {"or": [{"tag": "b"}]}}]}},
        "policy": {"max_send_num": 1_000},
        "production_mode": "true",
    },
    id_format="{:044x}",
    link_prefix="https://",
)
