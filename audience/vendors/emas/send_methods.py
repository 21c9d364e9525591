"""The ways to tell devices with Push: one target a call, many tasks a call, or many calls of one message.

https://help.aliyun.com/document_detail/48089.html, https://help.aliyun.com/document_detail/2249915.html and
https://help.aliyun.com/document_detail/2249917.html, read 2026-11-21.
"""

from collections.abc import Iterator, Sequence

from audience.errors import Problem
from audience.vendors.delivery_spec import Credentials, RateLimit, Request, SendCall, SetupCall
from audience.vendors.emas.calls import (
    CONTINUOUS_PUSH_DOCS,
    DEDUP_WINDOW,
    HANDLE_LIFETIME,
    MASS_PUSH_DOCS,
    MAX_HANDLE_USES,
    MAX_IDS_PER_TARGET,
    MAX_TASK_PARAMETERS,
    MAX_TASKS_PER_CALL,
    PUSH_DOCS,
    build_rate_limits,
    build_rpc_request,
    mass_method,
    number_tasks,
    single_target_method,
)
from audience.vendors.emas.replies import parse_reply
from audience.vendors.emas.timestamps import is_duration
from audience.vendors.spec import Payload

LIST_TARGETS = ("DEVICE", "ACCOUNT", "ALIAS")
_DEFERRED_TARGET = {"Target": "TBD", "TargetValue": "TBD"}


def _build_push(call: SendCall, credentials: Credentials) -> Request:
    return build_rpc_request(
        "Push", credentials, {"IdempotentToken": call.idempotency_key, **call.body, **call.targets[0]}, {}
    )


def _push_rate_limits(targets: Sequence[Payload]) -> tuple[RateLimit, ...]:
    return build_rate_limits("Push", 1_000_000, 60.0, any(target["Target"] == "ALL" for target in targets))


def _build_mass_push(call: SendCall, credentials: Credentials) -> Request:
    said = number_tasks([{**call.body, **target} for target in call.targets])
    return build_rpc_request("MassPush", credentials, {"IdempotentToken": call.idempotency_key}, said)


def _build_setup(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Request:
    return build_rpc_request("Push", credentials, {**body, **_DEFERRED_TARGET}, {})


def _build_continuous_push(call: SendCall, credentials: Credentials) -> Request:
    return build_rpc_request("ContinuouslyPush", credentials, {"MessageId": call.handle, **call.targets[0]}, {})


def _build_completion(handle: str, credentials: Credentials) -> Request:
    return build_rpc_request("CompleteContinuouslyPush", credentials, {"MessageId": handle}, {})


# What a way cannot carry. -------------------------------------------------------------------------------------------


def _push_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    yield from app_key_problems(credentials)
    alone = len(targets) == 1 and targets[0]["Target"] == "DEVICE" and "," not in targets[0]["TargetValue"]
    if "iOSLiveActivityEvent" in body and not alone:
        yield one_device_problem("$.iOSLiveActivityEvent")


def _mass_push_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    yield from app_key_problems(credentials)
    yield from list_target_problems("MassPush", [target["Target"] for target in targets])
    if "SmsTemplateName" in body:
        yield Problem("no-sms", "MassPush sends no text messages", path="$.SmsTemplateName")
    if "iOSLiveActivityEvent" in body:
        yield one_device_problem("$.iOSLiveActivityEvent")
    if MAX_TASKS_PER_CALL * len(number_tasks([{**body, **_DEFERRED_TARGET}])) > MAX_TASK_PARAMETERS:
        yield Problem(
            "too-many", f"{MAX_TASKS_PER_CALL} tasks have more than {MAX_TASK_PARAMETERS} parameters", path="$"
        )


def _continuous_push_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    yield from app_key_problems(credentials)
    yield from list_target_problems("ContinuouslyPush", [target["Target"] for target in targets])
    if "PushTime" in body:
        yield Problem("no-schedule", "ContinuouslyPush pushes at once", path="$.PushTime")
    if "iOSLiveActivityEvent" in body:
        yield one_device_problem("$.iOSLiveActivityEvent")
    yield from shared_expiry_problems(body.get("ExpireTime"), "$.ExpireTime")


def app_key_problems(credentials: Credentials) -> Iterator[Problem]:
    """An AppKey is a number."""
    key = credentials.keys["app_key"]
    if not (key.isascii() and key.isdigit()):
        yield Problem("bad-key", "an AppKey of EMAS is a number", hint="it stands in the EMAS console")


def list_target_problems(method_name: str, kinds: Sequence[str]) -> Iterator[Problem]:
    """Targets that are no lists of ids."""
    for kind in sorted(set(kinds) - set(LIST_TARGETS)):
        yield Problem("no-target", f"{method_name} takes no {kind}", hint=f"one of {', '.join(LIST_TARGETS)}")


def one_device_problem(path: str) -> Problem:
    """A live activity that would go to several devices."""
    return Problem("one-device", "a live activity goes to one device", path=path)


def shared_expiry_problems(expire_time: object, path: str) -> Iterator[Problem]:
    """A time to live would count from the first call for the devices of all."""
    if is_duration(expire_time):
        words = "all calls share one ExpireTime, so that the last devices would have less time to be reached"
        yield Problem("shared-expiry", words, path=path, hint="say ExpireTime as a moment, under vendor")


NATIVE = single_target_method(
    name="Push",
    build_request=_build_push,
    rate_limits=_push_rate_limits,
    source=PUSH_DOCS,
    dedup_window=DEDUP_WINDOW,
    check=_push_problems,
)
MASS_PUSH = mass_method(
    name="MassPush",
    build_request=_build_mass_push,
    rate_limits=lambda targets: build_rate_limits("MassPush", 500, 1.0, False),
    source=MASS_PUSH_DOCS,
    dedup_window=DEDUP_WINDOW,
    check=_mass_push_problems,
)
CONTINUOUS_PUSH = single_target_method(
    name="ContinuouslyPush",
    build_request=_build_continuous_push,
    rate_limits=lambda targets: build_rate_limits("ContinuouslyPush", 500, 1.0, False),
    source=CONTINUOUS_PUSH_DOCS,
    min_ids=MAX_IDS_PER_TARGET + 1,
    setup_call=SetupCall(
        build_request=_build_setup,
        parse_reply=parse_reply,
        max_uses=MAX_HANDLE_USES,
        lifetime=HANDLE_LIFETIME,
        rate_limits=build_rate_limits("Push", 1_000_000, 60.0, False),
        close=_build_completion,
    ),
    check=_continuous_push_problems,
)
SEND_METHODS = (NATIVE, MASS_PUSH, CONTINUOUS_PUSH)
