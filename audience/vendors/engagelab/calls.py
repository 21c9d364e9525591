"""Calls of EngageLab: `POST /v4/push`, its dry run, and their replies.

Source: https://www.engagelab.com/docs/app-push/rest-api/create-push-api. The hosts and the dry run are those of the
vendor's own client, the Python package engagelab-apppush. Its calls of up to 500 targets, `/v4/batch/push/…`, are not
used: each target counts as a call, and a call with too many delivers to a part of them.

A request with an unknown outcome is never repeated. `options.cid` of the client may allow that, but no page documents
how long the vendor remembers it.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.vendors.delivery_spec import (
    Credentials,
    DeliverySpec,
    RateLimit,
    Request,
    Response,
    SendCall,
    SendMethod,
    SigningContext,
    VendorReply,
)
from audience.vendors.engagelab.message import build_body, unsupported_fields
from audience.vendors.engagelab.message_rules import DEFAULT_PLATFORMS, join_target, platform_problems
from audience.vendors.engagelab.targeting import PAGE
from audience.vendors.engagelab.warnings import body_warnings
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.payload_reader import dump_json
from audience.vendors.reply_checks import ContradictoryReply, accept, doubt_contradictions, read_code, read_id
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

BASE_URLS = {
    "singapore": "https://pushapi-sgp.engagelab.com",
    "hong-kong": "https://pushapi-hk.engagelab.com",
    "virginia": "https://pushapi-usva.engagelab.com",
    "frankfurt": "https://pushapi-defra.engagelab.com",
    "japan": "https://pushapi-jpn.engagelab.com",
    "brazil": "https://pushapi-bra.engagelab.com",
}
JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8", "Accept": "application/json"}
PUSH_RATE_LIMIT = RateLimit("push", 500, 1.0, PAGE)
CODES = load_codes(Path(__file__).with_name("codes.tsv"))
BY_CODE = {code.code: code for code in CODES}


def build_push(call: SendCall, credentials: Credentials) -> Request:
    """Build the push to the one target of *call*; its `request_id` is the idempotency key, unless the body has one.

    >>> call = SendCall(targets=({"to": "all"},), body={"body": {"platform": "all"}}, handle=None, idempotency_key="t1")
    >>> build_push(call, Credentials("https://…", {})).content
    b'{"request_id":"t1","body":{"platform":"all"},"to":"all"}'
    """
    return _build_request("/v4/push", call)


def build_dry_run(call: SendCall, credentials: Credentials) -> Request:
    """Build the same request as a dry run: the vendor checks it and delivers nothing."""
    return _build_request("/v4/push/validate", call)


def _build_request(path: str, call: SendCall) -> Request:
    (target,) = call.targets
    content = dump_json({"request_id": call.idempotency_key, **join_target(call.body, target)}).encode()
    return Request(method="POST", path=path, headers=JSON_HEADERS, content=content)


def sign(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    """Add basic authentication with app_key and master_secret."""
    keys = f"{credentials.keys['app_key']}:{credentials.keys['master_secret']}"
    return replace(request, headers={**request.headers, "Authorization": f"Basic {b64encode(keys.encode()).decode()}"})


@doubt_contradictions
def parse_reply(response: Response) -> VendorReply:
    """Parse the response; the page calls the id of a message both message_id and msg_id.

    >>> parse_reply(Response(200, b'{"request_id": "18", "msg_id": "1828256757"}'))
    Accepted(message_id='1828256757', invalid_ids=())
    """
    payload = parse_json_body(response)
    error = payload.get("error")
    details: Payload = error if isinstance(error, dict) else payload
    code, message = read_code(payload.get("code"), details.get("code")), str(details.get("message") or "")
    message_ids = {read_id(payload.get(key)) for key in ("message_id", "msg_id")} - {""}
    if len(message_ids) > 1:
        raise ContradictoryReply("message_id and msg_id differ")
    if message_ids:
        has_error = error is not None and not (isinstance(error, dict) and "code" in error)
        return accept(response, message_ids.pop(), code or "error" * has_error)
    row = BY_CODE.get(code)
    if row is None:
        return reply_from_status(response, f"{code} {message}".strip() if code else "")
    return reply_from_code(row, message, response)


def push_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    """Find why *body* cannot go to *targets*: a live activity allows only some of them."""
    event, path = get_in(body, "body", "live_activity", "ios").get("event"), "$.body.live_activity"
    for target in targets:
        yield from platform_problems(body, target)
        to: Any = target.get("to")
        if event == "start" and to != "all" and set(to) != {"registration_id"}:
            message = "a live activity starts for everyone or for ids only: 21051"
            yield Problem("no-such-target", message, path=path, hint="send by ids")
        if event in ("update", "end") and "live_activity_id" not in to:
            message, hint = "a live activity is changed by its name", "use the expression live_activity_id(NAME)"
            yield Problem("no-such-target", message, path=path, hint=hint)


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
    default_platforms=DEFAULT_PLATFORMS,
)
