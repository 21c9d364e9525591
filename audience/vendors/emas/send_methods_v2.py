"""Send methods of PushV2: one task a call, many tasks a call, or many calls of one task.

Sources: https://help.aliyun.com/document_detail/2979224.html, https://help.aliyun.com/document_detail/2986003.html and
https://help.aliyun.com/document_detail/2986042.html, read 2026-11-21.
"""

from collections.abc import Iterator, Sequence

from audience.errors import DeliveryError, Problem
from audience.messages import merge_patch
from audience.vendors.delivery_spec import Credentials, RateLimit, Request, SendCall
from audience.vendors.emas import app_platform
from audience.vendors.emas.calls import (
    CONTINUOUS_PUSH_DOCS,
    DEDUP_WINDOW,
    MASS_PUSH_V2_DOCS,
    MAX_IDS_PER_TARGET,
    PUSH_V2_DOCS,
    build_rate_limits,
    build_rpc_request,
    continuous_setup,
    mass_method,
    single_target_method,
)
from audience.vendors.emas.method_checks import FieldReader
from audience.vendors.emas.push_task import PLATFORM_WORDS, UNNAMED_PLATFORMS, get_platform_word
from audience.vendors.emas.schedule import TASK_SCHEDULE
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

_PLATFORMS_BY_PART = {"Ios": "ios", "Android": "android", "Hmos": "harmonyos"}
_PLATFORMS_BY_WORD = {word: name for name, word in PLATFORM_WORDS.items()} | {name: name for name in PLATFORM_WORDS}
_FIELDS = FieldReader(
    get_target=lambda target: (target["Target"]["Type"], target["Target"].get("Value", "")),
    get_platform=lambda payload: get_platform_word(get_in(payload, "Target").get("Platform")),
    find_platform=lambda payload: _PLATFORMS_BY_WORD.get(get_in(payload, "Target").get("Platform") or ""),
    is_of_one_device=lambda body: bool(get_in(body, "Notification", "Ios", "LiveActivity")),
    live_activity_path="$.Notification.Ios.LiveActivity",
    is_scheduled=lambda body: body.get("Action") == "SCHEDULED_PUSH",
    schedule_path="$.Action",
    get_expire_time=lambda body: get_in(body, "Options").get("ExpireTime"),
    expire_time_path="$.Options.ExpireTime",
)


def _build_push(call: SendCall, credentials: Credentials) -> Request:
    task = merge_patch(_keep_platform(call.body, credentials), call.targets[0])
    return _build_task_request("PushV2", call, credentials, PushTask=task)


def _keep_platform(body: Payload, credentials: Credentials) -> Payload:
    """Return the parts of *body* for the platform of the application, or raise DeliveryError if there are none.

    An AppKey of one platform needs no `Target.Platform`, whose words for Android and HarmonyOS no page documents.
    """
    own = _FIELDS.find_platform(body)
    app_platform.require_own_platform(own, credentials)
    platform = app_platform.resolve_platform(credentials)
    kept = dict(body)
    if "Notification" in body:
        kept["Notification"] = app_platform.keep_parts(body["Notification"], platform, _PLATFORMS_BY_PART)
    if own == platform:
        target = {name: value for name, value in get_in(body, "Target").items() if name != "Platform"}
        kept = {**kept, "Target": target} if target else {name: kept[name] for name in kept if name != "Target"}
    elif get_in(body, "Target").get("Platform") in UNNAMED_PLATFORMS:
        raise DeliveryError(_unnamed_platform(own))
    return kept


def _unnamed_platform(platform: str | None) -> Problem:
    reason = f"no page documents the name of {platform} at PushV2"
    hint = "set the application's key `platform`, or vendor.emas_v2.Target.Platform, or use the vendor emas"
    return Problem("unnamed-platform", reason, path="$.platforms", hint=hint)


def _unnamed_platform_problems(
    body: Payload, targets: Sequence[Payload], credentials: Credentials
) -> Iterator[Problem]:
    """Find a platform without a documented name: EMAS might ignore a wrong one and deliver to all platforms."""
    platform = get_in(body, "Target").get("Platform")
    is_named = all(get_in(target, "Target").get("Platform") for target in targets)
    if platform in UNNAMED_PLATFORMS and not is_named and app_platform.resolve_platform(credentials) != platform:
        yield _unnamed_platform(platform)


def _single_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    yield from _FIELDS.single_problems(body, targets, credentials)
    yield from _unnamed_platform_problems(body, targets, credentials)


def _mass_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    yield from _FIELDS.list_problems("MassPushV2", body, targets, credentials)
    yield from _unnamed_platform_problems(body, targets, credentials)


def _continuous_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    yield from _FIELDS.continuous_problems("CONTINUOUS_PUSH", body, targets, credentials)
    yield from _unnamed_platform_problems(body, targets, credentials)


def _push_rate_limits(targets: Sequence[Payload]) -> tuple[RateLimit, ...]:
    return build_rate_limits("PushV2", 500, 1.0, any(target["Target"]["Type"] == "ALL" for target in targets))


def _build_mass_push(call: SendCall, credentials: Credentials) -> Request:
    body = _keep_platform(call.body, credentials)
    tasks = [merge_patch(body, target) for target in call.targets]
    return _build_task_request("MassPushV2", call, credentials, PushTasks=tasks)


def _build_setup(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Request:
    return build_rpc_request(
        "PushV2",
        credentials,
        {"PushTask": {**_keep_platform(body, credentials), "Action": "CREATE_CONTINUOUS_PUSH"}},
        {},
    )


def _build_continuous_push(call: SendCall, credentials: Credentials) -> Request:
    handle = call.handle or ""
    task = {
        "Action": "CONTINUOUS_PUSH",
        "Target": {**get_in(_keep_platform(call.body, credentials), "Target"), **call.targets[0]["Target"]},
        "Options": {"MessageId": int(handle) if handle.isdigit() else handle},
    }
    return _build_task_request("PushV2", call, credentials, PushTask=task)


def _build_task_request(
    action: str, call: SendCall, credentials: Credentials, **tasks: Payload | list[Payload]
) -> Request:
    return build_rpc_request(action, credentials, {"IdempotentToken": call.idempotency_key, **tasks}, {})


NATIVE = single_target_method(
    name="PushV2",
    build_request=_build_push,
    rate_limits=_push_rate_limits,
    source=PUSH_V2_DOCS,
    dedup_window=DEDUP_WINDOW,
    check=_single_problems,
    schedule=TASK_SCHEDULE,
)
MASS_PUSH = mass_method(
    name="MassPushV2",
    build_request=_build_mass_push,
    rate_limits=lambda targets: build_rate_limits("MassPushV2", 500, 1.0, False),
    source=MASS_PUSH_V2_DOCS,
    check=_mass_problems,
    schedule=TASK_SCHEDULE,
)
CONTINUOUS_PUSH = single_target_method(
    name="CONTINUOUS_PUSH",
    build_request=_build_continuous_push,
    rate_limits=_push_rate_limits,
    source=CONTINUOUS_PUSH_DOCS,
    min_ids=MAX_IDS_PER_TARGET + 1,
    setup_call=continuous_setup(
        build_request=_build_setup,
        rate_limits=build_rate_limits("PushV2", 500, 1.0, False),
    ),
    dedup_window=DEDUP_WINDOW,
    check=_continuous_problems,
)
SEND_METHODS = (NATIVE, MASS_PUSH, CONTINUOUS_PUSH)
