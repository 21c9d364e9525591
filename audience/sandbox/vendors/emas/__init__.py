"""Alibaba EMAS Mobile Push 2016-08-01, RPC on /: Push, PushV2, MassPush, MassPushV2, continuous pushes, and tags.

https://www.alibabacloud.com/help/en/mobile-push/developer-reference/api-push-2016-08-01-push
Unknown ids are ignored, because the page names no error for them.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

import numpy as np

from audience.sandbox.http_types import DeviceMask, HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.request_checks import number_or_text, parse_json_object
from audience.sandbox.vendor_state import ContinuousMessage, VendorState
from audience.sandbox.vendors.emas.fields import invalid_format, invalid_parameter, list_push_fields, require_fields
from audience.sandbox.vendors.emas.push_task import (
    ALL_PLATFORMS,
    ID_TARGET_TYPES,
    EmasTask,
    parse_flat_task,
    parse_nested_task,
    split_target_ids,
)
from audience.sandbox.vendors.emas.signatures import verify_signature
from audience.sandbox.vendors.emas.tag_bindings import TAG_ACTIONS, run_tag_action
from audience.sandbox.vendors.emas.tag_tree import evaluate_tag_expression

NAME = "emas"
PATHS = ("/",)
DEFAULT_REFUSAL_CODE, RATE_LIMIT_CODE = "Invalid.Parameter", "Throttling.User"
API_VERSION = "2016-08-01"
HTTP_STATUS_BY_CODE = {"InternalError": 500, "Timeout": 500, "ServiceUnavailable": 503}
RATE_LIMITS = {
    "Push": (1_000_000, 60.0),
    "PushV2": (500, 1.0),  # no page names it; those of its kind have this
    "MassPush": (500, 1.0),
    "MassPushV2": (500, 1.0),
    "ContinuouslyPush": (500, 1.0),
    "CompleteContinuouslyPush": (10_000, 60.0),
    "CancelPush": (10_000, 60.0),
    **dict.fromkeys(TAG_ACTIONS, (100, 1.0)),
}
BROADCAST_RATE_LIMIT = (1, 1.0)  # pushes to all, of one AppKey and platform
BROADCAST_QUOTAS = {True: (10, 600.0), False: (30, 600.0)}  # notifications, messages to all
MAX_MASS_TASKS, MAX_CONTINUOUS_CALLS, CONTINUOUS_SECONDS = 100, 10_000, 86_400.0
RPC_PARAMETERS = frozenset(
    "Action Version AppKey AccessKeyId Format RegionId SecurityToken Timestamp".split()
) | frozenset("IdempotentToken Signature SignatureMethod SignatureNonce SignatureType SignatureVersion".split())
TARGET_PARAMETERS = frozenset({"Target", "TargetValue"})
TASK_PREFIX = re.compile(r"PushTask\.[0-9]+\.")
IDEMPOTENCY_SECONDS = 900.0  # seconds that an IdempotentToken holds
IDEMPOTENT_TOKEN_PATTERN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def endpoint_name(call: HttpCall) -> str:
    """Return the action that is called, or "" if it is in the body, which is not read yet."""
    return call.headers.get("x-acs-action") or call.query.get("Action") or call.form.get("Action", "")


def handle_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Check the call, run its action once for each IdempotentToken, and reply."""
    verify_signature(call, state)
    given, action = {**call.query, **call.form}, endpoint_name(call)
    if action not in ACTION_HANDLERS:
        raise VendorRefusal("InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
    if (call.headers.get("x-acs-version") or given.get("Version")) != API_VERSION:
        raise VendorRefusal("InvalidVersion", "Specified parameter Version is not valid.")
    require_fields(given, "AppKey")
    if isinstance(number_or_text(given["AppKey"]), str):
        raise invalid_format("AppKey")
    if not state.rate_limiter.try_acquire(action, *RATE_LIMITS[action]):
        raise VendorRefusal(RATE_LIMIT_CODE, "Request was denied due to user flow control.")
    token = given.get("IdempotentToken", "")
    if token and not IDEMPOTENT_TOKEN_PATTERN.fullmatch(token):
        raise invalid_format("IdempotentToken")
    key = f"{given['AppKey']} {token.lower()}"
    if token and (before := state.cached_reply(key, IDEMPOTENCY_SECONDS)):
        return before
    reply = replace(ACTION_HANDLERS[action](given, state), ignored=find_ignored_parameters(action, given))
    if token:
        state.cache_reply(key, reply)
    return reply


def find_ignored_parameters(action: str, given: Mapping[str, str]) -> tuple[str, ...]:
    """Return the parameters of a push that the page does not list; an RPC takes them without a word.

    >>> find_ignored_parameters("Push", {"Titel": "Hi", "Title": "Hi", "PushTask.1.Titel": ""})
    ('PushTask.1.Titel', 'Titel')
    """
    if action not in ("Push", "MassPush"):
        return ()
    known = RPC_PARAMETERS | TARGET_PARAMETERS | list_push_fields()
    names = {name: TASK_PREFIX.sub("", name) if action == "MassPush" else name for name in given}
    return tuple(sorted(name for name, field in names.items() if field.partition(".")[0] not in known))


def build_refusal(exc: VendorRefusal, call: HttpCall) -> HttpReply:
    """Return the reply to a rejected call."""
    status = HTTP_STATUS_BY_CODE.get(exc.code, 404 if exc.code.endswith(".NotFound") else 400)
    body = {
        "RequestId": _new_request_id(),
        "HostId": call.headers.get("host", ""),
        "Code": exc.code,
        "Message": exc.text,
    }
    return HttpReply(status, body, code=exc.code)


def build_failure(status: int, call: HttpCall) -> HttpReply:
    """Return the reply of a failing server."""
    text = "The request processing has failed due to some unknown error."
    return HttpReply(status, build_refusal(VendorRefusal("InternalError", text), call).body, code="InternalError")


def _handle_push(parameters: Mapping[str, str], state: VendorState) -> HttpReply:
    return _run_single_task(parse_flat_task(parameters, state.clock()), parameters, state)


def _handle_push_v2(parameters: Mapping[str, str], state: VendorState) -> HttpReply:
    require_fields(parameters, "PushTask")
    task = parse_json_object(parameters["PushTask"], "InvalidPushTask.Format")
    return _run_single_task(parse_nested_task(task, state.clock()), parameters, state)


def _run_single_task(task: EmasTask, parameters: Mapping[str, str], state: VendorState) -> HttpReply:
    if task.action == "continue":
        return _continue_message(task, state)
    if task.action == "create":
        message = state.delivery_log.create_message(task.content)
        state.continuous_messages[message] = ContinuousMessage(state.clock(), task.platforms)
        return _success_reply({"MessageId": message}, message)
    devices = _target_devices(task, state)
    if task.target == "ALL":
        _check_broadcast_rate(task, parameters["AppKey"], state)
    message = state.delivery_log.create_message(task.content)
    return _success_reply({"MessageId": message}, message, state.delivery_log.record(message, devices, task.delay))


def _handle_mass_push(parameters: Mapping[str, str], state: VendorState) -> HttpReply:
    numbers = sorted({int(match[1]) for name in parameters if (match := re.match(r"PushTask\.(\d+)\.", name))})
    parts = [{name.partition(f"PushTask.{n}.")[2]: value for name, value in parameters.items()} for n in numbers]
    if numbers != list(range(1, len(numbers) + 1)) or not numbers:
        raise VendorRefusal("InvalidPushTask.Empty", "The specified PushTask cannot be empty.")
    messages, devices = _run_mass_tasks([parse_flat_task(part, state.clock()) for part in parts], state)
    return _success_reply({"MessageIds": {"MessageId": messages}}, ",".join(messages), devices)


def _handle_mass_push_v2(parameters: Mapping[str, str], state: VendorState) -> HttpReply:
    require_fields(parameters, "PushTasks")
    try:
        parts = json.loads(parameters["PushTasks"])
    except ValueError:
        parts = None
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise invalid_format("PushTasks")
    messages, devices = _run_mass_tasks([parse_nested_task(part, state.clock()) for part in parts], state)
    return _success_reply({"MessageIds": messages}, ",".join(messages), devices)


def _run_mass_tasks(tasks: list[EmasTask], state: VendorState) -> tuple[list[str], int]:
    """Run all *tasks*, or none if one of them is not allowed."""
    if len(tasks) > MAX_MASS_TASKS:
        raise VendorRefusal(
            "InvalidPushTask.LengthExceed", f"The specified PushTask length cannot be greater than {MAX_MASS_TASKS}."
        )
    if any(task.target not in ID_TARGET_TYPES or task.action not in ("now", "later") for task in tasks):
        raise VendorRefusal("TargetNotSupported", "Target is not supported for batch push.")
    targets = [_target_devices(task, state) for task in tasks]
    messages = [state.delivery_log.create_message(task.content) for task in tasks]
    deliveries = zip(tasks, targets, messages, strict=True)
    return messages, sum(
        state.delivery_log.record(message, devices, task.delay) for task, devices, message in deliveries
    )


def _handle_continuous_push(parameters: Mapping[str, str], state: VendorState) -> HttpReply:
    require_fields(parameters, "MessageId", "Target", "TargetValue")
    task = EmasTask(
        "continue", parameters["Target"], parameters["TargetValue"], ALL_PLATFORMS, message_id=parameters["MessageId"]
    )
    return _continue_message(task, state)


def _continue_message(task: EmasTask, state: VendorState) -> HttpReply:
    """Send a message that was created before to more devices."""
    if task.target not in ID_TARGET_TYPES:
        raise invalid_parameter("Target")
    message = state.continuous_messages.get(task.message_id)
    if message is None or state.clock() - message.since > CONTINUOUS_SECONDS:
        raise invalid_parameter("MessageId")
    if message.calls >= MAX_CONTINUOUS_CALLS:
        raise VendorRefusal(
            "Invalid.Parameter", f"The specified parameter is invalid: more than {MAX_CONTINUOUS_CALLS} calls."
        )
    devices = _target_devices(task, state) & state.population.devices_on_platforms(set(message.platforms))
    state.continuous_messages[task.message_id] = replace(message, calls=message.calls + 1)
    return _success_reply(
        {"MessageId": task.message_id}, task.message_id, state.delivery_log.record(task.message_id, devices)
    )


def _handle_complete(parameters: Mapping[str, str], state: VendorState) -> HttpReply:
    require_fields(parameters, "MessageId")
    if state.continuous_messages.pop(parameters["MessageId"], None) is None:
        raise invalid_parameter("MessageId")
    return _success_reply({"MessageId": parameters["MessageId"]}, parameters["MessageId"])


def _handle_cancel(parameters: Mapping[str, str], state: VendorState) -> HttpReply:
    require_fields(parameters, "MessageId")
    if not state.delivery_log.flush_due().cancel_message(parameters["MessageId"]):
        raise invalid_parameter("MessageId")
    return _success_reply({}, parameters["MessageId"])


def _handle_tags(action: str, parameters: Mapping[str, str], state: VendorState) -> HttpReply:
    return _success_reply(run_tag_action(action, parameters, state), "")


def _target_devices(task: EmasTask, state: VendorState) -> DeviceMask:
    population, vendor = state.population, state.vendor
    reachable = population.devices_on_platforms(set(task.platforms)) & population.registered_devices(vendor)
    match task.target:
        case "ALL":
            return reachable
        case "TAG":
            return reachable & evaluate_tag_expression(task.value, state)
        case "DEVICE":
            ids = population.rows_by_id(vendor)
            rows = [ids[name] for name in split_target_ids(task.value) if name in ids]
        case kind:
            rows = [
                row
                for account_rows in population.rows_by_name(kind.lower(), split_target_ids(task.value)).values()
                for row in account_rows
            ]
    devices = population.no_devices()
    devices[np.array(rows, dtype=np.int64)] = True
    return reachable & devices


def _check_broadcast_rate(task: EmasTask, app_key: str, state: VendorState) -> None:
    """Reject a broadcast that follows another too soon."""
    for platform in sorted(task.platforms):
        kind = f"{app_key} {platform}"
        if not state.rate_limiter.try_acquire(f"all {kind}", *BROADCAST_RATE_LIMIT):
            raise VendorRefusal(RATE_LIMIT_CODE, "Two pushes to all are at least one second apart.")
        if not state.rate_limiter.try_acquire(
            f"full {task.is_notification} {kind}", *BROADCAST_QUOTAS[task.is_notification]
        ):
            raise VendorRefusal(RATE_LIMIT_CODE, "Too many pushes to all within ten minutes.")


def _success_reply(body: JsonObject, message_id: str, device_count: int = 0) -> HttpReply:
    return HttpReply(200, {**body, "RequestId": _new_request_id()}, message_id=message_id, device_count=device_count)


def _new_request_id() -> str:
    return str(uuid4()).upper()


ACTION_HANDLERS: Mapping[str, Callable[[Mapping[str, Any], VendorState], HttpReply]] = {
    "Push": _handle_push,
    "PushV2": _handle_push_v2,
    "MassPush": _handle_mass_push,
    "MassPushV2": _handle_mass_push_v2,
    "ContinuouslyPush": _handle_continuous_push,
    "CompleteContinuouslyPush": _handle_complete,
    "CancelPush": _handle_cancel,
    **{action: partial(_handle_tags, action) for action in TAG_ACTIONS},
}
