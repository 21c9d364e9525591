"""Calls of Getui: pushes to one device, to lists, to everyone and by tags.

Sources: as in the package. A push to several cids or aliases is two calls: `POST /push/list/message` gives the message
an id, the task, and delivers nothing; `POST /push/list/cid` delivers it to at most 1,000 devices, and may be repeated
for others as long as the message is kept for devices that are offline. Clients differ in the length of a list: one
quotes 200, for which there is the method `short_lists`.

Only pushes that have their message with them have a `request_id`: "if it is repeated, the message is lost". How long
it is remembered, and what a repeat answers, is in no page that could be read. So a call whose reply was lost is in
doubt.

The calls of up to 200 devices with a message each, `/push/single/batch/…`, are not used: every device is a message
with a `request_id` of its own.

The page has 2,000,000 calls for lists a day, which are spread over the day here: 23 a second. The number of calls a
minute (10005, 30015) was in no page. Of pushes to everyone and by tags there are 5 a minute, and 100 a day (30007,
30010).
"""

from collections.abc import Sequence
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
)
from audience.vendors.getui.access import ACCESS_TOKENS, JSON_HEADERS, app_path
from audience.vendors.getui.message import SUPPORT, build_body, fit_message, unsupported_fields
from audience.vendors.getui.message_rules import is_app_push, target_problems
from audience.vendors.getui.replies import CODES, parse_cancel, parse_native_reply, parse_reply
from audience.vendors.getui.schedule import (
    CANCEL_DOCS,
    MAX_AHEAD,
    MIN_AHEAD,
    apply_schedule_time,
    build_cancel,
    read_moments,
    require_future,
)
from audience.vendors.getui.targeting import PAGE
from audience.vendors.getui.warnings import body_warnings
from audience.vendors.payload_reader import dump_json
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

BASE_URL = "https://restapi.getui.com"
MAX_LIST, SHORT_LIST = 1_000, 200
MAX_REQUEST_ID_CHARS = 32
DEFAULT_LIFETIME = timedelta(hours=1)  # of a message without a ttl; a newer text of the page says two hours
SHORTEST_LIFETIME = timedelta(seconds=10)  # of one that is not kept for devices that are offline
MAX_HANDLE_USES = 10_000  # ours: the page has no number
LIST_RATE_LIMIT = RateLimit("list", 2_000_000, 86_400.0, PAGE)
APP_RATE_LIMIT = RateLimit("everyone and tags", 5, 60.0, PAGE)
LIST_KEYS = ("cid", "alias")
APP_PATHS = {"tag": "/push/tag", "fast_custom_tag": "/push/fast_custom_tag"}


def build_push(call: SendCall, credentials: Credentials) -> Request:
    """Build the push to the one target of *call*; one to a list has its message in the handle.

    >>> credentials, body = Credentials("https://…", {"app_id": "a1"}), {"push_message": {"transmission": "x"}}
    >>> call = SendCall(targets=({"audience": "all"},), body=body, handle=None, idempotency_key="8e1f-0001")
    >>> request = build_push(call, credentials)
    >>> request.path, request.content.decode()
    ('/v2/a1/push/all', '{"request_id":"8e1f0001","push_message":{"transmission":"x"},"audience":"all"}')
    >>> call = SendCall(targets=({"audience": {"cid": ["c1", "c2"]}},), body=body, handle="T1", idempotency_key="k")
    >>> request = build_push(call, credentials)
    >>> request.path, request.content.decode()
    ('/v2/a1/push/list/cid', '{"audience":{"cid":["c1","c2"]},"taskid":"T1","is_async":false}')
    """
    (target,) = call.targets
    audience = target["audience"]
    if call.handle is not None:
        content: Payload = {"audience": audience, "taskid": call.handle, "is_async": False}
    else:
        content = {"request_id": make_request_id(call.idempotency_key), **call.body, "audience": audience}
    path = app_path(credentials, find_push_path(target, is_list=call.handle is not None))
    return Request(method="POST", path=path, headers=JSON_HEADERS, content=dump_json(content).encode())


def make_request_id(key: str) -> str:
    """Return the id of a request, of at most 32 characters, that stays the same for the same key.

    >>> make_request_id("be4a8044-bbd6-11e4-a581-000c2940e62c")
    'be4a8044bbd611e4a581000c2940e62c'
    """
    return key.replace("-", "")[:MAX_REQUEST_ID_CHARS]


