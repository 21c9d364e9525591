"""The ways to tell devices with PushV2: one task a call, many tasks a call, or many calls of one task.

https://help.aliyun.com/document_detail/2979224.html, https://help.aliyun.com/document_detail/2986003.html and
https://help.aliyun.com/document_detail/2986042.html, read 2026-11-21.
"""

from collections.abc import Iterator, Sequence

from audience.errors import Problem
from audience.vendors.delivery_spec import Credentials, RateLimit, Request, SendCall, SetupCall, deep_merge
from audience.vendors.emas.calls import (
    CONTINUOUS_PUSH_DOCS,
    DEDUP_WINDOW,
    HANDLE_LIFETIME,
    MASS_PUSH_V2_DOCS,
    MAX_HANDLE_USES,
    MAX_IDS_PER_TARGET,
    PUSH_V2_DOCS,
    build_rate_limits,
    build_rpc_request,
    mass_method,
    single_target_method,
)
from audience.vendors.emas.replies import parse_reply
from audience.vendors.emas.send_methods import (
    app_key_problems,
    list_target_problems,
    one_device_problem,
    shared_expiry_problems,
)
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

_LIVE_ACTIVITY_KEYS = ("Notification", "Ios", "LiveActivity")
_LIVE_ACTIVITY_PATH = f"$.{'.'.join(_LIVE_ACTIVITY_KEYS)}"


def _build_push(call: SendCall, credentials: Credentials) -> Request:
    said = {"IdempotentToken": call.idempotency_key, "PushTask": deep_merge(call.body, call.targets[0])}
    return build_rpc_request("PushV2", credentials, said, {})


def _push_rate_limits(targets: Sequence[Payload]) -> tuple[RateLimit, ...]:
    return build_rate_limits("PushV2", 500, 1.0, any(kind == "ALL" for kind in _target_kinds(targets)))


def _build_mass_push(call: SendCall, credentials: Credentials) -> Request:
    all_of_them = [deep_merge(call.body, target) for target in call.targets]
    return build_rpc_request(
        "MassPushV2", credentials, {"IdempotentToken": call.idempotency_key, "PushTasks": all_of_them}, {}
    )


def _build_setup(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Request:
    return build_rpc_request("PushV2", credentials, {"PushTask": {**body, "Action": "CREATE_CONTINUOUS_PUSH"}}, {})


def _build_continuous_push(call: SendCall, credentials: Credentials) -> Request:
    handle = call.handle or ""
    task = {
        "Action": "CONTINUOUS_PUSH",
        "Target": {**get_in(call.body, "Target"), **call.targets[0]["Target"]},
        "Options": {"MessageId": int(handle) if handle.isdigit() else handle},
    }
    return build_rpc_request("PushV2", credentials, {"IdempotentToken": call.idempotency_key, "PushTask": task}, {})


def _target_kinds(targets: Sequence[Payload]) -> list[str]:
    return [target["Target"]["Type"] for target in targets]


# What a way cannot carry. -------------------------------------------------------------------------------------------


def _push_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    yield from app_key_problems(credentials)
    alone = _target_kinds(targets) == ["DEVICE"] and "," not in targets[0]["Target"]["Value"]
    if get_in(body, *_LIVE_ACTIVITY_KEYS) and not alone:
        yield one_device_problem(_LIVE_ACTIVITY_PATH)


def _mass_push_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    yield from app_key_problems(credentials)
    yield from list_target_problems("MassPushV2", _target_kinds(targets))
    if get_in(body, *_LIVE_ACTIVITY_KEYS):
        yield one_device_problem(_LIVE_ACTIVITY_PATH)


def _continuous_push_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    yield from app_key_problems(credentials)
    yield from list_target_problems("CONTINUOUS_PUSH", _target_kinds(targets))
    if body.get("Action") == "SCHEDULED_PUSH":
        yield Problem("no-schedule", "CONTINUOUS_PUSH pushes at once", path="$.Action")
    if get_in(body, *_LIVE_ACTIVITY_KEYS):
        yield one_device_problem(_LIVE_ACTIVITY_PATH)
    yield from shared_expiry_problems(get_in(body, "Options").get("ExpireTime"), "$.Options.ExpireTime")


NATIVE = single_target_method(
    name="PushV2",
    build_request=_build_push,
    rate_limits=_push_rate_limits,
    source=PUSH_V2_DOCS,
    dedup_window=DEDUP_WINDOW,
    check=_push_problems,
)
MASS_PUSH = mass_method(
    name="MassPushV2",
    build_request=_build_mass_push,
    rate_limits=lambda targets: build_rate_limits("MassPushV2", 500, 1.0, False),
    source=MASS_PUSH_V2_DOCS,
    dedup_window=DEDUP_WINDOW,
    check=_mass_push_problems,
)
CONTINUOUS_PUSH = single_target_method(
    name="CONTINUOUS_PUSH",
    build_request=_build_continuous_push,
    rate_limits=_push_rate_limits,
    source=CONTINUOUS_PUSH_DOCS,
    min_ids=MAX_IDS_PER_TARGET + 1,
    setup_call=SetupCall(
        build_request=_build_setup,
        parse_reply=parse_reply,
        max_uses=MAX_HANDLE_USES,
        lifetime=HANDLE_LIFETIME,
        rate_limits=build_rate_limits("PushV2", 500, 1.0, False),
    ),
    dedup_window=DEDUP_WINDOW,
    check=_continuous_push_problems,
)
SEND_METHODS = (NATIVE, MASS_PUSH, CONTINUOUS_PUSH)
