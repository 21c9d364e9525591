"""The ways to tell devices with PushV2: one task a call, many tasks a call, or many calls of one task.

https://help.aliyun.com/document_detail/2979224.html, https://help.aliyun.com/document_detail/2986003.html and
https://help.aliyun.com/document_detail/2986042.html, read 2026-11-21.
"""

from collections.abc import Iterator, Sequence

from audience.errors import Problem
from audience.vendors.delivery_spec import Application, Call, Opening, Pace, Request, merged
from audience.vendors.emas.calls import (
    CONTINUOUS,
    HANDLE_CALLS,
    HANDLE_LASTS,
    IDS,
    MANY_TASKS,
    MASS_V2,
    ONE_TARGET,
    PUSH_V2,
    REPEATS,
    paces,
    rpc,
)
from audience.vendors.emas.replies import reply
from audience.vendors.emas.send_methods import bad_app_key, not_lists, one_device, shared_expiry
from audience.vendors.schema_check import at
from audience.vendors.spec import Payload

_LIVE = ("Notification", "Ios", "LiveActivity")
_LIVE_PATH = f"$.{'.'.join(_LIVE)}"


def _push(call: Call, application: Application) -> Request:
    said = {"IdempotentToken": call.token, "PushTask": merged(call.body, call.targets[0])}
    return rpc("PushV2", application, said, {})


def _push_paces(targets: Sequence[Payload]) -> tuple[Pace, ...]:
    return paces("PushV2", 500, 1.0, any(kind == "ALL" for kind in _kinds(targets)))


def _mass(call: Call, application: Application) -> Request:
    all_of_them = [merged(call.body, target) for target in call.targets]
    return rpc("MassPushV2", application, {"IdempotentToken": call.token, "PushTasks": all_of_them}, {})


def _open(body: Payload, targets: Sequence[Payload], application: Application) -> Request:
    return rpc("PushV2", application, {"PushTask": {**body, "Action": "CREATE_CONTINUOUS_PUSH"}}, {})


def _continue(call: Call, application: Application) -> Request:
    handle = call.handle or ""
    task = {
        "Action": "CONTINUOUS_PUSH",
        "Target": {**at(call.body, "Target"), **call.targets[0]["Target"]},
        "Options": {"MessageId": int(handle) if handle.isdigit() else handle},
    }
    return rpc("PushV2", application, {"IdempotentToken": call.token, "PushTask": task}, {})


def _kinds(targets: Sequence[Payload]) -> list[str]:
    return [target["Target"]["Type"] for target in targets]


# What a way cannot carry. -------------------------------------------------------------------------------------------


def _push_refuses(body: Payload, targets: Sequence[Payload], application: Application) -> Iterator[Problem]:
    yield from bad_app_key(application)
    alone = _kinds(targets) == ["DEVICE"] and "," not in targets[0]["Target"]["Value"]
    if at(body, *_LIVE) and not alone:
        yield one_device(_LIVE_PATH)


def _mass_refuses(body: Payload, targets: Sequence[Payload], application: Application) -> Iterator[Problem]:
    yield from bad_app_key(application)
    yield from not_lists("MassPushV2", _kinds(targets))
    if at(body, *_LIVE):
        yield one_device(_LIVE_PATH)


def _continuous_refuses(body: Payload, targets: Sequence[Payload], application: Application) -> Iterator[Problem]:
    yield from bad_app_key(application)
    yield from not_lists("CONTINUOUS_PUSH", _kinds(targets))
    if body.get("Action") == "SCHEDULED_PUSH":
        yield Problem("no-schedule", "CONTINUOUS_PUSH pushes at once", path="$.Action")
    if at(body, *_LIVE):
        yield one_device(_LIVE_PATH)
    yield from shared_expiry(at(body, "Options").get("ExpireTime"), "$.Options.ExpireTime")


NATIVE = ONE_TARGET(
    name="PushV2",
    request=_push,
    paces=_push_paces,
    source=PUSH_V2,
    repeats=REPEATS,
    refuses=_push_refuses,
)
MANY = MANY_TASKS(
    name="MassPushV2",
    request=_mass,
    paces=lambda targets: paces("MassPushV2", 500, 1.0, False),
    source=MASS_V2,
    repeats=REPEATS,
    refuses=_mass_refuses,
)
LATER = ONE_TARGET(
    name="CONTINUOUS_PUSH",
    request=_continue,
    paces=_push_paces,
    source=CONTINUOUS,
    worth=IDS + 1,
    opening=Opening(
        request=_open,
        reply=reply,
        calls=HANDLE_CALLS,
        lasts=HANDLE_LASTS,
        paces=paces("PushV2", 500, 1.0, False),
    ),
    repeats=REPEATS,
    refuses=_continuous_refuses,
)
WAYS = (NATIVE, MANY, LATER)
