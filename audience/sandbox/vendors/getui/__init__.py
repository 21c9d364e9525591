"""Getui, RestAPI v2: tokens, pushes to one device, to lists, to everyone and by tags, and tasks.

https://docs.getui.com/getui/server/rest_v2/push. A push to a list names a message that was created before, which is
valid for as long as it is kept for devices that are offline. What the page leaves open: here the message of a repeated
request_id is lost for a day, and its reply is the first one; and the message of a list that is not kept can be pushed
for ten seconds.
"""

import re
from typing import Any

import numpy as np

from audience.sandbox.http_types import DeviceMask, HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.request_checks import is_string_list, parse_json_object
from audience.sandbox.vendor_state import ContinuousMessage, VendorState
from audience.sandbox.vendors.getui.access_tokens import end_token, give_token, require_token
from audience.sandbox.vendors.getui.conditions import find_tagged, select_devices
from audience.sandbox.vendors.getui.push_checks import check_push
from audience.sandbox.vendors.getui.tags import handle_tag_call, name_tag_endpoint
from audience.sandbox.vendors.getui.tasks import answer_task_call

NAME = "getui"
PATHS = ("/v2/*",)
DEFAULT_REFUSAL_CODE, RATE_LIMIT_CODE = "20001", "10005"
WRONG, UNKNOWN_USER = 20001, "target user is invalid"
LISTS_A_DAY, APP_A_MINUTE, APP_A_DAY = (2_000_000, 86_400.0), (5, 60.0), (100, 86_400.0)
APP_DAY_CODES = {"all": 30007, "tag": 30010, "fast_custom_tag": 30006}
CONTENT_FIELDS = ("settings", "push_message", "push_channel")
REQUEST_SECONDS = 86_400.0
DEFAULT_TTL_MILLISECONDS, SHORTEST_MILLISECONDS = 7_200_000, 10_000
MAX_LIST = 1_000
_CALL = re.compile(r"/v2/([^/]+)/(.+)")
_PUSH = re.compile(r"push/(?:(single|list)/(cid|alias|message)|(all|tag|fast_custom_tag))")


def endpoint_name(call: HttpCall) -> str:
    """Return the path that is called, with `*` in place of the application, of a task and of a token."""
    match = _CALL.fullmatch(call.path)
    if match is None:
        return call.path
    name = name_tag_endpoint(match[2]) or re.sub(r"^(task/schedule|task|auth)/[^/]+$", r"\1/*", match[2])
    return f"/v2/*/{name}"


