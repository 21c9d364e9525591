"""Calls of Huawei Push Kit v1: `POST /v1/{client id}/messages:send`, and its dry run.

Sources: https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197. Huawei counts
devices a second, https://developer.huawei.com/consumer/cn/doc/harmonyos-references/push-msg-freq-control, and shows the
number of an app in AppGallery Connect; at least 6,000 are of https://cloud.tencent.com/document/product/548/41407.
The page keeps no repeats out, and has no scheduling; `messages:revoke` is in the page of HarmonyOS only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import quote

from audience.errors import Problem
from audience.messages import merge_patch
from audience.vendors.delivery_spec import (
    Credentials,
    DeliverySpec,
    RateLimit,
    Request,
    SendCall,
    SendMethod,
    SigningContext,
)
from audience.vendors.huawei.access import ACCESS_TOKENS, PUSH_URL
from audience.vendors.huawei.message import SUPPORT, build_body, unsupported_fields
from audience.vendors.huawei.message_rules import excess_problems
from audience.vendors.huawei.replies import CODES, parse_reply
from audience.vendors.huawei.targeting import PAGE
from audience.vendors.huawei.warnings import body_warnings
from audience.vendors.payload_reader import dump_json
from audience.vendors.spec import Payload

JSON_HEADERS = {"Content-Type": "application/json;charset=utf-8", "Accept": "application/json"}
MAX_CALL_IDS = 1_000
QPS_PAGE = "https://cloud.tencent.com/document/product/548/41407"
# Five calls of 1,000 tokens: above its number of devices a second, at least 6,000, an app gets 503, which leaves a call
# in doubt, and calls arrive less evenly than they leave. A call to topics counts as one; nobody knows whom it reaches.
PUSH_RATE_LIMIT = RateLimit("push", 5, 1.0, QPS_PAGE)


def build_push(call: SendCall, credentials: Credentials) -> Request:
    """Build the push to the one target of *call*.

    >>> call = SendCall(targets=({"message": {"token": ["t1"]}},), body={"message": {"data": "x"}}, handle=None,
    ...                 idempotency_key="k")
    >>> request = build_push(call, Credentials("https://…", {"client_id": "7"}))
    >>> request.path, request.content.decode()
    ('/v1/7/messages:send', '{"message":{"data":"x","token":["t1"]}}')
    """
    return _build_request(call, credentials, {})


def build_dry_run(call: SendCall, credentials: Credentials) -> Request:
    """Build the same request as a dry run: Huawei checks its form and delivers nothing."""
    return _build_request(call, credentials, {"validate_only": True})


def _build_request(call: SendCall, credentials: Credentials, options: Payload) -> Request:
    (target,) = call.targets
    content = dump_json({**options, **merge_patch(call.body, target)}).encode()
    path = f"/v1/{quote(credentials.keys['client_id'], safe='')}/messages:send"
    return Request(method="POST", path=path, headers=JSON_HEADERS, content=content)


def sign(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    """Add the access token."""
    return replace(request, headers={**request.headers, "Authorization": f"Bearer {context.access_token}"})


def topic_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    """Find why *body* cannot go to topics: they are of Android apps only, and count among its bytes."""
    for target in targets:
        if "token" in target.get("message", {}):
            continue
        yield from excess_problems(merge_patch(body, target))
        if others := [name for name in ("apns", "webpush") if name in body["message"]]:
            message = f"topics are of Android apps only, and the message has a part for {' and '.join(others)}"
            yield Problem("other-platform", message, path="$.platforms", hint="send it to Android, or by ids")


NATIVE = SendMethod(
    name="topics",
    max_ids=None,
    build_request=build_push,
    parse_reply=parse_reply,
    rate_limits=lambda targets: (PUSH_RATE_LIMIT,),
    source=PAGE,
    check=topic_problems,
)
DELIVERY = DeliverySpec(
    base_urls={"default": PUSH_URL},
    required_keys=("client_id", "client_secret"),
    secret_keys=frozenset({"client_secret"}),
    build_body=build_body,
    warnings=body_warnings,
    unsupported_fields=unsupported_fields,
    native_method=NATIVE,
    send_methods=(replace(NATIVE, name="token", max_ids=MAX_CALL_IDS),),
    sign=sign,
    error_codes=CODES,
    dry_run=build_dry_run,
    default_platforms=SUPPORT.default_platforms,
    access_tokens=ACCESS_TOKENS,
)
