"""Tags of Getui: one tag of many cids, or the tags of one cid.

https://docs.getui.com/getui/server/rest_v2/user, as clients quote it. A cid that no device has gets `false`. No page
says what follows here: a call for such cids alone is refused, as a push to them is; a call that would give a cid more
than a hundred tags fails as a whole. Pushes follow changes at once, as the page mentions a delay but not how long.
"""

import re
from typing import Any

import numpy as np

from audience.sandbox.http_types import HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.request_checks import is_string_list, parse_json_object
from audience.sandbox.vendor_state import VendorState

TAG_CALL = re.compile(r"user/custom_tag/(batch|cid)/(.+)")
A_MINUTE, A_DAY = (100, 60.0), (10_000, 86_400.0)
MAX_CIDS, MAX_TAGS, MAX_CHARS, MAX_ALL_CHARS = 1_000, 100, 31, 512
WRONG, UNKNOWN_USER = 20001, "target user is invalid"
FAILED, TOO_LONG, DAY_USED_UP, TOO_OFTEN = 23001, 30005, 30011, 30012
DAY_SECONDS = 86_400.0


def name_tag_endpoint(place: str) -> str:
    """Return the endpoint of a place below the application, with `*` in place of a tag or a cid, or "".

    >>> name_tag_endpoint("user/custom_tag/batch/vip"), name_tag_endpoint("push/all")
    ('user/custom_tag/batch/*', '')
    """
    match = TAG_CALL.fullmatch(place)
    return f"user/custom_tag/{match[1]}/*" if match else ""


def handle_tag_call(call: HttpCall, place: str, state: VendorState) -> HttpReply:
    """Set, remove, replace or show tags. The access token was checked.

    Raises:
        VendorRefusal: The call is not allowed, or none of its cids is known.
    """
    match = TAG_CALL.fullmatch(place)
    assert match is not None, place
    kind, name = match[1], match[2]
    match call.method, kind:
        case "PUT" | "DELETE", "batch":
            return _change_tag(name, call, state)
        case "GET", "cid":
            return _answer({name: [" ".join(state.tags.tags_of(_find_row(name, state)))]})
        case "POST", "cid":
            return _replace_tags(name, call, state)
    raise VendorRefusal(405, "method not allowed")


def _answer(data: JsonObject) -> HttpReply:
    return HttpReply(200, {"code": 0, "msg": "success", "data": data})


def _change_tag(tag: str, call: HttpCall, state: VendorState) -> HttpReply:
    _count_call(f"tags {call.method}", state)
    cids: Any = parse_json_object(call.body, 1).get("cid")
    if not is_string_list(cids) or not 1 <= len(cids) <= MAX_CIDS:
        raise VendorRefusal(WRONG, "cid size over limit")
    _check_tag(tag)
    rows, unknown = state.find_rows(cids)
    if not len(rows):
        raise VendorRefusal(WRONG, UNKNOWN_USER)
    if call.method == "DELETE":
        state.tags.remove(tag, rows)
    else:
        most = state.tags.find_most_tags([state.tags.devices_without(tag, rows)])
        if state.exceeds_quota(most, MAX_TAGS):
            raise VendorRefusal(FAILED, f"a cid has at most {MAX_TAGS} tags")
        state.tags.add(tag, rows)
    return _answer({cid: "false" if cid in unknown else "true" for cid in cids})


def _count_call(name: str, state: VendorState) -> None:
    for limit, code in ((A_MINUTE, TOO_OFTEN), (A_DAY, DAY_USED_UP)):
        if not state.rate_limiter.try_acquire(f"{name} {limit[1]}", *limit):
            raise VendorRefusal(code, "over limit")


def _check_tag(tag: str) -> None:
    if len(tag) > MAX_CHARS:
        raise VendorRefusal(TOO_LONG, "tag size over limit")
    if not re.fullmatch(r"\S+", tag):
        raise VendorRefusal(WRONG, "tag is invalid")


def _replace_tags(cid: str, call: HttpCall, state: VendorState) -> HttpReply:
    """Replace the tags of a cid by those of a call, which is allowed once a day."""
    tags: Any = parse_json_object(call.body, 1).get("custom_tag")
    if not is_string_list(tags) or len(tags) > MAX_TAGS or sum(map(len, tags)) > MAX_ALL_CHARS:
        raise VendorRefusal(WRONG, "custom_tag size over limit")
    for tag in tags:
        _check_tag(tag)
    row = _find_row(cid, state)
    if not state.rate_limiter.try_acquire(f"tags of {cid}", 1, DAY_SECONDS):
        raise VendorRefusal(DAY_USED_UP, "over limit")
    rows = np.array([row], dtype=np.uint32)
    for tag in {*state.tags.tags_of(row)} - {*tags}:
        state.tags.remove(tag, rows)
    for tag in tags:
        state.tags.add(tag, rows)
    return HttpReply(200, {"code": 0, "msg": "success"})


def _find_row(cid: str, state: VendorState) -> int:
    row = state.population.rows_by_id(state.vendor).get(cid)
    if row is None:
        raise VendorRefusal(WRONG, UNKNOWN_USER)
    return row
