"""Calls of TPNS: `POST /v3/push/app`, the upload of packages, and their replies.

Sources: https://www.tencentcloud.com/document/product/1024/33764, and for signatures
https://www.tencentcloud.com/document/product/1024/34213. The ids here are tokens: accounts are native targets, all of
them in one call.

A push to a list sets `ignore_invalid_token: 1`. The call then delivers to all valid tokens, and its reply lists exactly
the invalid ones. With 0 the call fails without a list, and finding each invalid token takes some 20 calls.
"""

import hmac
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from audience.errors import DeliveryError, Problem
from audience.vendors.delivery_spec import (
    Credentials,
    DeliverySpec,
    RateLimit,
    Request,
    Response,
    SendCall,
    SendMethod,
    SetupCall,
    SigningContext,
    VendorReply,
    VendorSchedule,
)
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.payload_reader import dump_json
from audience.vendors.reply_checks import (
    accept,
    doubt_contradictions,
    is_success,
    read_code,
    read_id,
    read_id_list,
    read_ids,
)
from audience.vendors.spec import Payload
from audience.vendors.tpns.id_lists import ACCOUNT_PACKAGE, TOKEN_PACKAGE, is_account_package, upload_target
from audience.vendors.tpns.limits import PACKAGES_DOCS, PAGE
from audience.vendors.tpns.message import build_body, keep_platform, unsupported_fields
from audience.vendors.tpns.message_rules import MAX_DAYS_AHEAD, target_platforms
from audience.vendors.tpns.packages import MAX_PACKAGE_TOKENS, UPLOAD_PATH, build_upload
from audience.vendors.tpns.schedule import CANCEL_DOCS, apply_send_time, build_cancel, parse_cancel, read_moments
from audience.vendors.tpns.warnings import body_warnings

BASE_URLS = {
    "guangzhou": "https://api.tpns.tencent.com",
    "shanghai": "https://api.tpns.sh.tencent.com",
    "hong-kong": "https://api.tpns.hk.tencent.com",
    "singapore": "https://api.tpns.sgp.tencent.com",
}
OPTIONAL_KEYS = {"platform": ("android", "ios"), "signature": ("hmac-sha256", "basic")}
JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8"}
BULK_TYPES = ("all", "tag", ACCOUNT_PACKAGE)  # targets with a rate limit, and with fields of their own
TOKEN_TYPES = ("token", "token_list")
ACCOUNT_TYPES = ("account", "account_list", ACCOUNT_PACKAGE)
ACCOUNT_ONLY_FIELDS = ("account_type", "account_push_type")
BULK_ONLY_FIELDS = ("send_time", "loop_param", "push_speed", "collapse_id")
MIN_AHEAD = timedelta(minutes=1)  # ours: the clocks of both sides differ
BULK_RATE_LIMIT = RateLimit("all, tag and package", 1, 1.0, PAGE)  # the page lists packages of accounts only
LIST_RATE_LIMIT = RateLimit(
    "list", 100, 1.0, "ours: https://www.tencentcloud.com/document/product/1024/35286 documents none"
)
CODES = load_codes(Path(__file__).with_name("codes.tsv"))
BY_CODE = {code.code: code for code in CODES}


def resolve_platform(credentials: Credentials) -> str:
    """Return the platform of the application."""
    return credentials.keys.get("platform") or OPTIONAL_KEYS["platform"][0]


def build_push(call: SendCall, credentials: Credentials) -> Request:
    """Build the push to the one target of *call*, or to the package of its handle.

    >>> body = {"message_type": "notify", "message": {"title": "Hi", "content": "there", "android": {}, "ios": {}}}
    >>> call = SendCall(targets=({"audience_type": "all"},), body=body, handle=None, idempotency_key="t1")
    >>> build_push(call, Credentials("https://…", {"platform": "ios"})).content.decode()
    '{"message_type":"notify","message":{"title":"Hi","content":"there","ios":{}},"audience_type":"all"}'
    """
    target = _target_payload(call)
    defaults = {"ignore_invalid_token": 1} if target["audience_type"] in TOKEN_TYPES else {}
    if call.body.get("account_push_type") == 0 and target["audience_type"] in ACCOUNT_TYPES:
        target = {**target, "account_push_type": 0}  # a message may narrow its audience
    content = dump_json({**defaults, **_keep_platform(call.body, resolve_platform(credentials)), **target}).encode()
    return Request(method="POST", path="/v3/push/app", headers=JSON_HEADERS, content=content)


