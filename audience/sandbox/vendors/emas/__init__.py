"""Alibaba EMAS Mobile Push 2016-08-01, RPC on /: Push, PushV2, MassPush, MassPushV2, and continuous pushes.

https://www.alibabacloud.com/help/en/mobile-push/developer-reference/api-push-2016-08-01-push
Ids that nobody has are passed over without a word, as the page names no error for them.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import numpy as np

from audience.sandbox.http_types import JSON, Call, Mask, Refused, Reply
from audience.sandbox.request_checks import loaded
from audience.sandbox.vendor_state import Desk
from audience.sandbox.vendors.emas.fields import bad_format, invalid, need
from audience.sandbox.vendors.emas.push_task import LISTS, Task, flat, ids_of, nested
from audience.sandbox.vendors.emas.signatures import authorise
from audience.sandbox.vendors.emas.tag_tree import by_tags

PATHS = ("/",)
REFUSAL, TOO_FAST = "Invalid.Parameter", "Throttling.User"
VERSION = "2016-08-01"
STATUS = {"InternalError": 500, "Timeout": 500, "ServiceUnavailable": 503}
RATES = {
    "Push": (1_000_000, 60.0),
    "PushV2": (500, 1.0),  # no page names it; those of its kind have this
    "MassPush": (500, 1.0),
    "MassPushV2": (500, 1.0),
    "ContinuouslyPush": (500, 1.0),
    "CompleteContinuouslyPush": (10_000, 60.0),
    "CancelPush": (10_000, 60.0),
}
APART = (1, 1.0)  # pushes to all, of one AppKey and platform
FULL = {True: (10, 600.0), False: (30, 600.0)}  # notifications, messages to all
MOST_TASKS, MOST_CALLS, OPEN = 100, 10_000, 86_400.0
REPEATED = 900.0  # seconds that an IdempotentToken holds
TOKEN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def endpoint(call: Call) -> str:
    """The action that is called."""
    return call.headers.get("x-acs-action") or call.query.get("Action") or call.form.get("Action", "")


def answer(call: Call, desk: Desk) -> Reply:
    """Check the call, do what its action says, and say so; one IdempotentToken is done once."""
    authorise(call, desk)
    given, action = {**call.query, **call.form}, endpoint(call)
    if action not in ANSWERS:
        raise Refused("InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
    if (call.headers.get("x-acs-version") or given.get("Version")) != VERSION:
        raise Refused("InvalidVersion", "Specified parameter Version is not valid.")
    need(given, "AppKey")
    if not given["AppKey"].isdigit():
        raise bad_format("AppKey")
    if not desk.rates.admits(action, *RATES[action]):
        raise Refused(TOO_FAST, "Request was denied due to user flow control.")
    token = given.get("IdempotentToken", "")
    if token and not TOKEN.fullmatch(token):
        raise bad_format("IdempotentToken")
    key = f"{given['AppKey']} {token.lower()}"
    if token and (before := desk.answered(key, REPEATED)):
        return before
    reply = ANSWERS[action](given, desk)
    if token:
        desk.remember(key, reply)
    return reply


def refusal(no: Refused, call: Call) -> Reply:
    """The answer that says no."""
    status = STATUS.get(no.code, 404 if no.code.endswith(".NotFound") else 400)
    body = {"RequestId": _request(), "HostId": call.headers.get("host", ""), "Code": no.code, "Message": no.text}
    return Reply(status, body, code=no.code)


def failure(status: int, call: Call) -> Reply:
    """The answer of a server in trouble."""
    text = "The request processing has failed due to some unknown error."
    return Reply(status, refusal(Refused("InternalError", text), call).body, code="InternalError")


def _push(given: Mapping[str, str], desk: Desk) -> Reply:
    return _single(flat(given), given, desk)


def _push_v2(given: Mapping[str, str], desk: Desk) -> Reply:
    need(given, "PushTask")
    return _single(nested(loaded(given["PushTask"], "InvalidPushTask.Format")), given, desk)


def _single(task: Task, given: Mapping[str, str], desk: Desk) -> Reply:
    if task.action == "continue":
        return _continued(task, desk)
    if task.action == "create":
        message = desk.told.number()
        desk.open[message] = (desk.clock(), 0)
        return _said({"MessageId": message}, message)
    who = _whom(task, desk)
    if task.target == "ALL":
        _broadcast(task, given["AppKey"], desk)
    message = desk.told.number()
    return _said({"MessageId": message}, message, desk.told.deliver(message, who, task.after))


def _mass(given: Mapping[str, str], desk: Desk) -> Reply:
    numbers = sorted({int(found[1]) for name in given if (found := re.match(r"PushTask\.(\d+)\.", name))})
    parts = [{name.partition(f"PushTask.{n}.")[2]: value for name, value in given.items()} for n in numbers]
    if numbers != list(range(1, len(numbers) + 1)) or not numbers:
        raise Refused("InvalidPushTask.Empty", "The specified PushTask cannot be empty.")
    messages, devices = _many([flat(part) for part in parts], desk)
    return _said({"MessageIds": {"MessageId": messages}}, ",".join(messages), devices)


def _mass_v2(given: Mapping[str, str], desk: Desk) -> Reply:
    need(given, "PushTasks")
    try:
        parts = json.loads(given["PushTasks"])
    except ValueError:
        parts = None
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise bad_format("PushTasks")
    messages, devices = _many([nested(part) for part in parts], desk)
    return _said({"MessageIds": messages}, ",".join(messages), devices)


def _many(tasks: list[Task], desk: Desk) -> tuple[list[str], int]:
    """Carry out all *tasks*, or none where one of them is not allowed."""
    if len(tasks) > MOST_TASKS:
        raise Refused(
            "InvalidPushTask.LengthExceed", f"The specified PushTask length cannot be greater than {MOST_TASKS}."
        )
    if any(task.target not in LISTS or task.action not in ("now", "later") for task in tasks):
        raise Refused("TargetNotSupported", "Target is not supported for batch push.")
    whom = [_whom(task, desk) for task in tasks]
    messages = [desk.told.number() for _ in tasks]
    each = zip(tasks, whom, messages, strict=True)
    return messages, sum(desk.told.deliver(message, who, task.after) for task, who, message in each)


def _continuously(given: Mapping[str, str], desk: Desk) -> Reply:
    need(given, "MessageId", "Target", "TargetValue")
    everywhere = frozenset({"android", "ios", "hmos"})
    task = Task("continue", given["Target"], given["TargetValue"], everywhere, message=given["MessageId"])
    return _continued(task, desk)


def _continued(task: Task, desk: Desk) -> Reply:
    """Push a message that was created before to more devices."""
    if task.target not in LISTS:
        raise invalid("Target")
    since, calls = desk.open.get(task.message, (0.0, MOST_CALLS))
    if task.message not in desk.open or desk.clock() - since > OPEN:
        raise invalid("MessageId")
    if calls >= MOST_CALLS:
        raise Refused("Invalid.Parameter", f"The specified parameter is invalid: more than {MOST_CALLS} calls.")
    who = _whom(task, desk)
    desk.open[task.message] = (since, calls + 1)
    return _said({"MessageId": task.message}, task.message, desk.told.deliver(task.message, who))


def _complete(given: Mapping[str, str], desk: Desk) -> Reply:
    need(given, "MessageId")
    if desk.open.pop(given["MessageId"], None) is None:
        raise invalid("MessageId")
    return _said({"MessageId": given["MessageId"]}, given["MessageId"])


def _cancel(given: Mapping[str, str], desk: Desk) -> Reply:
    need(given, "MessageId")
    if not desk.told.settle().cancel(given["MessageId"]):
        raise invalid("MessageId")
    return _said({}, given["MessageId"])


def _whom(task: Task, desk: Desk) -> Mask:
    people, vendor = desk.population, desk.vendor
    on = people.on(set(task.platforms)) & people.known(vendor)
    match task.target:
        case "ALL":
            return on
        case "TAG":
            return on & by_tags(task.value, desk)
        case "DEVICE":
            ids = people.ids(vendor)
            rows = [ids[name] for name in ids_of(task.value) if name in ids]
        case kind:
            rows = [row for found in people.named(kind.lower(), ids_of(task.value)).values() for row in found]
    who = people.nobody()
    who[np.array(rows, dtype=np.int64)] = True
    return on & who


def _broadcast(task: Task, app: str, desk: Desk) -> None:
    """Refuse a push to all that comes too soon after another."""
    for platform in sorted(task.platforms):
        kind = f"{app} {platform}"
        if not desk.rates.admits(f"all {kind}", *APART):
            raise Refused(TOO_FAST, "Two pushes to all are at least one second apart.")
        if not desk.rates.admits(f"full {task.notice} {kind}", *FULL[task.notice]):
            raise Refused(TOO_FAST, "Too many pushes to all within ten minutes.")


def _said(body: JSON, message: str, devices: int = 0) -> Reply:
    return Reply(200, {**body, "RequestId": _request()}, message=message, devices=devices)


def _request() -> str:
    return str(uuid4()).upper()


ANSWERS: Mapping[str, Callable[[Mapping[str, Any], Desk], Reply]] = {
    "Push": _push,
    "PushV2": _push_v2,
    "MassPush": _mass,
    "MassPushV2": _mass_v2,
    "ContinuouslyPush": _continuously,
    "CompleteContinuouslyPush": _complete,
    "CancelPush": _cancel,
}
