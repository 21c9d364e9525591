"""Send methods of PushV2: one task a call, many tasks a call, or many calls of one task.

Sources: https://help.aliyun.com/document_detail/2979224.html, https://help.aliyun.com/document_detail/2986003.html and
https://help.aliyun.com/document_detail/2986042.html, read 2026-11-21.
"""

from collections.abc import Sequence
from functools import partial

from audience.messages import merge_patch
from audience.vendors.delivery_spec import Credentials, RateLimit, Request, SendCall
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
from audience.vendors.emas.schedule import TASK_SCHEDULE
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

_FIELDS = FieldReader(
    get_target=lambda target: (target["Target"]["Type"], target["Target"].get("Value", "")),
    get_platform=lambda payload: get_in(payload, "Target").get("Platform"),
    has_live_activity=lambda body: bool(get_in(body, "Notification", "Ios", "LiveActivity")),
    live_activity_path="$.Notification.Ios.LiveActivity",
    is_scheduled=lambda body: body.get("Action") == "SCHEDULED_PUSH",
    schedule_path="$.Action",
    get_expire_time=lambda body: get_in(body, "Options").get("ExpireTime"),
    expire_time_path="$.Options.ExpireTime",
)


def _build_push(call: SendCall, credentials: Credentials) -> Request:
    task = merge_patch(call.body, call.targets[0])
    return _build_task_request("PushV2", call, credentials, PushTask=task)


def _push_rate_limits(targets: Sequence[Payload]) -> tuple[RateLimit, ...]:
    return build_rate_limits("PushV2", 500, 1.0, any(target["Target"]["Type"] == "ALL" for target in targets))


def _build_mass_push(call: SendCall, credentials: Credentials) -> Request:
    tasks = [merge_patch(call.body, target) for target in call.targets]
    return _build_task_request("MassPushV2", call, credentials, PushTasks=tasks)


def _build_setup(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Request:
    return build_rpc_request("PushV2", credentials, {"PushTask": {**body, "Action": "CREATE_CONTINUOUS_PUSH"}}, {})


def _build_continuous_push(call: SendCall, credentials: Credentials) -> Request:
    handle = call.handle or ""
    task = {
        "Action": "CONTINUOUS_PUSH",
        "Target": {**get_in(call.body, "Target"), **call.targets[0]["Target"]},
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
    check=_FIELDS.single_problems,
    schedule=TASK_SCHEDULE,
)
MASS_PUSH = mass_method(
    name="MassPushV2",
    build_request=_build_mass_push,
    rate_limits=lambda targets: build_rate_limits("MassPushV2", 500, 1.0, False),
    source=MASS_PUSH_V2_DOCS,
    check=partial(_FIELDS.list_problems, "MassPushV2"),
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
    check=partial(_FIELDS.continuous_problems, "CONTINUOUS_PUSH"),
)
SEND_METHODS = (NATIVE, MASS_PUSH, CONTINUOUS_PUSH)
