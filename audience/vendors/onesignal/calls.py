"""Calls of OneSignal: `POST /notifications`, with its idempotency key in the body.

Sources: https://documentation.onesignal.com/reference/push-notification, for the key
https://documentation.onesignal.com/reference/idempotent-notification-requests, for rates
https://documentation.onesignal.com/reference/rate-limits. The page takes 20,000 ids a call, the vendor's own clients
say 2,000: should the longer lists be refused, the method `short_lists` has shorter ones.

Unread: whether an application that sends too much is warned before it is switched off, which happens above ten times
its subscribers in 15 minutes: https://documentation.onesignal.com/docs/disabled-apps.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

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
from audience.vendors.onesignal.message import build_body, unsupported_fields
from audience.vendors.onesignal.message_rules import join_target, target_problems
from audience.vendors.onesignal.replies import CODES, parse_cancel, parse_reply
from audience.vendors.onesignal.request_keys import MAX_SUBSCRIPTIONS
from audience.vendors.onesignal.schedule import (
    CANCEL_DOCS,
    MAX_AHEAD,
    MIN_AHEAD,
    apply_send_after,
    build_cancel,
    read_moments,
    require_future,
)
from audience.vendors.onesignal.warnings import body_warnings
from audience.vendors.payload_reader import dump_json

PUSH_DOCS = "https://documentation.onesignal.com/reference/push-notification"
RATES_DOCS = "https://documentation.onesignal.com/reference/rate-limits"
IDS = "include_subscription_ids"
JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8", "Accept": "application/json"}
RATE_LIMIT = RateLimit(
    "message", 150, 1.0, RATES_DOCS
)  # of a free application; others may make 6,000. With withdrawals
DEDUP_WINDOW = timedelta(days=30)
SHORT_LIST = 2_000


def build_push(call: SendCall, credentials: Credentials) -> Request:
    """Build the message to the targets of *call*: one native target, or lists of ids, which are joined.

    >>> call = SendCall(
    ...     targets=({"include_subscription_ids": ["a"]}, {"include_subscription_ids": ["b"]}),
    ...     body={"contents": {"en": "Hi"}},
    ...     handle=None,
    ...     idempotency_key="k1",
    ... )
    >>> build_push(call, Credentials("https://…", {"app_id": "a1"})).content.decode()
    '{"app_id":"a1","idempotency_key":"k1","contents":{"en":"Hi"},"include_subscription_ids":["a","b"]}'
    """
    keys = {"app_id": credentials.keys["app_id"], "idempotency_key": call.idempotency_key}
    content = dump_json({**keys, **join_target(call.body, join_lists(call.targets))}).encode()
    return Request(method="POST", path="/notifications", query={"c": "push"}, headers=JSON_HEADERS, content=content)


def join_lists(targets: Sequence[Payload]) -> Payload:
    """Return one target for all *targets*; several are lists of ids."""
    if len(targets) == 1:
        return targets[0]
    return {IDS: [each for target in targets for each in target[IDS]]}


def sign(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    """Add the API key."""
    return replace(request, headers={**request.headers, "Authorization": f"Key {credentials.keys['api_key']}"})


NATIVE = SendMethod(
    name="notifications",
    max_ids=None,
    build_request=build_push,
    parse_reply=parse_reply,
    rate_limits=lambda targets: (RATE_LIMIT,),
    source=PUSH_DOCS,
    check=target_problems,
    dedup_window=DEDUP_WINDOW,
    schedule=VendorSchedule(
        accepts=always,
        apply=apply_send_after,
        max_ahead=MAX_AHEAD - MIN_AHEAD,
        min_ahead=MIN_AHEAD,
        build_cancel=build_cancel,
        parse_cancel=parse_cancel,
        cancel_rate_limits=(RATE_LIMIT,),
        source=CANCEL_DOCS,
    ),
)
DELIVERY = DeliverySpec(
    base_urls={"default": "https://api.onesignal.com"},
    required_keys=("app_id", "api_key"),
    secret_keys=frozenset({"api_key"}),
    build_body=build_body,
    warnings=body_warnings,
    unsupported_fields=unsupported_fields,
    native_method=NATIVE,
    send_methods=(
        replace(NATIVE, name="subscription_ids", max_ids=MAX_SUBSCRIPTIONS.maximum),
        replace(NATIVE, name="short_lists", max_ids=SHORT_LIST),
    ),
    sign=sign,
    error_codes=CODES,
    reports_unknown_ids=False,
    apply_timestamps=require_future,
    read_moments=read_moments,
)
