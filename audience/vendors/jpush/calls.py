"""Calls of JPush: `POST /v3/push`, its dry run, and their replies.

Sources: https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push, and for hosts, keys and rate limits
https://docs.jiguang.cn/jpush/server/push/server_overview. The calls of up to 1,000 devices with a message each,
`/v3/push/batch/…`, are not used: they are for VIP applications, and every device is a message.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.vendors.delivery_spec import (
    Credentials,
    DeliverySpec,
    Fatal,
    RateLimit,
    Request,
    Response,
    Retryable,
    SendCall,
    SendMethod,
    SigningContext,
    VendorReply,
)
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.jpush.message import build_body, unsupported_fields
from audience.vendors.jpush.message_rules import join_target, platform_problems
from audience.vendors.jpush.targeting import PAGE
from audience.vendors.jpush.warnings import body_warnings
from audience.vendors.payload_reader import dump_json
from audience.vendors.reply_checks import accept, doubt_contradictions, read_code, read_id, read_id_list
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

OVERVIEW = "https://docs.jiguang.cn/jpush/server/push/server_overview"
BASE_URLS = {"default": "https://api.jpush.cn", "beijing": "https://bjapi.push.jiguang.cn"}
JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8", "Accept": "application/json"}
PUSH_RATE_LIMIT = RateLimit("push", 600, 60.0, OVERVIEW)  # of a free application
CODES = load_codes(Path(__file__).with_name("codes.tsv"))
BY_CODE = {code.code: code for code in CODES}
WRONG_VALUE = "1003"  # of any field, also of a registration id
NAMED_ID_PATTERN = re.compile(r"The registration_id\s+(\S+) is invalid!")
ABOUT_IDS_PATTERN = re.compile(r"registration[ _]?id", re.IGNORECASE)


def build_push(call: SendCall, credentials: Credentials) -> Request:
    """Build the push to the one target of *call*.

    >>> body = {"platform": ["ios"], "notification": {"ios": {"alert": "Hi"}}}
    >>> call = SendCall(targets=({"audience": "all"},), body=body, handle=None, idempotency_key="t1")
    >>> build_push(call, Credentials("https://…", {})).content
    b'{"platform":["ios"],"notification":{"ios":{"alert":"Hi"}},"audience":"all"}'
    """
    return _build_request("/v3/push", call)


def build_dry_run(call: SendCall, credentials: Credentials) -> Request:
    """Build the same request as a dry run: the vendor checks it and delivers nothing."""
    return _build_request("/v3/push/validate", call)


def _build_request(path: str, call: SendCall) -> Request:
    (target,) = call.targets
    return Request(
        method="POST", path=path, headers=JSON_HEADERS, content=dump_json(join_target(call.body, target)).encode()
    )


def sign(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    """Add basic authentication with app_key and master_secret."""
    keys = f"{credentials.keys['app_key']}:{credentials.keys['master_secret']}"
    return replace(request, headers={**request.headers, "Authorization": f"Basic {b64encode(keys.encode()).decode()}"})


@doubt_contradictions
def parse_reply(response: Response) -> VendorReply:
    """Parse the response to a push.

    >>> parse_reply(Response(200, b'{"sendno": "18", "msg_id": "1828256757"}'))
    Accepted(message_id='1828256757', invalid_ids=())
    """
    payload = parse_json_body(response)
    error = payload.get("error")
    details: Payload = error if isinstance(error, dict) else {}
    code, text = read_code(details.get("code")), str(details.get("message") or "")
    if message_id := read_id(payload.get("msg_id")):
        return accept(response, message_id, code or ("error" if error else ""))
    row = BY_CODE.get(code)
    if row is None:
        return add_reset_delay(reply_from_status(response, f"{code} {text}".strip() if code else ""), response)
    if code == WRONG_VALUE and not ABOUT_IDS_PATTERN.search(text):
        return Fatal(Problem("fatal", f"{code} {text!r}: a field has an invalid value", hint="correct the body"))
    named = (*NAMED_ID_PATTERN.findall(text), *read_id_list(details.get("illegal_rids")))
    return add_reset_delay(reply_from_code(row, text, response, tuple(dict.fromkeys(named))), response)


def add_reset_delay(reply: VendorReply, response: Response) -> VendorReply:
    """Return *reply* with the seconds until the window of the rate limit ends, if it may be repeated."""
    seconds = response.headers.get("x-rate-limit-reset", "").strip()
    if isinstance(reply, Retryable) and seconds.isascii() and seconds.isdigit():
        return replace(reply, retry_after=float(seconds))
    return reply


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
