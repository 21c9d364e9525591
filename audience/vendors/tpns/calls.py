"""The calls of TPNS: `POST /v3/push/app`, the upload of packages, and what their replies mean.

https://www.tencentcloud.com/document/product/1024/33764; for signatures
https://www.tencentcloud.com/document/product/1024/34213. Accounts are said natively, all in one call: what is looked
up here are tokens.

A list says `ignore_invalid_token: 1`: all others of the list are told by that one call, and the reply names exactly the
tokens that were left out. With 0 the call fails without naming any, and each bad token costs some 20 calls to be found.
"""

import hmac
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from audience.errors import DeliveryError, Problem
from audience.vendors.delivery_spec import (
    Accepted,
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
)
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.payload_reader import dump_json
from audience.vendors.spec import Payload
from audience.vendors.tpns.id_lists import ACCOUNT_PACKAGE, TOKEN_PACKAGE, is_account_package, upload_target
from audience.vendors.tpns.limits import PACKAGES_DOCS, PAGE
from audience.vendors.tpns.message import build_body, unsupported_fields
from audience.vendors.tpns.message_rules import target_platforms
from audience.vendors.tpns.packages import MAX_PACKAGE_TOKENS, UPLOAD_PATH, build_upload
from audience.vendors.tpns.warnings import body_warnings

BASE_URLS = {
    "guangzhou": "https://api.tpns.tencent.com",
    "shanghai": "https://api.tpns.sh.tencent.com",
    "hong-kong": "https://api.tpns.hk.tencent.com",
    "singapore": "https://api.tpns.sgp.tencent.com",
}
OPTIONAL_KEYS = {"platform": ("android", "ios"), "signature": ("hmac-sha256", "basic")}
JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8"}
BULK_TYPES = ("all", "tag", ACCOUNT_PACKAGE)  # whom the page lets some fields be for, and names a pace for
TOKEN_TYPES = ("token", "token_list")
ACCOUNT_TYPES = ("account", "account_list", ACCOUNT_PACKAGE)
BULK_ONLY_FIELDS = ("send_time", "loop_param", "push_speed", "collapse_id")
BULK_RATE_LIMIT = RateLimit("all, tag and package", 1, 1.0, PAGE)  # the page names packages of accounts; we take all
LIST_RATE_LIMIT = RateLimit(
    "list", 100, 1.0, "chosen here: https://www.tencentcloud.com/document/product/1024/35286 names no limit"
)
CODES = load_codes(Path(__file__).with_name("codes.tsv"))
BY_CODE = {code.code: code for code in CODES}


def resolve_platform(credentials: Credentials) -> str:
    """The platform that the keys of *application* are for."""
    return credentials.keys.get("platform") or OPTIONAL_KEYS["platform"][0]


def build_push(call: SendCall, credentials: Credentials) -> Request:
    """Tell the one target of *call*, or the package that its handle stands for.

    >>> body = {"message_type": "notify", "message": {"title": "Hi", "content": "there", "android": {}, "ios": {}}}
    >>> call = SendCall(targets=({"audience_type": "all"},), body=body, handle=None, idempotency_key="t1")
    >>> build_push(call, Credentials("https://…", {"platform": "ios"})).content.decode()
    '{"message_type":"notify","message":{"title":"Hi","content":"there","ios":{}},"audience_type":"all"}'
    """
    target = _target_payload(call)
    defaults = {"ignore_invalid_token": 1} if target["audience_type"] in TOKEN_TYPES else {}
    content = dump_json({**defaults, **_keep_platform(call.body, resolve_platform(credentials)), **target}).encode()
    return Request(method="POST", path="/v3/push/app", headers=JSON_HEADERS, content=content)


def _target_payload(call: SendCall) -> Payload:
    if call.handle is not None:
        return upload_target(call.targets, int(call.handle))
    (target,) = call.targets
    return target


def _keep_platform(body: Payload, platform: str) -> Payload:
    """*body* without what is for the other platform; DeliveryError where nothing is for this one."""
    if platform not in target_platforms(body):
        raise DeliveryError(_platform_problem(platform))
    others = [each for each in target_platforms(body) if each != platform]
    message = {key: value for key, value in body["message"].items() if key not in others}
    without = {"environment"} if platform == "android" else set()
    return {**{key: value for key, value in body.items() if key not in without}, "message": message}


