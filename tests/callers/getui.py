"""How tests call Getui's sandbox, which takes any access token if it takes any credentials."""

import json
from collections.abc import Sequence
from itertools import count
from urllib.parse import unquote

from audience.sandbox.http_types import HttpCall
from callers import Caller

TEXT = {"push_message": {"transmission": "x"}}
HEADERS = {"token": "token"}
NUMBERS = count()


def getui_call(path, body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpCall("POST", f"/v2/a1/push/{path}", headers=HEADERS, body=content)


def push_call(payload, **fields):
    """A push to a target, with a request_id of its own."""
    audience = payload["audience"]
    kind = "all" if audience == "all" else next(iter(audience), "tag")
    path = f"single/{kind}" if kind in ("cid", "alias") else kind
    return getui_call(path, {"request_id": f"request-of-test-{next(NUMBERS)}", **TEXT, **fields, **payload})


def getui_tag_call(method, path, text=""):
    """A call below the application, with the text of a body."""
    return HttpCall(method, f"/v2/a1/{path}", headers=HEADERS, body=text.encode())


def read_tags(request):
    """Yield the changes in a call for tags."""
    direction = {"PUT": "add", "DELETE": "remove"}[request.method]
    tag = unquote(request.path.removeprefix("/v2/a1/user/custom_tag/batch/"))
    yield from ((direction, cid, tag) for cid in json.loads(request.content)["cid"])


def change_tag(tag: str, ids: Sequence[str], is_adding: bool) -> HttpCall:
    body = json.dumps({"cid": ids})
    return getui_tag_call("PUT" if is_adding else "DELETE", f"user/custom_tag/batch/{tag}", body)


def to_tags(tags: Sequence[str], is_any: bool) -> dict:
    condition = {"key": "custom_tag", "values": tags, "opt_type": "or" if is_any else "and"}
    return {"audience": {"tag": [condition]}}


CALLER = Caller(
    send=push_call,
    post=lambda body: getui_call("tag", body),
    post_text=lambda text: getui_call("tag", text.encode()),
    frames={
        "to": lambda text: push_call({"audience": json.loads(text)}),
        "with": lambda text: push_call({"audience": "all"}, **json.loads(text)),
        "one": lambda text: push_call({"audience": {"cid": ["r1"]}}, **json.loads(text)),
    },
    sound_body={
        **TEXT,
        "request_id": "request-of-tests",
        "audience": {"tag": [{"key": "custom_tag", "values": ["a"], "opt_type": "or"}]},
        "settings": {"ttl": 60_000},
    },
    tag_call=getui_tag_call,
    unknown_tagged=("Accepted", "InvalidIds"),
    read_tags=read_tags,
    change_tag=change_tag,
    to_tags=to_tags,
)
