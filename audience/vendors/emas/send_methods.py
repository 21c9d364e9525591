"""The ways to tell devices with Push: one target a call, many tasks a call, or many calls of one message.

https://help.aliyun.com/document_detail/48089.html, https://help.aliyun.com/document_detail/2249915.html and
https://help.aliyun.com/document_detail/2249917.html, read 2026-11-21.
"""

from collections.abc import Iterator, Sequence

from audience.errors import Problem
from audience.vendors.delivery_spec import Application, Call, Opening, Pace, Request
from audience.vendors.emas.calls import (
    CHILDREN,
    CONTINUOUS,
    HANDLE_CALLS,
    HANDLE_LASTS,
    IDS,
    MANY_TASKS,
    MASS,
    ONE_TARGET,
    PUSH,
    REPEATS,
    TASKS,
    paces,
    rpc,
    tasks,
)
from audience.vendors.emas.replies import reply
from audience.vendors.emas.timestamps import is_lasting
from audience.vendors.spec import Payload

LISTS = ("DEVICE", "ACCOUNT", "ALIAS")
_LATER = {"Target": "TBD", "TargetValue": "TBD"}


def _push(call: Call, application: Application) -> Request:
    return rpc("Push", application, {"IdempotentToken": call.token, **call.body, **call.targets[0]}, {})


def _push_paces(targets: Sequence[Payload]) -> tuple[Pace, ...]:
    return paces("Push", 1_000_000, 60.0, any(target["Target"] == "ALL" for target in targets))


def _mass(call: Call, application: Application) -> Request:
    said = tasks([{**call.body, **target} for target in call.targets])
    return rpc("MassPush", application, {"IdempotentToken": call.token}, said)


def _open(body: Payload, targets: Sequence[Payload], application: Application) -> Request:
    return rpc("Push", application, {**body, **_LATER}, {})


def _continue(call: Call, application: Application) -> Request:
    return rpc("ContinuouslyPush", application, {"MessageId": call.handle, **call.targets[0]}, {})


def _complete(handle: str, application: Application) -> Request:
    return rpc("CompleteContinuouslyPush", application, {"MessageId": handle}, {})


# What a way cannot carry. -------------------------------------------------------------------------------------------


def _push_refuses(body: Payload, targets: Sequence[Payload], application: Application) -> Iterator[Problem]:
    yield from bad_app_key(application)
    alone = len(targets) == 1 and targets[0]["Target"] == "DEVICE" and "," not in targets[0]["TargetValue"]
    if "iOSLiveActivityEvent" in body and not alone:
        yield one_device("$.iOSLiveActivityEvent")


def _mass_refuses(body: Payload, targets: Sequence[Payload], application: Application) -> Iterator[Problem]:
    yield from bad_app_key(application)
    yield from not_lists("MassPush", [target["Target"] for target in targets])
    if "SmsTemplateName" in body:
        yield Problem("no-sms", "MassPush sends no text messages", path="$.SmsTemplateName")
    if "iOSLiveActivityEvent" in body:
        yield one_device("$.iOSLiveActivityEvent")
    if TASKS * len(tasks([{**body, **_LATER}])) > CHILDREN:
        yield Problem("too-many", f"{TASKS} tasks have more than {CHILDREN} parameters", path="$")


def _continuous_refuses(body: Payload, targets: Sequence[Payload], application: Application) -> Iterator[Problem]:
    yield from bad_app_key(application)
    yield from not_lists("ContinuouslyPush", [target["Target"] for target in targets])
    if "PushTime" in body:
        yield Problem("no-schedule", "ContinuouslyPush pushes at once", path="$.PushTime")
    if "iOSLiveActivityEvent" in body:
        yield one_device("$.iOSLiveActivityEvent")
    yield from shared_expiry(body.get("ExpireTime"), "$.ExpireTime")


def bad_app_key(application: Application) -> Iterator[Problem]:
    """An AppKey is a number."""
    key = application.keys["app_key"]
    if not (key.isascii() and key.isdigit()):
        yield Problem("bad-key", "an AppKey of EMAS is a number", hint="it stands in the EMAS console")


def not_lists(way: str, kinds: Sequence[str]) -> Iterator[Problem]:
    """Targets that are no lists of ids."""
    for kind in sorted(set(kinds) - set(LISTS)):
        yield Problem("no-target", f"{way} takes no {kind}", hint=f"one of {', '.join(LISTS)}")


def one_device(path: str) -> Problem:
    """A live activity that would go to several devices."""
    return Problem("one-device", "a live activity goes to one device", path=path)


def shared_expiry(expires: object, path: str) -> Iterator[Problem]:
    """A time to live would count from the first call for the devices of all."""
    if is_lasting(expires):
        words = "all calls share one ExpireTime, so that the last devices would have less time to be reached"
        yield Problem("shared-expiry", words, path=path, hint="say ExpireTime as a moment, under vendor")


NATIVE = ONE_TARGET(
    name="Push",
    request=_push,
    paces=_push_paces,
    source=PUSH,
    repeats=REPEATS,
    refuses=_push_refuses,
)
MANY = MANY_TASKS(
    name="MassPush",
    request=_mass,
    paces=lambda targets: paces("MassPush", 500, 1.0, False),
    source=MASS,
    repeats=REPEATS,
    refuses=_mass_refuses,
)
LATER = ONE_TARGET(
    name="ContinuouslyPush",
    request=_continue,
    paces=lambda targets: paces("ContinuouslyPush", 500, 1.0, False),
    source=CONTINUOUS,
    worth=IDS + 1,
    opening=Opening(
        request=_open,
        reply=reply,
        calls=HANDLE_CALLS,
        lasts=HANDLE_LASTS,
        paces=paces("Push", 1_000_000, 60.0, False),
        close=_complete,
    ),
    refuses=_continuous_refuses,
)
WAYS = (NATIVE, MANY, LATER)
