"""How tests call Xiaomi's sandbox: by forms, here as objects whose `extra` is one, too."""

import json
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

from audience.sandbox.http_types import HttpCall
from callers import Caller

PACKAGE = "com.example.app"
HEADERS = {"authorization": "key=sandbox-secret"}
MESSAGE = {"restricted_package_name": PACKAGE, "title": "t", "description": "d"}


def xiaomi_call(kind, form, version=3):
    """Return a message to one kind of target; *form* has the fields, or the objects that a test puts in their place."""
    fields = flatten(form) if isinstance(form, dict) else {}
    return post_form(f"/v{version}/message/{kind}", fields)


def post_form(path, fields):
    headers = {**HEADERS, "content-type": "application/x-www-form-urlencoded"}
    return HttpCall("POST", path, headers=headers, body=urlencode(fields).encode(), form=fields)


def flatten(form):
    own = {key: write_text(value) for key, value in form.items() if key != "extra"}
    extra = form.get("extra", {})
    if not isinstance(extra, dict):
        return {**own, "extra": write_text(extra)}
    return own | {f"extra.{key}": write_text(value) for key, value in extra.items()}


def write_text(value):
    return value if isinstance(value, str) else json.dumps(value)


def send(payload):
    ((kind, fields),) = payload.items()
    return xiaomi_call(kind, {**MESSAGE, **fields}, version=2 if kind == "user_account" else 3)


def post_path(text):
    """Return the call of a line: a path and a form as it is posted."""
    path, _, form = text.partition(" ")
    return post_form(path, dict(parse_qsl(form, keep_blank_values=True)))


def xiaomi_topic_call(method, place, form=""):
    """A call of a path, which may have a query, with a form as it is posted."""
    path, _, query = place.partition("?")
    if method == "GET":
        return HttpCall("GET", path, dict(parse_qsl(query)), HEADERS)
    return replace(post_form(path, dict(parse_qsl(form, keep_blank_values=True))), method=method)


def read_tags(request):
    """Yield the changes in a call for tags."""
    form = dict(parse_qsl(request.content.decode(), strict_parsing=True))
    direction = {"/v2/topic/subscribe": "add", "/v2/topic/unsubscribe": "remove"}[request.path]
    yield from ((direction, each, form["topic"]) for each in form["registration_id"].split(","))


def change_tag(tag: str, ids: Sequence[str], is_adding: bool) -> HttpCall:
    verb = "subscribe" if is_adding else "unsubscribe"
    return xiaomi_topic_call("POST", f"/v2/topic/{verb}", f"registration_id={','.join(ids)}&topic={tag}")


def to_tags(tags: Sequence[str], is_any: bool) -> dict:
    if len(tags) == 1:
        return {"topic": {"topic": tags[0]}}
    return {"multi_topic": {"topics": ";$;".join(tags), "topic_op": "UNION" if is_any else "INTERSECTION"}}


CALLER = Caller(
    send=send,
    post=lambda body: xiaomi_call("regid", body),
    post_text=post_path,
    frames={
        "to": lambda text: send(json.loads(text)),
        "with": lambda text: xiaomi_call("all", {**MESSAGE, **json.loads(text)}),
        "alone": lambda text: xiaomi_call("all", json.loads(text)),
    },
    sound_body={**MESSAGE, "registration_id": "r1", "time_to_live": 1_000, "extra": {"channel_id": "1"}},
    id_format="{:044x}",
    tag_call=xiaomi_topic_call,
    unknown_tagged=("Accepted", "InvalidIds nobody"),
    keys={"package_name": PACKAGE},
    read_tags=read_tags,
    change_tag=change_tag,
    to_tags=to_tags,
)
