"""Calls of Airship: `POST /api/push` with one push or a list of them, its check, and `POST /api/schedules`.

Source: https://github.com/urbanairship/api-specs/blob/main/go/spec.yaml of August 2026. A push takes 1,000 ids, as ten
lists of a hundred, and a call a hundred pushes and 5 MiB. The method `pushes` has twenty pushes in a call, so that a
lost reply leaves the devices of twenty in doubt and not of a hundred; `push` has one. Without a key for repeats a
lost call is never made again.

The ids are under `channel`, which the specification has for channels of the web and of open platforms, and the vendor's
own client for every channel: https://github.com/urbanairship/python-library/blob/main/urbanairship/push/audience.py.

Unread: how many calls a second a project may make. The page on limits, https://support.airship.com/hc/en-us/articles/
213492183, has "no hard limits", and 429 is answered to "too many similar requests in a short amount of time". Ten
calls a second are ours. `/api/bulk-send` reads its ids from an uploaded file with a name for one platform, so it
suits no index whose channels are of several; `/api/create-and-send` makes channels of addresses, and takes no others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from audience.errors import Problem
from audience.vendors.airship.access import ACCESS_TOKENS, AUTH_WAYS, BASE_URLS, check_keys, locate, sign
from audience.vendors.airship.message import SUPPORT, build_body, unsupported_fields
from audience.vendors.airship.message_rules import join_target, target_problems
from audience.vendors.airship.names import LIMITS_DOCS
from audience.vendors.airship.replies import CODES, parse_cancel, parse_check, parse_reply
from audience.vendors.airship.schedule import (
    MAX_AHEAD,
    MIN_AHEAD,
    SCHEDULE,
    SCHEDULE_DOCS,
    SCHEDULES_PATH,
    apply_schedule,
    build_cancel,
    read_moments,
    require_future,
)
from audience.vendors.airship.warnings import body_warnings
from audience.vendors.delivery_spec import (
    Credentials,
    DeliverySpec,
    Payload,
    RateLimit,
    Request,
    SendCall,
    SendMethod,
    VendorSchedule,
    always,
)
from audience.vendors.payload_reader import dump_json

PUSH_DOCS = "https://docs.airship.com/developer/rest-api/ua/operations/push"
PUSH_PATH, CHECK_PATH = "/api/push", "/api/push/validate"
JSON_HEADERS = {"Content-Type": "application/json", "Accept": "application/vnd.urbanairship+json; version=3"}
MAX_PUSH_IDS = 1_000
PUSHES_A_CALL = 20
MAX_CALL_BYTES = 5 * 1024 * 1024
MAX_CHANNEL_BYTES = 40  # of one id in a list, with its quotes and its comma
RATE_LIMIT = RateLimit("api", 10, 1.0, LIMITS_DOCS)


def build_push(call: SendCall, credentials: Credentials) -> Request:
    """Build the call for one push, which Airship keeps if its body has a schedule.

    >>> call = SendCall(
    ...     targets=({"audience": {"channel": "c1"}},), body={"device_types": ["ios"]}, handle=None, idempotency_key="k"
    ... )
    >>> request = build_push(call, Credentials("https://…", {}))
    >>> request.path, request.content.decode()
    ('/api/push', '{"audience":{"channel":"c1"},"device_types":["ios"]}')
    """
    (target,) = call.targets
    return _build_request(_choose_path(call.body), _write_push(call.body, target), credentials)


def build_pushes(call: SendCall, credentials: Credentials) -> Request:
    """Build the call for a list of pushes with the same message, one for each target."""
    pushes = [_write_push(call.body, target) for target in call.targets]
    return _build_request(_choose_path(call.body), pushes, credentials)


def build_check(call: SendCall, credentials: Credentials) -> Request:
    """Build the call that checks the same pushes and sends none; of a schedule it checks the push."""
    pushes = [join_target(_without_schedule(call.body), target) for target in call.targets]
    return _build_request(CHECK_PATH, pushes, credentials)


def _build_request(path: str, pushes: Payload | list[Payload], credentials: Credentials) -> Request:
    content = dump_json(pushes).encode()
    return Request(method="POST", path=locate(path, credentials), headers=JSON_HEADERS, content=content)


def _choose_path(body: Payload) -> str:
    return SCHEDULES_PATH if SCHEDULE in body else PUSH_PATH


def _write_push(body: Payload, target: Payload) -> Payload:
    """Return the push of *body* to *target*; with a schedule, as an object that has both."""
    push = join_target(_without_schedule(body), target)
    return {SCHEDULE: body[SCHEDULE], "push": push} if SCHEDULE in body else push


def _without_schedule(body: Payload) -> Payload:
    return {key: value for key, value in body.items() if key != SCHEDULE}


def call_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    """Find why *body* cannot go to *targets*: platforms that nobody is on, or a call that is too large.

    A call is as large as the longest ids make it, so that all calls of a run are checked with the first one.
    """
    yield from target_problems(body, targets)
    own_bytes = len(dump_json(body).encode()) + len('{"schedule":{"scheduled_time":"2026-12-01T01:00:00"},"push":{}}')
    size = len(targets) * (own_bytes + MAX_PUSH_IDS * MAX_CHANNEL_BYTES)
    if len(targets) > 1 and size > MAX_CALL_BYTES:
        message = f"{len(targets)} pushes of this message take up to {size:,} bytes; the maximum is {MAX_CALL_BYTES:,}"
        yield Problem("too-long", message, path="$", hint="shorten the message, or choose the method push")


PUSH = SendMethod(
    name="push",
    max_ids=MAX_PUSH_IDS,
    build_request=build_push,
    parse_reply=parse_reply,
    rate_limits=lambda targets: (RATE_LIMIT,),
    source=PUSH_DOCS,
    message_per_target=True,
    check=call_problems,
    schedule=VendorSchedule(
        accepts=always,
        apply=apply_schedule,
        max_ahead=MAX_AHEAD - MIN_AHEAD,
        min_ahead=MIN_AHEAD,
        build_cancel=build_cancel,
        parse_cancel=parse_cancel,
        cancel_rate_limits=(RATE_LIMIT,),
        source=SCHEDULE_DOCS,
    ),
)
PUSHES = replace(PUSH, name="pushes", max_ids=PUSHES_A_CALL * MAX_PUSH_IDS, build_request=build_pushes)
DELIVERY = DeliverySpec(
    base_urls=BASE_URLS,
    required_keys=("app_key", "secret"),
    secret_keys=frozenset({"secret"}),
    optional_keys={"auth": AUTH_WAYS},
    build_body=build_body,
    warnings=body_warnings,
    unsupported_fields=unsupported_fields,
    native_method=replace(PUSH, name="selectors", max_ids=None),
    send_methods=(PUSHES, PUSH),
    sign=sign,
    error_codes=CODES,
    reports_unknown_ids=False,
    dry_run=build_check,
    parse_dry_run=parse_check,
    apply_timestamps=require_future,
    read_moments=read_moments,
    default_platforms=SUPPORT.default_platforms,
    access_tokens=ACCESS_TOKENS,
    check_keys=check_keys,
)