def find_push_path(target: Payload, is_list: bool) -> str:
    """Return the path of a push to *target*, below that of the application.

    Raises:
        DeliveryError: The target is none that Getui has: what it would make of it is not tried.
    """
    audience = target["audience"]
    if audience == "all":
        return "/push/all"
    for key in LIST_KEYS:
        if get_in(target, "audience").get(key):
            return f"/push/{'list' if is_list else 'single'}/{key}"
    for key, path in APP_PATHS.items():
        if get_in(target, "audience").get(key):
            return path
    raise DeliveryError(Problem("no-such-target", f"Getui has no target {dump_json(audience)[:60]}"))


def is_list(targets: Sequence[Payload]) -> bool:
    """Return whether a push to *targets* is one to a list, which needs its message created first.

    >>> is_list([{"audience": {"cid": ["a", "b"]}}]), is_list([{"audience": {"cid": ["a"]}}])
    (True, False)
    """
    return any(len(get_in(target, "audience").get(key, ())) > 1 for target in targets for key in LIST_KEYS)


def build_message(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Request:
    """Build the call that creates the message of a list; it delivers nothing.

    >>> request = build_message({"push_message": {"transmission": "x"}}, [], Credentials("https://…", {"app_id": "a1"}))
    >>> request.path, request.content.decode()
    ('/v2/a1/push/list/message', '{"push_message":{"transmission":"x"}}')
    """
    path = app_path(credentials, "/push/list/message")
    return Request(method="POST", path=path, headers=JSON_HEADERS, content=dump_json(body).encode())


def find_lifetime(body: Payload) -> timedelta:
    """Return how long the message of a list can be pushed: as long as it is kept for devices that are offline.

    >>> find_lifetime({"settings": {"ttl": 60000}}).seconds, find_lifetime({}).seconds
    (60, 3600)
    """
    milliseconds = get_in(body, "settings").get("ttl")
    if milliseconds is None:
        return DEFAULT_LIFETIME
    return max(timedelta(milliseconds=milliseconds), SHORTEST_LIFETIME)


def find_rate_limits(targets: Sequence[Payload]) -> tuple[RateLimit, ...]:
    """Return five calls a minute for everyone and tags, and those for lists for all others."""
    return (APP_RATE_LIMIT,) if any(map(is_app_push, targets)) else (LIST_RATE_LIMIT,)


def sign(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    """Add the access token."""
    return replace(request, headers={**request.headers, "token": context.access_token})


NATIVE = SendMethod(
    name="push",
    max_ids=None,
    build_request=build_push,
    parse_reply=parse_native_reply,
    rate_limits=find_rate_limits,
    source=PAGE,
    setup_call=SetupCall(
        build_request=build_message,
        parse_reply=parse_native_reply,
        max_uses=MAX_HANDLE_USES,
        is_needed=is_list,
        lifetime=DEFAULT_LIFETIME,
        find_lifetime=find_lifetime,
        rate_limits=(LIST_RATE_LIMIT,),
    ),
    check=target_problems,
    schedule=VendorSchedule(
        accepts=lambda targets: all(map(is_app_push, targets)),
        apply=apply_schedule_time,
        max_ahead=MAX_AHEAD - MIN_AHEAD,
        min_ahead=MIN_AHEAD,
        build_cancel=build_cancel,
        parse_cancel=parse_cancel,
        cancel_rate_limits=(LIST_RATE_LIMIT,),
        source=CANCEL_DOCS,
    ),
)
LIST_PUSH = replace(NATIVE, name="list", max_ids=MAX_LIST, parse_reply=parse_reply, schedule=None)
DELIVERY = DeliverySpec(
    base_urls={"default": BASE_URL},
    required_keys=("app_id", "app_key", "master_secret"),
    secret_keys=frozenset({"master_secret"}),
    optional_keys={"harmonyos": ("yes", "no")},
    build_body=build_body,
    warnings=body_warnings,
    unsupported_fields=unsupported_fields,
    fit_message=fit_message,
    native_method=NATIVE,
    send_methods=(LIST_PUSH, replace(LIST_PUSH, name="short_lists", max_ids=SHORT_LIST)),
    sign=sign,
    error_codes=CODES,
    default_platforms=SUPPORT.default_platforms,
    access_tokens=ACCESS_TOKENS,
    apply_timestamps=require_future,
    read_moments=read_moments,
)
