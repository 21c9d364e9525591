"""Send methods of Push: one target a call, many tasks a call, or many calls of one message.

Sources: https://help.aliyun.com/document_detail/48089.html, https://help.aliyun.com/document_detail/2249915.html and
https://help.aliyun.com/document_detail/2249917.html, read 2026-11-21.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from audience.errors import Problem
from audience.vendors.delivery_spec import Credentials, RateLimit, Request, SendCall
from audience.vendors.emas import app_platform
from audience.vendors.emas.calls import (
    CONTINUOUS_PUSH_DOCS,
    DEDUP_WINDOW,
    MASS_PUSH_DOCS,
    MAX_IDS_PER_TARGET,
    MAX_TASK_PARAMETERS,
    MAX_TASKS_PER_CALL,
    PUSH_DOCS,
    build_rate_limits,
    build_rpc_request,
    continuous_setup,
    mass_method,
    number_tasks,
    single_target_method,
)
from audience.vendors.emas.method_checks import FieldReader
from audience.vendors.emas.push import DEVICE_TYPES
from audience.vendors.emas.schedule import PUSH_SCHEDULE
from audience.vendors.spec import Payload

_PLATFORMS_BY_PREFIX = {"iOS": "ios", "Android": "android", "Harmony": "harmonyos"}
_PLATFORMS_BY_TYPE = {word: name for name, word in DEVICE_TYPES.items()}
_DEFERRED_TARGET = {"Target": "TBD", "TargetValue": "TBD"}
_FIELDS = FieldReader(
    get_target=lambda target: (target["Target"], target["TargetValue"]),
    get_platform=lambda payload: payload.get("DeviceType"),
    find_platform=lambda payload: _PLATFORMS_BY_TYPE.get(payload.get("DeviceType", "ALL")),
    is_of_one_device=lambda body: body.get("iOSLiveActivityEvent") in ("update", "end"),
    live_activity_path="$.iOSLiveActivityEvent",
    is_scheduled=lambda body: "PushTime" in body,
    schedule_path="$.PushTime",
    get_expire_time=lambda body: body.get("ExpireTime"),
    expire_time_path="$.ExpireTime",
)


def _build_push(call: SendCall, credentials: Credentials) -> Request:
    parameters = {"IdempotentToken": call.idempotency_key, **_keep_platform(call.body, credentials), **call.targets[0]}
    return build_rpc_request("Push", credentials, parameters, {})


def _keep_platform(body: Payload, credentials: Credentials) -> Payload:
    """Return the parts of *body* for the platform of the application, or raise DeliveryError if there are none."""
    app_platform.require_own_platform(_FIELDS.find_platform(body), credentials)
    platform = app_platform.resolve_platform(credentials)
    kept = app_platform.keep_parts(body, platform, _PLATFORMS_BY_PREFIX)
    return {**kept, "DeviceType": DEVICE_TYPES[platform]} if platform in DEVICE_TYPES else kept


def _push_rate_limits(targets: Sequence[Payload]) -> tuple[RateLimit, ...]:
    return build_rate_limits("Push", 1_000_000, 60.0, any(target["Target"] == "ALL" for target in targets))


def _build_mass_push(call: SendCall, credentials: Credentials) -> Request:
    body = _keep_platform(call.body, credentials)
    tasks = number_tasks([{**body, **target} for target in call.targets])
    return build_rpc_request("MassPush", credentials, {"IdempotentToken": call.idempotency_key}, tasks)


def _mass_push_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    yield from _FIELDS.list_problems("MassPush", body, targets, credentials)
    if "SmsTemplateName" in body:
        yield Problem("no-sms", "MassPush does not send text messages", path="$.SmsTemplateName")
    if MAX_TASKS_PER_CALL * len(number_tasks([{**body, **_DEFERRED_TARGET}])) > MAX_TASK_PARAMETERS:
        message = f"{MAX_TASKS_PER_CALL} tasks have more than {MAX_TASK_PARAMETERS} parameters"
        yield Problem("too-many", message, path="$")


def _build_setup(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Request:
    return build_rpc_request("Push", credentials, {**_keep_platform(body, credentials), **_DEFERRED_TARGET}, {})


def _build_continuous_push(call: SendCall, credentials: Credentials) -> Request:
    return build_rpc_request("ContinuouslyPush", credentials, {"MessageId": call.handle, **call.targets[0]}, {})


def _build_completion(handle: str, credentials: Credentials) -> Request:
    return build_rpc_request("CompleteContinuouslyPush", credentials, {"MessageId": handle}, {})


NATIVE = single_target_method(
    name="Push",
    build_request=_build_push,
    rate_limits=_push_rate_limits,
    source=PUSH_DOCS,
    dedup_window=DEDUP_WINDOW,
    check=_FIELDS.single_problems,
    schedule=PUSH_SCHEDULE,
)
MASS_PUSH = mass_method(
    name="MassPush",
    build_request=_build_mass_push,
    rate_limits=lambda targets: build_rate_limits("MassPush", 500, 1.0, False),
    source=MASS_PUSH_DOCS,
    check=_mass_push_problems,
    schedule=PUSH_SCHEDULE,
)
CONTINUOUS_PUSH = single_target_method(
    name="ContinuouslyPush",
    build_request=_build_continuous_push,
    rate_limits=lambda targets: build_rate_limits("ContinuouslyPush", 500, 1.0, False),
    source=CONTINUOUS_PUSH_DOCS,
    min_ids=MAX_IDS_PER_TARGET + 1,
    setup_call=continuous_setup(
        build_request=_build_setup,
        rate_limits=build_rate_limits("Push", 1_000_000, 60.0, False),
        close=_build_completion,
    ),
    check=partial(_FIELDS.continuous_problems, "ContinuouslyPush"),
)
SEND_METHODS = (NATIVE, MASS_PUSH, CONTINUOUS_PUSH)
