"""Calls of Umeng: `POST /api/send`, the upload of files, and the withdrawal of tasks.

Source: https://dev.umeng.com/push/android/api-doc. Casts to devices, lists and aliases are made at once: no rate limit,
and no key by which a repeat is dropped. Casts to everyone, to groups and to files are tasks: they have rate limits, can
be kept until their time and withdrawn, and `out_biz_no` drops repeats. The page names no end of that; here it is relied
on for an hour.

The page says that test mode reaches test devices only; its copy of 2025 adds that casts to devices and files reach all
of them. So such a cast in test mode is refused for Android. On iOS, test mode is Apple's development service.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from audience.errors import DeliveryError, Problem
from audience.vendors.delivery_spec import (
    Credentials,
    DeliverySpec,
    RateLimit,
    Request,
    SendCall,
    SendMethod,
    SetupCall,
    SigningContext,
    VendorSchedule,
    always,
)
from audience.vendors.payload_reader import dump_json
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload
from audience.vendors.umeng.files import JSON_HEADERS, LIFETIME, MAX_FILE_TOKENS, build_upload
from audience.vendors.umeng.message import build_body, keep_application, keep_platform, unsupported_fields
from audience.vendors.umeng.message_rules import find_platforms
from audience.vendors.umeng.replies import CODES, parse_cancel, parse_reply, parse_upload_reply
from audience.vendors.umeng.targeting import FILE, LIMITS, PAGE
from audience.vendors.umeng.times import MAX_AHEAD, MIN_AHEAD, apply_start_time, apply_timestamps, read_moments
from audience.vendors.umeng.warnings import body_warnings

OPTIONAL_KEYS = {"platform": ("android", "ios")}
DEDUP_WINDOW = timedelta(hours=1)
BROADCAST_LIMIT = RateLimit("broadcast", 10, 86_400.0, PAGE)
GROUPCAST_LIMIT = RateLimit("groupcast", 5, 60.0, PAGE)
FILECAST_LIMIT = RateLimit("filecast", 300, 3_600.0, PAGE)
ALIAS_FILE_LIMIT = RateLimit("customizedcast with a file", 300, 3_600.0, PAGE)
UNICAST_LIMIT = RateLimit("unicast", 100, 1.0, f"ours: {PAGE} has no limit for casts to devices and aliases")
MANY = ("broadcast", "groupcast")  # types whose test mode reaches test devices only


def resolve_platform(credentials: Credentials) -> str:
    """Return the platform of the application."""
    return credentials.keys.get("platform") or OPTIONAL_KEYS["platform"][0]


def build_push(call: SendCall, credentials: Credentials) -> Request:
    """Build the cast to the one target of *call*, or to the file of its handle; a task has an out_biz_no.

    >>> body = {"payload": {"aps": {"alert": "Hi"}}}
    >>> call = SendCall(targets=({"type": "broadcast"},), body=body, handle=None, idempotency_key="k1")
    >>> build_push(call, Credentials("https://…", {"platform": "ios"})).content.decode()
    '{"payload":{"aps":{"alert":"Hi"}},"policy":{"out_biz_no":"k1"},"type":"broadcast"}'
    """
    platform = resolve_platform(credentials)
    for problem in platform_problems(call.body, credentials):
        raise DeliveryError(problem)
    body, target = keep_application(call.body, platform), _find_target(call)
    if is_task(target):
        body = {**body, "policy": {**get_in(body, "policy"), "out_biz_no": call.idempotency_key}}
    content = dump_json({**body, **target}).encode()
    return Request(method="POST", path="/api/send", headers=JSON_HEADERS, content=content)


def _find_target(call: SendCall) -> Payload:
    if call.handle is not None:
        return {"type": "filecast", FILE: call.handle}
    (target,) = call.targets
    return target


def is_task(target: Payload) -> bool:
    """Return whether Umeng makes a task of a cast to *target*.

    >>> is_task({"type": "customizedcast", "alias": "a"}), is_task({"type": "customizedcast", "file_id": "f"})
    (False, True)
    """
    return target["type"] in (*MANY, "filecast") or FILE in target


def are_tasks(targets: Sequence[Payload]) -> bool:
    """Return whether Umeng makes tasks of casts to *targets*."""
    return all(map(is_task, targets))


def platform_problems(body: Payload, credentials: Credentials) -> Iterator[Problem]:
    """Find whether *body* has no payload for the platform of this application."""
    platform = resolve_platform(credentials)
    if platform not in find_platforms(body):
        message = f"the application is for {platform}, and the message is not"
        hint = "set the application's key `platform` to its platform"
        yield Problem("wrong-platform", message, path="$.payload", hint=hint)


def file_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    """Find why *body* cannot go to a file with *targets*: it is for another platform, or for test devices."""
    yield from platform_problems(body, credentials)
    names_devices = any(target["type"] not in MANY for target in targets)
    if body.get("production_mode") == "false" and resolve_platform(credentials) == "android" and names_devices:
        message = "whether test mode reaches test devices only, pages of Umeng do not agree"
        hint = "name the test devices, without production_mode"
        yield Problem("no-such-target", message, path="$.production_mode", hint=hint)


def cast_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    """Find why *body* cannot go to *targets*: only tasks have a time."""
    yield from file_problems(body, targets, credentials)
    if "start_time" in get_in(body, "policy") and not are_tasks(targets):
        message = "Umeng ignores start_time of a cast to devices or aliases, which is made at once"
        hint = "write send_at: until then the run is held here"
        yield Problem("no-such-target", message, path="$.policy.start_time", hint=hint)


def cast_rate_limits(targets: Sequence[Payload]) -> tuple[RateLimit, ...]:
    """Return the rate limits of casts to *targets*.

    >>> [limit.max_calls for limit in cast_rate_limits([{"type": "groupcast"}])]
    [5]
    """
    return tuple(dict.fromkeys(map(_find_rate_limit, targets)))


def _find_rate_limit(target: Payload) -> RateLimit:
    match target["type"]:
        case "broadcast":
            return BROADCAST_LIMIT
        case "groupcast":
            return GROUPCAST_LIMIT
        case "filecast":
            return FILECAST_LIMIT
    return ALIAS_FILE_LIMIT if FILE in target else UNICAST_LIMIT


def build_cancel(message_id: str, credentials: Credentials) -> Request:
    """Build the request that withdraws a task.

    >>> build_cancel("us123", Credentials("https://…", {})).content
    b'{"task_id":"us123"}'
    """
    content = dump_json({"task_id": message_id}).encode()
    return Request(method="POST", path="/api/cancel", headers=JSON_HEADERS, content=content)


def sign(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    """Add the application and the time of the call to the body, and the signature of all of it to the query.

    It is the MD5 of the method, the URL without its query, the body, and app_master_secret.
    """
    keys = {"appkey": credentials.keys["appkey"], "timestamp": str(int(context.now.timestamp()))}
    content = dump_json(keys).encode()[:-1] + b"," + request.content.removeprefix(b"{")
    url = f"{credentials.base_url.rstrip('/')}{request.path}"
    signed = b"".join((request.method.encode(), url.encode(), content, credentials.keys["app_master_secret"].encode()))
    digest = hashlib.md5(signed, usedforsecurity=False).hexdigest()
    return replace(request, content=content, query={"sign": digest})


TASK_SCHEDULE = VendorSchedule(
    accepts=are_tasks,
    apply=apply_start_time,
    max_ahead=MAX_AHEAD - MIN_AHEAD,
    min_ahead=MIN_AHEAD,
    build_cancel=build_cancel,
    parse_cancel=parse_cancel,
    cancel_rate_limits=(UNICAST_LIMIT,),
    source=PAGE,
)
NATIVE = SendMethod(
    name="send",
    max_ids=None,
    build_request=build_push,
    parse_reply=parse_reply,
    rate_limits=cast_rate_limits,
    source=PAGE,
    check=cast_problems,
    dedup_window=DEDUP_WINDOW,
    drops_repeats=are_tasks,
    schedule=TASK_SCHEDULE,
)
LISTCAST = replace(NATIVE, name="listcast", max_ids=LIMITS["device_tokens"].maximum, dedup_window=None, schedule=None)
FILECAST = replace(
    NATIVE,
    name="filecast",
    max_ids=MAX_FILE_TOKENS,
    min_ids=501,  # the page advises files for more than one list
    rate_limits=lambda targets: (FILECAST_LIMIT,),
    setup_call=SetupCall(build_request=build_upload, parse_reply=parse_upload_reply, max_uses=1, lifetime=LIFETIME),
    drops_repeats=always,
    check=file_problems,
    concurrency=4,  # of up to 10 MB each
    schedule=replace(TASK_SCHEDULE, accepts=always),
)
DELIVERY = DeliverySpec(
    base_urls={"default": "https://msgapi.umeng.com"},
    required_keys=("appkey", "app_master_secret"),
    secret_keys=frozenset({"app_master_secret"}),
    optional_keys=OPTIONAL_KEYS,
    build_body=build_body,
    warnings=body_warnings,
    unsupported_fields=unsupported_fields,
    fit_message=lambda message, credentials: keep_platform(message, resolve_platform(credentials)),
    serves_one_platform=True,
    native_method=NATIVE,
    send_methods=(LISTCAST, FILECAST),
    sign=sign,
    error_codes=CODES,
    reports_unknown_ids=False,
    apply_timestamps=apply_timestamps,
    read_moments=read_moments,
)