def _target_payload(call: SendCall) -> Payload:
    if call.handle is not None:
        return upload_target(call.targets, int(call.handle))
    (target,) = call.targets
    return target


def _keep_platform(body: Payload, platform: str) -> Payload:
    """Drop the parts of the other platform, or raise DeliveryError if there are none for this one."""
    if platform not in target_platforms(body):
        raise DeliveryError(_platform_problem(platform))
    others = [name for name in target_platforms(body) if name != platform]
    message = {key: value for key, value in body["message"].items() if key not in others}
    kept = {key: value for key, value in body.items() if platform != "android" or key != "environment"}
    return {**kept, "message": message}


def push_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    """Find why *body* cannot go to *targets*, or to the platform of this application."""
    platform = resolve_platform(credentials)
    if platform not in target_platforms(body):
        yield _platform_problem(platform)
    for kind in dict.fromkeys(str(target.get("audience_type")) for target in targets):
        message = "TPNS does not take {} with the audience_type " + str(kind)
        for key in BULK_ONLY_FIELDS:
            if key in body and kind not in BULK_TYPES:
                hint = "leave it out; TPNS takes it for everyone and for tags only"
                yield Problem("no-such-target", message.format(key), path=f"$.{key}", hint=hint)
        for key in ACCOUNT_ONLY_FIELDS:
            if key in body and kind not in ACCOUNT_TYPES:
                hint = "leave it out; TPNS takes it for accounts only"
                yield Problem("no-such-target", message.format(key), path=f"$.{key}", hint=hint)
    yield from _account_problems(body, targets)


def _account_problems(body: Payload, targets: Sequence[Payload]) -> Iterator[Problem]:
    """Find whether *body* would send to other accounts, or to more of their devices, than *targets* say."""
    types = {target["account_type"] for target in targets if "account_type" in target}
    if "account_type" in body and types - {body["account_type"]}:
        message = f"the accounts are of type {', '.join(map(str, sorted(types)))}"
        yield Problem("other-audience", message, path="$.account_type", hint="leave it to the expression")
    if body.get("account_push_type") == 1 and any(target.get("account_push_type") == 0 for target in targets):
        message = "the audience is the newest device of each account"
        yield Problem("other-audience", message, path="$.account_push_type", hint="leave it to the expression")


def _platform_problem(platform: str) -> Problem:
    message = f"the application is for {platform}, and the message is not"
    hint = "set the application's key `platform` to its platform"
    return Problem("wrong-platform", message, path="$.message", hint=hint)


def push_rate_limits(targets: Sequence[Payload]) -> tuple[RateLimit, ...]:
    """Return one call a second for everyone, tags and packages; TPNS has no limit for lists."""
    is_bulk = any(target.get("audience_type") in BULK_TYPES for target in targets)
    return (BULK_RATE_LIMIT,) if is_bulk else (LIST_RATE_LIMIT,)


