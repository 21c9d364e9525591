"""How tests call OneSignal's sandbox."""

import json
from urllib.parse import unquote

from audience.sandbox.http_types import HttpCall
from callers import Caller

HEADERS = {"authorization": "Key k"}
MESSAGE = {"app_id": "a", "contents": {"en": "x"}}


def onesignal_call(body):
    return HttpCall("POST", "/notifications", {"c": "push"}, HEADERS, json.dumps(body).encode())


def user_call(method, place, text=""):
    """A call about the user of an alias, with the text of a body."""
    return HttpCall(method, f"/apps/a/users/by/{place}", headers=HEADERS, body=text.encode())


def read_tags(request):
    """Yield the changes in a call for tags."""
    user = unquote(request.path.removeprefix("/apps/a1/users/by/external_id/"))
    for key, text in json.loads(request.content)["properties"]["tags"].items():
        yield ("add" if text else "remove", user, key if text in ("true", "") else f"{key}:{text}")


CALLER = Caller(
    tag_call=user_call,
    read_tags=read_tags,
    unknown_tagged=("InvalidIds nobody", "InvalidIds nobody"),
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