def push_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    """Why *body* cannot go to *targets*, or to this application's platform."""
    name = resolve_platform(credentials)
    if name not in target_platforms(body):
        yield _platform_problem(name)
    for kind in dict.fromkeys(str(target.get("audience_type")) for target in targets):
        for key in BULK_ONLY_FIELDS:
            if key in body and kind not in BULK_TYPES:
                hint = "TPNS takes it for everyone, and for tags"
                yield Problem("no-such-target", f"{key} is not for {kind}", path=f"$.{key}", hint=hint)
        if "account_type" in body and kind not in ACCOUNT_TYPES:
            yield Problem("no-such-target", f"account_type is not for {kind}", path="$.account_type")


def _platform_problem(platform: str) -> Problem:
    message = f"the message is not for {platform}, and the application is"
    return Problem(
        "wrong-platform", message, path="$.message", hint="the application's key `platform` says which it is"
    )


def push_rate_limits(targets: Sequence[Payload]) -> tuple[RateLimit, ...]:
    """One call a second to everyone, to tags and to packages; lists are of no limit at the vendor."""
    return (
        (BULK_RATE_LIMIT,)
        if any(target.get("audience_type") in BULK_TYPES for target in targets)
        else (LIST_RATE_LIMIT,)
    )


def sign(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    """The headers Sign, AccessId and TimeStamp, or Basic; for uploads the page knows Basic alone.

    A Sign is the base64 of the lower-case hexadecimal digits of HMAC-SHA256 over time, access_id and content.
    """
    name, secret = credentials.keys["access_id"], credentials.keys["secret_key"]
    if request.path == UPLOAD_PATH or credentials.keys.get("signature") == "basic":
        added = {"Authorization": f"Basic {b64encode(f'{name}:{secret}'.encode()).decode()}"}
    else:
        time = str(int(context.now.timestamp()))
        digits = hmac.new(secret.encode(), f"{time}{name}".encode() + request.content, "sha256").hexdigest()
        added = {"Sign": b64encode(digits.encode()).decode(), "AccessId": name, "TimeStamp": time}
    return replace(request, headers={**request.headers, **added})


def parse_reply(response: Response) -> VendorReply:
    """What *response* to a push means; a push in a loop has several ids.

    >>> parse_reply(Response(200, b'{"ret_code": 0, "push_id": "38956", "invalid_targe_list": ["t9"]}'))
    Accepted(message_id='38956', invalid_ids=('t9',))
    """
    found = parse_json_body(response)
    push_id = found.get("push_id")
    names = push_id if isinstance(push_id, list) else [] if push_id is None else [push_id]
    return _build_reply(response, found, "ret_code", "err_msg", ",".join(map(str, names)))


def parse_upload_reply(response: Response) -> VendorReply:
    """What *response* to an upload means; its keys are written another way.

    >>> parse_upload_reply(Response(200, b'{"retCode": 0, "errMsg": "", "uploadId": 7}'))
    Accepted(message_id='7', invalid_ids=())
    """
    found = parse_json_body(response)
    number = found.get("uploadId")
    name = str(number) if isinstance(number, int | str) and str(number).isdecimal() else ""
    return _build_reply(response, found, "retCode", "errMsg", name)


def _build_reply(response: Response, payload: Payload, code_key: str, message_key: str, message_id: str) -> VendorReply:
    code, words, listed = payload.get(code_key), str(payload.get(message_key) or ""), payload.get("invalid_targe_list")
    left_out = tuple(map(str, listed)) if isinstance(listed, list) else ()
    if code in (0, "0") and message_id and 200 <= response.status < 300:
        return Accepted(message_id, left_out)
    known = BY_CODE.get(str(code))
    if known:
        return reply_from_code(known, words, response, left_out)
    return reply_from_status(response, "" if code is None else f"{code} {words}".strip())


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
)
LIST_PUSH = replace(NATIVE, name="token_list", max_ids=1_000, setup_call=None)
PACKAGE_PUSH = replace(
    NATIVE,
    name=TOKEN_PACKAGE,
    max_ids=MAX_PACKAGE_TOKENS,
    rate_limits=lambda targets: (BULK_RATE_LIMIT,),
    min_ids=10_000,  # ten full lists: those name the tokens that were left out, and a package does not
    source=PACKAGES_DOCS,
    setup_call=UPLOAD_SETUP,
)
DELIVERY = DeliverySpec(
    base_urls=BASE_URLS,
    required_keys=("access_id", "secret_key"),
    secret_keys=frozenset({"secret_key"}),
    optional_keys=OPTIONAL_KEYS,
    build_body=build_body,
    warnings=body_warnings,
    unsupported_fields=unsupported_fields,
    native_method=NATIVE,
    send_methods=(LIST_PUSH, PACKAGE_PUSH),
    sign=sign,
    error_codes=CODES,
)
