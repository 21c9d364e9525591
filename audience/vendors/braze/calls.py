"""Calls of Braze: `POST /messages/send`, `POST /messages/schedule/create` and the withdrawal of what it keeps.

Sources: https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_messages, for rates
https://www.braze.com/docs/api/api_limits, for hosts
https://www.braze.com/docs/user_guide/administer/personal/sdk_endpoints. A workspace is on one instance, and its key
works there alone: none is a default. A call names 50 users.

Braze has no idempotency key, so that a call whose reply is lost stays in doubt. It has no call that validates another
one without sending it. `/campaigns/trigger/send` sends the message of a campaign in the dashboard, so it is not used.

A broadcast, to an audience or a segment, may be made 250 times a minute, and ten times with the same audience; here all
broadcasts together are limited to ten. Calls to users share 250,000 calls an hour with most other calls. Hours begin
with those of the clock; calls are spread over them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from audience.vendors.braze.message import SUPPORT, build_body, unsupported_fields
from audience.vendors.braze.names import LIMITS_DOCS, MAX_USERS, SEND_DOCS
from audience.vendors.braze.replies import CODES, parse_cancel, parse_reply
from audience.vendors.braze.schedule import (
    JSON_HEADERS,
    MAX_AHEAD,
    MIN_AHEAD,
    SCHEDULE,
    SCHEDULE_DOCS,
    SCHEDULE_PATH,
    apply_schedule,
    apply_timestamps,
    build_cancel,
    read_moments,
)
from audience.vendors.braze.warnings import body_warnings
from audience.vendors.delivery_spec import (
    Credentials,
    DeliverySpec,
    Payload,
    RateLimit,
    Request,
    SendCall,
    SendMethod,
    SigningContext,
    VendorSchedule,
    always,
)
from audience.vendors.payload_reader import dump_json

SEND_PATH = "/messages/send"
BASE_URLS = {
    **{f"us-0{number}": f"https://rest.iad-0{number}.braze.com" for number in range(1, 9)},
    "us-10": "https://rest.us-10.braze.com",
    "eu-01": "https://rest.fra-01.braze.eu",
    "eu-02": "https://rest.fra-02.braze.eu",
    "au-01": "https://rest.au-01.braze.com",
    "id-01": "https://rest.id-01.braze.com",
    "jp-01": "https://rest.jp-01.braze.com",
    "kr-01": "https://rest.kr-01.braze.com",
}
CALLS = RateLimit("call", 250_000, 3_600.0, LIMITS_DOCS)
BROADCASTS = RateLimit("broadcast", 10, 60.0, LIMITS_DOCS)  # with one audience; with several, 250
CAPPING_WORDS = {"override_frequency_capping": "override_messaging_limits"}  # of a call now, and of one that is kept


def build_push(call: SendCall, credentials: Credentials) -> Request:
    """Build the message to the one target of *call*, which Braze keeps if its body has a schedule.

    >>> body = {"messages": {"apple_push": {"alert": "Hi"}}}
    >>> call = SendCall(targets=({"external_user_ids": ["u1"]},), body=body, handle=None, idempotency_key="k")
    >>> request = build_push(call, Credentials("https://…", {}))
    >>> request.path, request.content.decode()
    ('/messages/send', '{"external_user_ids":["u1"],"messages":{"apple_push":{"alert":"Hi"}}}')
    """
    (target,) = call.targets
    is_kept = SCHEDULE in call.body
    body = name_capping(call.body) if is_kept else call.body
    path = SCHEDULE_PATH if is_kept else SEND_PATH
    content = dump_json({**target, **body}).encode()
    return Request(method="POST", path=path, headers=JSON_HEADERS, content=content)


def name_capping(body: Payload) -> Payload:
    """Return *body* with the word for capping that calls have which Braze keeps.

    >>> name_capping({"override_frequency_capping": True})
    {'override_messaging_limits': True}
    """
    return {CAPPING_WORDS.get(key, key): value for key, value in body.items()}


def list_rate_limits(targets: Sequence[Mapping[str, object]]) -> tuple[RateLimit, ...]:
    """Return the rate limits of a call: of broadcasts, or of calls to users.

    >>> [limit.name for limit in list_rate_limits([{"segment_id": "s", "broadcast": True}])]
    ['broadcast']
    """
    return (BROADCASTS,) if any(target.get("broadcast") for target in targets) else (CALLS,)


def sign(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    """Add the key of the workspace."""
    return replace(request, headers={**request.headers, "Authorization": f"Bearer {credentials.keys['api_key']}"})


NATIVE = SendMethod(
    name="messages",
    max_ids=None,
    build_request=build_push,
    parse_reply=parse_reply,
    rate_limits=list_rate_limits,
    source=SEND_DOCS,
    schedule=VendorSchedule(
        accepts=always,
        apply=apply_schedule,
        max_ahead=MAX_AHEAD - MIN_AHEAD,
        min_ahead=MIN_AHEAD,
        build_cancel=build_cancel,
        parse_cancel=parse_cancel,
        cancel_rate_limits=(CALLS,),
        source=SCHEDULE_DOCS,
    ),
)
DELIVERY = DeliverySpec(
    base_urls=BASE_URLS,
    has_default_host=False,
    required_keys=("api_key",),
    secret_keys=frozenset({"api_key"}),
    build_body=build_body,
    warnings=body_warnings,
    unsupported_fields=unsupported_fields,
    native_method=NATIVE,
    send_methods=(replace(NATIVE, name="external_user_ids", max_ids=MAX_USERS),),
    sign=sign,
    error_codes=CODES,
    reports_unknown_ids=False,
    apply_timestamps=apply_timestamps,
    read_moments=read_moments,
    default_platforms=SUPPORT.default_platforms,
)
