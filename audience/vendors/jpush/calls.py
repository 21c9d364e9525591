"""Calls of JPush: `POST /v3/push` and its dry run.

Sources: https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push, and for hosts, keys and rate limits
https://docs.jiguang.cn/jpush/server/push/server_overview. The calls of up to 1,000 devices with a message each,
`/v3/push/batch/…`, are not used: they are for VIP applications, and every device is a message.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from audience.errors import Problem
from audience.vendors.delivery_spec import Credentials, DeliverySpec, Request, SendCall, SendMethod, SigningContext
from audience.vendors.jpush.cids import DEDUP_WINDOW, PUSH_CIDS, PUSH_RATE_LIMIT
from audience.vendors.jpush.message import build_body, unsupported_fields
from audience.vendors.jpush.message_rules import join_target, platform_problems
from audience.vendors.jpush.replies import CODES, parse_reply
from audience.vendors.jpush.targeting import PAGE
from audience.vendors.jpush.warnings import body_warnings
from audience.vendors.payload_reader import dump_json
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

BASE_URLS = {"default": "https://api.jpush.cn", "beijing": "https://bjapi.push.jiguang.cn"}
JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8", "Accept": "application/json"}


def build_push(call: SendCall, credentials: Credentials) -> Request:
    """Build the push to the one target of *call*; its cid is the idempotency key.

    >>> body = {"platform": ["ios"], "notification": {"ios": {"alert": "Hi"}}}
    >>> call = SendCall(targets=({"audience": "all"},), body=body, handle=None, idempotency_key="k-1")
    >>> build_push(call, Credentials("https://…", {})).content.decode()
    '{"cid":"k-1","platform":["ios"],"notification":{"ios":{"alert":"Hi"}},"audience":"all"}'
    """
    return _build_request("/v3/push", call, {"cid": call.idempotency_key})


def build_dry_run(call: SendCall, credentials: Credentials) -> Request:
    """Build the same request as a dry run, without a cid: the vendor checks it and delivers nothing."""
    return _build_request("/v3/push/validate", call, {})


def _build_request(path: str, call: SendCall, cid: Payload) -> Request:
    (target,) = call.targets
    content = dump_json({**cid, **join_target(call.body, target)}).encode()
    return Request(method="POST", path=path, headers=JSON_HEADERS, content=content)


def sign(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    """Add basic authentication with app_key and master_secret."""
    keys = f"{credentials.keys['app_key']}:{credentials.keys['master_secret']}"
    return replace(request, headers={**request.headers, "Authorization": f"Basic {b64encode(keys.encode()).decode()}"})


def push_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    """Find why *body* cannot go to *targets*: a live activity allows only some of them."""
    event, path = get_in(body, "live_activity", "ios").get("event"), "$.live_activity"
    for target in targets:
        yield from platform_problems(body, target)
        audience: Any = target.get("audience")
        names_activity = "live_activity_id" in audience
        if event in ("update", "end") and not names_activity:
            message, hint = "a live activity is changed by its name", "use the expression live_activity_id(NAME)"
            yield Problem("no-such-target", message, path=path, hint=hint)
        if names_activity and (event not in ("update", "end") or len(audience) > 1):
            message = "live_activity_id is for changes of a live activity, without another target"
            yield Problem("no-such-target", message, path=path, hint="send by ids")


NATIVE = SendMethod(
    name="push",
    max_ids=None,
    build_request=build_push,
    parse_reply=parse_reply,
    rate_limits=lambda targets: (PUSH_RATE_LIMIT,),
    source=PAGE,
    check=push_problems,
    dedup_window=DEDUP_WINDOW,
    key_source=PUSH_CIDS,
)
DELIVERY = DeliverySpec(
    base_urls=BASE_URLS,
    required_keys=("app_key", "master_secret"),
    secret_keys=frozenset({"master_secret"}),
    build_body=build_body,
    warnings=body_warnings,
    unsupported_fields=unsupported_fields,
    native_method=NATIVE,
    send_methods=(replace(NATIVE, name="registration_id", max_ids=1_000),),
    sign=sign,
    error_codes=CODES,
    dry_run=build_dry_run,
    default_platforms=("android", "ios", "harmonyos"),
)