def handle_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Give out or end a token; deliver, keep, stop or show a task; and reply."""
    match = _CALL.fullmatch(call.path)
    app, place = (match[1], match[2]) if match else ("", "")
    if place == "auth" and call.method == "POST":
        return give_token(call, app, state)
    if place.startswith("auth/") and call.method == "DELETE":
        return end_token(call, app, place.removeprefix("auth/"), state)
    pushed = _PUSH.fullmatch(place)
    if pushed is None and not place.startswith("task/") and not name_tag_endpoint(place):
        raise VendorRefusal(404, "not found")
    require_token(call, app, state)
    if name_tag_endpoint(place):
        return handle_tag_call(call, place, state)
    if pushed is None:
        return answer_task_call(call.method, place.removeprefix("task/"), state)
    if call.method != "POST":
        raise VendorRefusal(405, "method not allowed")
    content = parse_json_object(call.body, 1)
    match pushed.groups():
        case (None, None, kind):
            return _push_to_app(content, str(kind), state)
        case ("list", "message", None):
            return _create_list_message(content, state)
        case ("list", kind, None):
            return _push_to_list(content, str(kind), state)
        case ("single", "cid" | "alias" as kind, None):
            return _push_to_one(content, kind, state)
    raise VendorRefusal(404, "not found")


def _push_to_app(push: JsonObject, kind: str, state: VendorState) -> HttpReply:
    limits = [("app", APP_A_MINUTE, 30014), ("app in a day", APP_A_DAY, APP_DAY_CODES[kind])]
    for name, limit, code in limits:
        if not state.rate_limiter.try_acquire(name, *limit):
            raise VendorRefusal(code, "over limit")
    delay = check_push(push, is_for_app=True, now=state.clock())
    devices = _app_devices(push.get("audience"), kind, state)
    if before := _lost_repeat(push, state):
        return before
    count = state.delivery_log.record(task := _create_task(push, state), devices, delay)
    reply = HttpReply(200, _succeed({"taskid": task}), message_id=task, device_count=count if delay <= 0 else 0)
    state.cache_reply(push["request_id"], reply)
    return reply


def _app_devices(audience: Any, kind: str, state: VendorState) -> DeviceMask:
    if kind == "all":
        if audience != "all":
            raise VendorRefusal(WRONG, "audience is invalid")
        return state.population.registered_devices(state.vendor)
    if not isinstance(audience, dict) or {*audience} != {kind}:
        raise VendorRefusal(WRONG, "audience is invalid")
    if kind == "tag":
        return select_devices(audience["tag"], state)
    name = audience["fast_custom_tag"]
    if not isinstance(name, str) or not name:
        raise VendorRefusal(WRONG, "fast_custom_tag can not be empty")
    return find_tagged("custom_tag", name, state) & state.population.registered_devices(state.vendor)


def _push_to_one(push: JsonObject, kind: str, state: VendorState) -> HttpReply:
    check_push(push, is_for_app=False, now=state.clock())
    names = _read_names(push.get("audience"), kind, 1)
    statuses, rows = _find_statuses(names, kind, state)
    if before := _lost_repeat(push, state):
        return before
    task = _create_task(push, state)
    reply = _deliver(task, statuses, rows, state)
    state.cache_reply(push["request_id"], reply)
    return reply


def _create_list_message(push: JsonObject, state: VendorState) -> HttpReply:
    _count_list_call(state)
    if "audience" in push:
        raise VendorRefusal(WRONG, "audience is invalid")
    check_push(push, is_for_app=False, now=state.clock())
    task = _create_task(push, state)
    state.continuous_messages[task] = ContinuousMessage(state.clock(), frozenset())
    return HttpReply(200, _succeed({"taskid": task}), message_id=task)


def _push_to_list(content: JsonObject, kind: str, state: VendorState) -> HttpReply:
    _count_list_call(state)
    if odd := content.keys() - {"audience", "taskid", "is_async", "need_alias_detail"}:
        raise VendorRefusal(WRONG, f"{min(odd)} is invalid")
    task = content.get("taskid")
    message = state.continuous_messages.get(task) if isinstance(task, str) else None
    if message is None or not isinstance(task, str):
        raise VendorRefusal(WRONG, "taskid is invalid")
    ttl = (state.delivery_log.content_by_message[task].get("settings") or {}).get("ttl", DEFAULT_TTL_MILLISECONDS)
    if state.clock() - message.since > max(ttl, SHORTEST_MILLISECONDS) / 1000:
        raise VendorRefusal(WRONG, "taskid is invalid")
    names = _read_names(content.get("audience"), kind, MAX_LIST)
    statuses, rows = _find_statuses(names, kind, state)
    reply = _deliver(task, statuses, rows, state)
    if content.get("is_async"):
        return HttpReply(200, {"code": 0, "msg": "success"}, message_id=task, device_count=reply.device_count)
    return reply


def _count_list_call(state: VendorState) -> None:
    if not state.rate_limiter.try_acquire("lists in a day", *LISTS_A_DAY):
        raise VendorRefusal(30008, "list push over limit")


def _lost_repeat(push: JsonObject, state: VendorState) -> HttpReply | None:
    """Return the first reply to the request_id of *push*, whose message is lost, or None if it is new."""
    request_id = push.get("request_id")
    if not isinstance(request_id, str) or not 10 <= len(request_id) <= 32:
        raise VendorRefusal(WRONG, "request_id is invalid")
    before = state.cached_reply(request_id, REQUEST_SECONDS)
    return before and HttpReply(before.status, before.body, message_id=before.message_id)


def _create_task(push: JsonObject, state: VendorState) -> str:
    content = {name: push[name] for name in CONTENT_FIELDS if name in push}
    return state.delivery_log.create_message(content, lambda number: f"RASL_{number:032d}")


def _read_names(audience: Any, kind: str, maximum: int) -> list[str]:
    if not isinstance(audience, dict) or {*audience} != {kind}:
        raise VendorRefusal(WRONG, "audience is invalid")
    names = audience[kind]
    if not is_string_list(names) or not names:
        raise VendorRefusal(WRONG, f"{kind} can not be empty")
    if len(names) > maximum:
        raise VendorRefusal(WRONG, f"{kind} size over limit")
    if len({*names}) < len(names):
        raise VendorRefusal(WRONG, f"contains duplicate {kind}")
    return list(names)


def _find_statuses(names: list[str], kind: str, state: VendorState) -> tuple[dict[str, str], list[int]]:
    """Return the status of each cid, and the rows of the devices that are online: here those that are known."""
    known = state.population.rows_by_id(state.vendor)
    if kind == "alias":
        rows = {row for found in state.population.rows_by_name("alias", names).values() for row in found}
        registered = state.population.registered_devices(state.vendor)
        reached = sorted(row for row in rows if registered[row])
        cids = state.population.ids_of_rows(state.vendor, np.array(reached, dtype=np.uint32))
        statuses = dict.fromkeys(cids, "successed_online")
    else:
        reached = [known[name] for name in names if name in known]
        statuses = {name: "successed_online" if name in known else UNKNOWN_USER for name in names}
    if not reached:
        raise VendorRefusal(WRONG, UNKNOWN_USER)
    return statuses, reached


def _deliver(task: str, statuses: dict[str, str], rows: list[int], state: VendorState) -> HttpReply:
    count = state.delivery_log.record(task, np.array(rows, dtype=np.uint32))
    return HttpReply(200, _succeed({task: statuses}), message_id=task, device_count=count)


def _succeed(data: JsonObject) -> JsonObject:
    return {"code": 0, "msg": "success", "data": data}


def build_refusal(exc: VendorRefusal, call: HttpCall) -> HttpReply:
    """Return the reply to a rejected call: the first digit of a long code decides on the HTTP status."""
    code = int(exc.code) if exc.code.isdecimal() else WRONG
    status = {1: 401, 2: 400, 3: 403}.get(code // 10_000, code if code in (404, 405) else 200)
    return HttpReply(status, {"code": code, "msg": exc.text or "refused"}, code=exc.code, headers=exc.headers)


def build_failure(status: int, call: HttpCall) -> HttpReply:
    """Return the reply of a failing server, of which the page says nothing."""
    return HttpReply(status, "", code=str(status))
