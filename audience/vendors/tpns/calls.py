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
    Application,
    Call,
    Delivery,
    Opening,
    Pace,
    Reply,
    Request,
    Response,
    Stamp,
    Way,
)
from audience.vendors.error_codes import coded, codes, said, uncoded
from audience.vendors.payload_reader import dump
from audience.vendors.spec import Payload
from audience.vendors.tpns.id_lists import ACCOUNT_PACKAGE, TOKEN_PACKAGE, is_package, uploaded_as
from audience.vendors.tpns.limits import PACKAGES, PAGE
from audience.vendors.tpns.message import body, lost
from audience.vendors.tpns.message_rules import structures
from audience.vendors.tpns.packages import MOST_TOKENS, UPLOAD, upload
from audience.vendors.tpns.warnings import warnings

HOSTS = {
    "guangzhou": "https://api.tpns.tencent.com",
    "shanghai": "https://api.tpns.sh.tencent.com",
    "hong-kong": "https://api.tpns.hk.tencent.com",
    "singapore": "https://api.tpns.sgp.tencent.com",
}
CHOICES = {"platform": ("android", "ios"), "signature": ("hmac-sha256", "basic")}
JSON = {"Content-Type": "application/json; charset=utf-8"}
SPREAD = ("all", "tag", ACCOUNT_PACKAGE)  # whom the page lets some fields be for, and names a pace for
TOKENS = ("token", "token_list")
ACCOUNTS = ("account", "account_list", ACCOUNT_PACKAGE)
FOR_SPREAD = ("send_time", "loop_param", "push_speed", "collapse_id")
ONE_A_SECOND = Pace("all, tag and package", 1, 1.0, PAGE)  # the page names packages of accounts; we take all
LISTS = Pace("list", 100, 1.0, "chosen here: https://www.tencentcloud.com/document/product/1024/35286 names no limit")
CODES = codes(Path(__file__).with_name("codes.tsv"))
BY_CODE = {code.code: code for code in CODES}


def platform(application: Application) -> str:
    """The platform that the keys of *application* are for."""
    return application.keys.get("platform") or CHOICES["platform"][0]


def push(call: Call, application: Application) -> Request:
    """Tell the one target of *call*, or the package that its handle stands for.

    >>> body = {"message_type": "notify", "message": {"title": "Hi", "content": "there", "android": {}, "ios": {}}}
    >>> call = Call(targets=({"audience_type": "all"},), body=body, handle=None, token="t1")
    >>> push(call, Application("https://…", {"platform": "ios"})).content.decode()
    '{"message_type":"notify","message":{"title":"Hi","content":"there","ios":{}},"audience_type":"all"}'
    """
    target = _target(call)
    defaults = {"ignore_invalid_token": 1} if target["audience_type"] in TOKENS else {}
    content = dump({**defaults, **_of_platform(call.body, platform(application)), **target}).encode()
    return Request(method="POST", path="/v3/push/app", headers=JSON, content=content)


def _target(call: Call) -> Payload:
    if call.handle is not None:
        return uploaded_as(call.targets, int(call.handle))
    (target,) = call.targets
    return target


def _of_platform(body: Payload, name: str) -> Payload:
    """*body* without what is for the other platform; DeliveryError where nothing is for this one."""
    if name not in structures(body):
        raise DeliveryError(_wrong_platform(name))
    others = [each for each in structures(body) if each != name]
    message = {key: value for key, value in body["message"].items() if key not in others}
    without = {"environment"} if name == "android" else set()
    return {**{key: value for key, value in body.items() if key not in without}, "message": message}


def refuses(body: Payload, targets: Sequence[Payload], application: Application) -> Iterator[Problem]:
    """Why *body* cannot go to *targets*, or to this application's platform."""
    name = platform(application)
    if name not in structures(body):
        yield _wrong_platform(name)
    for kind in dict.fromkeys(str(target.get("audience_type")) for target in targets):
        for key in FOR_SPREAD:
            if key in body and kind not in SPREAD:
                hint = "TPNS takes it for everyone, and for tags"
                yield Problem("no-such-target", f"{key} is not for {kind}", path=f"$.{key}", hint=hint)
        if "account_type" in body and kind not in ACCOUNTS:
            yield Problem("no-such-target", f"account_type is not for {kind}", path="$.account_type")


