"""How tests call Airship's sandbox."""

import json
from collections.abc import Sequence

from audience.sandbox.http_types import HttpCall
from callers import Caller

HEADERS = {"authorization": "Basic azpz", "accept": "application/vnd.urbanairship+json; version=3"}  # k:s
PUSH = {"device_types": ["android", "ios"], "notification": {"alert": "x"}}


def airship_call(body, path="/api/push"):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpCall("POST", path, headers=HEADERS, body=content)


def schedule_call(schedule):
    push = {**PUSH, "audience": "all"}
    return airship_call({"schedule": schedule, "push": push}, "/api/schedules")


def airship_tag_call(method, path, text=""):
    return HttpCall(method, path, headers=HEADERS, body=text.encode())


def read_tags(request):
    """Yield the changes in a call for tags."""
    body = json.loads(request.content)
    (direction,) = body.keys() - {"audience"}
    tags = [
        name if group == "device" else f"group.{group}:{name}"
        for group, names in body[direction].items()
        for name in names
    ]
    yield from ((direction, channel, tag) for channel in body["audience"]["channel"] for tag in tags)


def change_tag(tag: str, ids: Sequence[str], is_adding: bool) -> HttpCall:
    body = {"audience": {"channel": ids}, "add" if is_adding else "remove": {"device": [tag]}}
    return airship_tag_call("POST", "/api/channels/tags", json.dumps(body))


def to_tags(tags: Sequence[str], is_any: bool) -> dict:
    return {"audience": {"tag": tags} if is_any else {"AND": [{"tag": tag} for tag in tags]}}


CALLER = Caller(
    send=lambda payload: airship_call({**PUSH, **payload}),
    post=airship_call,
    post_text=lambda text: airship_call(text.encode()),
    frames={
        "audience": lambda text: airship_call({**PUSH, "audience": json.loads(text)}),
        "with": lambda text: airship_call({**PUSH, "audience": "all", **json.loads(text)}),
        "ios": lambda text: airship_call(
            {"audience": "all", "device_types": ["ios"], "notification": {"ios": json.loads(text)}}
        ),
        "android": lambda text: airship_call(
            {"audience": "all", "device_types": ["android"], "notification": {"android": json.loads(text)}}
        ),
        "at": lambda text: schedule_call(json.loads(text)),
    },
    sound_body=[
        {
            **PUSH,
            "audience": {"AND": [{"tag": ["a", "b"]}, {"NOT": {"tag": "c", "group": "g"}}]},
            "options": {"expiry": 60},
        }
    ],
    tag_call=airship_tag_call,
    unknown_tagged=("InvalidIds", "InvalidIds"),
    id_format="00000000-0000-4000-8000-{:012x}",
    read_tags=read_tags,
    change_tag=change_tag,
    to_tags=to_tags,
)