def sign(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    """Add the headers Sign, AccessId and TimeStamp, or Basic; the page documents only Basic for uploads.

    Sign is the base64 of the lower-case hexadecimal digits of HMAC-SHA256 over time, access_id and content.
    """
    access_id, secret = credentials.keys["access_id"], credentials.keys["secret_key"]
    if request.path == UPLOAD_PATH or credentials.keys.get("signature") == "basic":
        headers = {"Authorization": f"Basic {b64encode(f'{access_id}:{secret}'.encode()).decode()}"}
    else:
        time = str(int(context.now.timestamp()))
        digits = hmac.new(secret.encode(), f"{time}{access_id}".encode() + request.content, "sha256").hexdigest()
        headers = {"Sign": b64encode(digits.encode()).decode(), "AccessId": access_id, "TimeStamp": time}
    return replace(request, headers={**request.headers, **headers})


@doubt_contradictions
def parse_reply(response: Response) -> VendorReply:
    """Parse the response to a push; a push in a loop has several ids.

    >>> parse_reply(Response(200, b'{"ret_code": 0, "push_id": "38956", "invalid_targe_list": ["t9"]}'))
    Accepted(message_id='38956', invalid_ids=('t9',))
    """
    payload = parse_json_body(response)
    push_id = payload.get("push_id")
    message_id = read_ids(push_id) if isinstance(push_id, list) else read_id(push_id)
    return _build_reply(response, payload, "" if message_id == "0" else message_id)


@doubt_contradictions
def parse_upload_reply(response: Response) -> VendorReply:
    """Parse the response to an upload, whose keys are in camel case.

    >>> parse_upload_reply(Response(200, b'{"retCode": 0, "errMsg": "", "uploadId": 7}'))
    Accepted(message_id='7', invalid_ids=())
    """
    payload = parse_json_body(response)
    upload_id = read_id(payload.get("uploadId"))
    return _build_reply(response, payload, upload_id if upload_id.isdecimal() else "")


def _build_reply(response: Response, payload: Payload, message_id: str) -> VendorReply:
    codes, messages = [[payload.get(key) for key in keys] for keys in (("ret_code", "retCode"), ("err_msg", "errMsg"))]
    code, message = read_code(*codes), str(next(filter(None, messages), ""))
    invalid_ids = read_id_list(payload.get("invalid_targe_list"))
    if message_id and (any(each is not None for each in codes) or not is_success(response)):
        return accept(response, message_id, code, invalid_ids)
    if row := BY_CODE.get(code):
        return reply_from_code(row, message, response, invalid_ids)
    return reply_from_status(response, f"{code} {message}".strip() if code else "")


def keeps_until_its_time(targets: Sequence[Payload]) -> bool:
    """Return whether TPNS keeps a push until its time: those to everyone, to tags and to packages of accounts."""
    return all(target.get("audience_type") in BULK_TYPES for target in targets)


SCHEDULE = VendorSchedule(
    accepts=keeps_until_its_time,
    apply=apply_send_time,
    max_ahead=timedelta(days=MAX_DAYS_AHEAD) - MIN_AHEAD,
    min_ahead=MIN_AHEAD,
    build_cancel=build_cancel,
    parse_cancel=parse_cancel,
    cancel_rate_limits=(LIST_RATE_LIMIT,),
    source=CANCEL_DOCS,
)
UPLOAD_SETUP = SetupCall(build_request=build_upload, parse_reply=parse_upload_reply, max_uses=1)
NATIVE = SendMethod(
    name="push",
    max_ids=None,
    build_request=build_push,
    parse_reply=parse_reply,
    rate_limits=push_rate_limits,
    source=PAGE,
    setup_call=replace(UPLOAD_SETUP, is_needed=is_account_package),
    check=push_problems,
    schedule=SCHEDULE,
)
LIST_PUSH = replace(NATIVE, name="token_list", max_ids=1_000, setup_call=None, schedule=None)
PACKAGE_PUSH = replace(
    NATIVE,
    name=TOKEN_PACKAGE,
    max_ids=MAX_PACKAGE_TOKENS,
    rate_limits=lambda targets: (BULK_RATE_LIMIT,),
    min_ids=10_000,  # ten full lists: their replies list the invalid tokens, that of a package does not
    source=PACKAGES_DOCS,
    setup_call=UPLOAD_SETUP,
    schedule=None,
)
DELIVERY = DeliverySpec(
    base_urls=BASE_URLS,
    required_keys=("access_id", "secret_key"),
    secret_keys=frozenset({"secret_key"}),
    optional_keys=OPTIONAL_KEYS,
    build_body=build_body,
    warnings=body_warnings,
    unsupported_fields=unsupported_fields,
    fit_message=lambda message, credentials: keep_platform(message, resolve_platform(credentials)),
    serves_one_platform=True,
    native_method=NATIVE,
    send_methods=(LIST_PUSH, PACKAGE_PUSH),
    sign=sign,
    error_codes=CODES,
    read_moments=read_moments,
)