def _wrong_platform(name: str) -> Problem:
    message = f"the message is not for {name}, and the application is"
    return Problem(
        "wrong-platform", message, path="$.message", hint="the application's key `platform` says which it is"
    )


def paces(targets: Sequence[Payload]) -> tuple[Pace, ...]:
    """One call a second to everyone, to tags and to packages; lists are of no limit at the vendor."""
    return (ONE_A_SECOND,) if any(target.get("audience_type") in SPREAD for target in targets) else (LISTS,)


def sign(request: Request, application: Application, stamp: Stamp) -> Request:
    """The headers Sign, AccessId and TimeStamp, or Basic; for uploads the page knows Basic alone.

    A Sign is the base64 of the lower-case hexadecimal digits of HMAC-SHA256 over time, access_id and content.
    """
    name, secret = application.keys["access_id"], application.keys["secret_key"]
    if request.path == UPLOAD or application.keys.get("signature") == "basic":
        added = {"Authorization": f"Basic {b64encode(f'{name}:{secret}'.encode()).decode()}"}
    else:
        time = str(int(stamp.at.timestamp()))
        digits = hmac.new(secret.encode(), f"{time}{name}".encode() + request.content, "sha256").hexdigest()
        added = {"Sign": b64encode(digits.encode()).decode(), "AccessId": name, "TimeStamp": time}
    return replace(request, headers={**request.headers, **added})


def reply(response: Response) -> Reply:
    """What *response* to a push means; a push in a loop has several ids.

    >>> reply(Response(200, b'{"ret_code": 0, "push_id": "38956", "invalid_targe_list": ["t9"]}'))
    Accepted(message='38956', left_out=('t9',))
    """
    found = said(response)
    push_id = found.get("push_id")
    names = push_id if isinstance(push_id, list) else [] if push_id is None else [push_id]
    return _reply(response, found, "ret_code", "err_msg", ",".join(map(str, names)))


def uploaded(response: Response) -> Reply:
    """What *response* to an upload means; its keys are written another way.

    >>> uploaded(Response(200, b'{"retCode": 0, "errMsg": "", "uploadId": 7}'))
    Accepted(message='7', left_out=())
    """
    found = said(response)
    number = found.get("uploadId")
    name = str(number) if isinstance(number, int | str) and str(number).isdecimal() else ""
    return _reply(response, found, "retCode", "errMsg", name)


def _reply(response: Response, found: Payload, key: str, words_key: str, name: str) -> Reply:
    code, words, listed = found.get(key), str(found.get(words_key) or ""), found.get("invalid_targe_list")
    left_out = tuple(map(str, listed)) if isinstance(listed, list) else ()
    if code in (0, "0") and name and 200 <= response.status < 300:
        return Accepted(name, left_out)
    known = BY_CODE.get(str(code))
    if known:
        return coded(known, words, response, left_out)
    return uncoded(response, "" if code is None else f"{code} {words}".strip())


UPLOADED = Opening(request=upload, reply=uploaded, calls=1)
NATIVE = Way(
    name="push",
    ids=None,
    request=push,
    reply=reply,
    paces=paces,
    source=PAGE,
    opening=replace(UPLOADED, needed=is_package),
    refuses=refuses,
)
LIST = replace(NATIVE, name="token_list", ids=1_000, opening=None)
PACKAGE = replace(
    NATIVE,
    name=TOKEN_PACKAGE,
    ids=MOST_TOKENS,
    paces=lambda targets: (ONE_A_SECOND,),
    worth=10_000,  # ten full lists: those name the tokens that were left out, and a package does not
    source=PACKAGES,
    opening=UPLOADED,
)
DELIVERY = Delivery(
    hosts=HOSTS,
    keys=("access_id", "secret_key"),
    secret=frozenset({"secret_key"}),
    choices=CHOICES,
    body=body,
    warnings=warnings,
    lost=lost,
    native=NATIVE,
    ways=(LIST, PACKAGE),
    sign=sign,
    codes=CODES,
)
