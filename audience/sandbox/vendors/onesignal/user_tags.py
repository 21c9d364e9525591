"""Tags of OneSignal: PATCH and GET /apps/{app_id}/users/by/{alias_label}/{alias_id}, of one user and all its devices.

https://documentation.onesignal.com/reference/update-user, /view-user and /rate-limits. A tag is a key with a text; an
empty text removes it, as the page of the predecessor and the vendor's clients have it. A change is made before the
reply here, though a 202 promises it for later. A user whom no device has gets the 404 that the vendor's client takes
for that. The sandbox lists `key:text`, and a key with the text true under its name alone, as it lists the bare tags of
its table.
"""

import re
from typing import Any

import numpy as np

from audience.sandbox.http_types import HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.population_rows import Rows
from audience.sandbox.request_checks import parse_json_object
from audience.sandbox.vendor_state import VendorState

USER_PATH = re.compile(r"/apps/([^/]+)/users/by/([^/]+)/(.+)", re.DOTALL)
USER_ENDPOINT = "/apps/*/users/by/*/*"
UPDATES, VIEWS, OF_ONE_USER = (1_000, 1.0), (1, 1.0), (1, 1.0)
MAX_PROPERTIES = 100
BARE_TEXT = "true"
TOO_FAST = "429"


def read_app_id(call: HttpCall) -> str | None:
    """Return the application in the path of a call about a user; None if it is about none.

    >>> read_app_id(HttpCall("PATCH", "/apps/a1/users/by/external_id/u1")), read_app_id(HttpCall("GET", "/apps/a1"))
    ('a1', None)
    """
    match = USER_PATH.fullmatch(call.path)
    return match and match[1]


def handle_user_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Set, remove or show the tags of a user. The key was checked.

    Raises:
        VendorRefusal: The call is not allowed, or no device has the user.
    """
    match = USER_PATH.fullmatch(call.path)
    assert match is not None, call.path
    limits = {"PATCH": {"users": UPDATES, f"user {match[3]}": OF_ONE_USER}, "GET": {"view": VIEWS}}
    if call.method not in limits:
        raise VendorRefusal(404, "Not found")
    for name, limit in limits[call.method].items():
        if not state.rate_limiter.try_acquire(name, *limit):
            raise VendorRefusal(TOO_FAST, "API rate limit exceeded")
    tags = _read_tags(parse_json_object(call.body, 400)) if call.method == "PATCH" else {}
    rows = _find_user(match[2], match[3], state)
    for key, text in tags.items():
        _set_tag(key, text, rows, state)
    if call.method == "PATCH":
        return HttpReply(202, {"properties": {"tags": tags}})
    shown = dict(map(split_name, state.tags.tags_of(int(rows[0]))))
    return HttpReply(200, {"properties": {"tags": shown}, "identity": {match[2]: match[3]}, "subscriptions": []})


def _find_user(label: str, user: str, state: VendorState) -> Rows:
    known = state.population.registered_devices(state.vendor)
    found = state.population.rows_by_name("alias", [user]).get(user, []) if label == "external_id" else []
    rows = np.array([row for row in sorted(found) if known[row]], dtype=np.uint32)
    if not len(rows):
        raise VendorRefusal(404, "No user with this external_id found")
    return rows


def _read_tags(body: JsonObject) -> dict[str, str]:
    properties: Any = body.get("properties")
    tags = properties.get("tags") if isinstance(properties, dict) else None
    if not isinstance(tags, dict) or not all(isinstance(text, str) for text in tags.values()):
        raise VendorRefusal(400, "properties.tags must be an object of strings")
    if not all(tags) or len(tags) > MAX_PROPERTIES:
        raise VendorRefusal(400, f"a request updates at most {MAX_PROPERTIES} properties, each with a name")
    return tags


def _set_tag(key: str, text: str, rows: Rows, state: VendorState) -> None:
    """Give *rows* the *text* of *key* in the place of another; an empty one takes it away."""
    new = _name_tag(key, text) if text else ""
    held = {name for row in rows.tolist() for name in state.tags.tags_of(row) if split_name(name)[0] == key}
    for name in sorted(held - {new}):
        state.tags.remove(name, rows)
    if new:
        state.tags.add(new, rows)


def _name_tag(key: str, text: str) -> str:
    return key if text == BARE_TEXT else f"{key}:{text}"


def split_name(name: str) -> tuple[str, str]:
    """Return the key and the text of a tag as the sandbox lists it.

    >>> split_name("vip"), split_name("city:Rome")
    (('vip', 'true'), ('city', 'Rome'))
    """
    key, _, text = name.partition(":")
    return (key, text) if key and text else (name, BARE_TEXT)


def list_texts(key: str, state: VendorState) -> list[str | None]:
    """Return the text that each device has for *key*, or None."""
    texts: list[str | None] = [None] * len(state.population)
    for name in state.tags.names():
        own_key, text = split_name(name)
        for row in state.tags.rows_with_tag(name).tolist() if own_key == key else ():
            texts[row] = text
    return texts
