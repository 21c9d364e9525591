"""Calls of Xiaomi Push: forms that are posted to `/v3/message/…`, a path for each kind of target.

Sources: https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559; hosts abroad
https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1696; that of large applications is HOST_VIP of Xiaomi's SDK;
rates and ids in a call https://cloud.tencent.com/document/product/548/41407. Accounts have a path of v2 only. The page
asks for a payload that is quoted: it is read as the quoting that any value of a form has.

Xiaomi drops no repeats. A device shows the first message with a `jobkey` and none after it, so each batch has one: a
batch that the user decides to send again is seen once by those whom its first call has reached.

The calls of up to 1,000 devices with a message each, `/v2/multi_messages/…`, are not used: every device is a message.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from urllib.parse import urlencode

from audience.errors import Problem
from audience.vendors.delivery_spec import (
    Credentials,
    DeliverySpec,
    RateLimit,
    Request,
    SendCall,
    SendMethod,
    SigningContext,
    VendorSchedule,
    always,
)
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload
from audience.vendors.xiaomi.message import SUPPORT, build_body, unsupported_fields
from audience.vendors.xiaomi.replies import CODES, parse_cancel, parse_reply
from audience.vendors.xiaomi.schedule import (
    FORM_HEADERS,
    MAX_AHEAD,
    MIN_AHEAD,
    SCHEDULE_DOCS,
    apply_time_to_send,
    build_cancel,
    read_moments,
    require_future,
)
from audience.vendors.xiaomi.targeting import MAX_IDS, PAGE, QPS_PAGE
from audience.vendors.xiaomi.warnings import body_warnings

BASE_URLS = {
    "china": "https://api.xmpush.xiaomi.com",
    "china_vip": "https://vip.api.xmpush.xiaomi.com",
    "singapore": "https://sgp-api.xmpush.global.xiaomi.com",  # all countries that have no host of their own
    "europe": "https://fr-api.xmpush.global.xiaomi.com",
    "russia": "https://ru-api.xmpush.global.xiaomi.com",
    "india": "https://idmb-api.xmpush.global.xiaomi.com",
}
V2_PATHS = ("user_account",)  # of which the page has no v3
RATE_LIMIT = RateLimit("call", 500, 1.0, QPS_PAGE)  # of an app with few users; of 10 million it is 3,000
PACKAGE = r"[A-Za-z]\w*(\.[A-Za-z]\w*)+"
PACKAGES = re.compile(f"{PACKAGE}(,{PACKAGE})*", re.ASCII)
JOBKEY_BYTES = 6  # 12 characters: more are allowed in newer pages only


def build_push(call: SendCall, credentials: Credentials) -> Request:
    """Build the message to the one target of *call*, which the path names.

    >>> body = {"title": "Hi", "description": "there", "extra": {"channel_id": "1", "jobkey": "k"}}
    >>> call = SendCall(targets=({"topic": {"topic": "a b"}},), body=body, handle=None, idempotency_key="k")
    >>> request = build_push(call, Credentials("https://…", {"package_name": "com.example"}))
    >>> request.path
    '/v3/message/topic'
    >>> request.content
    b'restricted_package_name=com.example&title=Hi&description=there&extra.jobkey=k&extra.channel_id=1&topic=a+b'
    """
    (target,) = call.targets
    ((name, fields),) = target.items()
    packages = {"restricted_package_name": credentials.keys["package_name"]}
    form = {**packages, **flatten_extra(add_jobkey(call.body, call.idempotency_key)), **fields}
    path = f"/v{2 if name in V2_PATHS else 3}/message/{name}"
    return Request(method="POST", path=path, headers=FORM_HEADERS, content=urlencode(form).encode())


def add_jobkey(body: Payload, idempotency_key: str) -> Payload:
    """Return *body* with a `jobkey` of its own for each batch, unless it has one.

    >>> add_jobkey({"title": "Hi"}, "k1")
    {'title': 'Hi', 'extra': {'jobkey': '923192dea76b'}}
    """
    jobkey = blake2b(idempotency_key.encode(), digest_size=JOBKEY_BYTES).hexdigest()
    return {**body, "extra": {"jobkey": jobkey, **get_in(body, "extra")}}


def flatten_extra(body: Payload) -> dict[str, str]:
    """Return the fields of a form: those of `extra` have their names behind a dot.

    >>> flatten_extra({"pass_through": 0, "extra": {"callback.type": "3"}})
    {'pass_through': '0', 'extra.callback.type': '3'}
    """
    own = {key: str(value) for key, value in body.items() if key != "extra"}
    return own | {f"extra.{key}": value for key, value in get_in(body, "extra").items()}


def sign(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    """Add the secret of the app; the word before it is in lower case."""
    return replace(request, headers={**request.headers, "Authorization": f"key={credentials.keys['app_secret']}"})


def check_keys(keys: Mapping[str, str]) -> Iterator[Problem]:
    """Find a package name that is none: without one, a message could reach other apps of the same account.

    >>> [problem.code for problem in check_keys({"package_name": "com.example, com.example.lite"})]
    ['bad-key']
    """
    if not PACKAGES.fullmatch(keys["package_name"]):
        hint = "write it like com.example.app; several with a comma between them, and no space"
        yield Problem("bad-key", f"package_name: expected package names, found {keys['package_name']!r}", hint=hint)


NATIVE = SendMethod(
    name="message",
    max_ids=None,
    build_request=build_push,
    parse_reply=parse_reply,
    rate_limits=lambda targets: (RATE_LIMIT,),
    source=PAGE,
    schedule=VendorSchedule(
        accepts=always,
        apply=apply_time_to_send,
        max_ahead=MAX_AHEAD - MIN_AHEAD,
        min_ahead=MIN_AHEAD,
        build_cancel=build_cancel,
        parse_cancel=parse_cancel,
        cancel_rate_limits=(RATE_LIMIT,),
        source=SCHEDULE_DOCS,
    ),
)
DELIVERY = DeliverySpec(
    base_urls=BASE_URLS,
    required_keys=("package_name", "app_secret"),
    secret_keys=frozenset({"app_secret"}),
    build_body=build_body,
    warnings=body_warnings,
    unsupported_fields=unsupported_fields,
    native_method=NATIVE,
    send_methods=(replace(NATIVE, name="regid", max_ids=MAX_IDS),),
    sign=sign,
    error_codes=CODES,
    apply_timestamps=require_future,
    read_moments=read_moments,
    default_platforms=SUPPORT.default_platforms,
    check_keys=check_keys,
)
