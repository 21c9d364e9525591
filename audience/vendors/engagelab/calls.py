"""The calls of EngageLab: `POST /v4/push`, its dry run, and what their replies mean.

https://www.engagelab.com/docs/app-push/rest-api/create-push-api; the hosts and the dry run are those of the vendor's
own client, the Python package engagelab-apppush. Its calls of up to 500 targets, `/v4/batch/push/…`, are left
alone: each target counts as a call, and on too many a part of them is told.

A request is never repeated where its fate is unknown: `options.cid` of the client may be meant for that, but no page
says how long it holds.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.vendors.delivery_spec import (
    Accepted,
    Application,
    Call,
    Delivery,
    Pace,
    Reply,
    Request,
    Response,
    Stamp,
    Way,
)
from audience.vendors.engagelab.message import body, lost
from audience.vendors.engagelab.targeting import PAGE
from audience.vendors.engagelab.warnings import warnings
from audience.vendors.error_codes import coded, codes, said, uncoded
from audience.vendors.payload_reader import dump
from audience.vendors.schema_check import at
from audience.vendors.spec import Payload

HOSTS = {
    "singapore": "https://pushapi-sgp.engagelab.com",
    "hong-kong": "https://pushapi-hk.engagelab.com",
    "virginia": "https://pushapi-usva.engagelab.com",
    "frankfurt": "https://pushapi-defra.engagelab.com",
    "japan": "https://pushapi-jpn.engagelab.com",
    "brazil": "https://pushapi-bra.engagelab.com",
}
JSON = {"Content-Type": "application/json; charset=utf-8", "Accept": "application/json"}
PUSHES = Pace("push", 500, 1.0, PAGE)
CODES = codes(Path(__file__).with_name("codes.tsv"))
BY_CODE = {code.code: code for code in CODES}


def push(call: Call, application: Application) -> Request:
    """Tell the one target of *call*; the vendor hands `request_id` back, which is the call's token unless one is given.

    >>> call = Call(targets=({"to": "all"},), body={"body": {"platform": "all"}}, handle=None, token="t1")
    >>> push(call, Application("https://…", {})).content
    b'{"request_id":"t1","body":{"platform":"all"},"to":"all"}'
    """
    return _post("/v4/push", call)


def validate(call: Call, application: Application) -> Request:
    """The same request, checked by the vendor and told to nobody."""
    return _post("/v4/push/validate", call)


def _post(path: str, call: Call) -> Request:
    (target,) = call.targets
    content = dump({"request_id": call.token, **call.body, **target}).encode()
    return Request(method="POST", path=path, headers=JSON, content=content)


def sign(request: Request, application: Application, stamp: Stamp) -> Request:
    """Basic authentication: base64 of app_key:master_secret."""
    keys = f"{application.keys['app_key']}:{application.keys['master_secret']}"
    return replace(request, headers={**request.headers, "Authorization": f"Basic {b64encode(keys.encode()).decode()}"})


def reply(response: Response) -> Reply:
    """What *response* means; the page names the id of a message both message_id and msg_id.

    >>> reply(Response(200, b'{"request_id": "18", "msg_id": "1828256757"}'))
    Accepted(message='1828256757', left_out=())
    """
    found = said(response)
    error = found["error"] if isinstance(found.get("error"), dict) else found
    code, words = error.get("code"), error.get("message")
    if code:
        known = BY_CODE.get(str(code))
        return coded(known, str(words or ""), response) if known else uncoded(response, f"{code} {words or ''}".strip())
    name = found.get("message_id") or found.get("msg_id")
    if 200 <= response.status < 300 and name:
        return Accepted(str(name))
    return uncoded(response)


def refuses(body: Payload, targets: Sequence[Payload], application: Application) -> Iterator[Problem]:
    """Why *body* cannot go to *targets*: whom a live activity can be started and changed for."""
    event, path = at(body, "body", "live_activity", "ios").get("event"), "$.body.live_activity"
    for target in targets:
        to: Any = target.get("to")
        if event == "start" and to != "all" and set(to) != {"registration_id"}:
            message = "a live activity starts for everyone or for ids alone: 21051"
            yield Problem("no-such-target", message, path=path, hint="send by ids")
        if event in ("update", "end") and "live_activity_id" not in to:
            message, hint = "a live activity is changed by its name", "live_activity_id(NAME) is the expression for it"
            yield Problem("no-such-target", message, path=path, hint=hint)


NATIVE = Way(
    name="push",
    ids=None,
    request=push,
    reply=reply,
    paces=lambda targets: (PUSHES,),
    source=PAGE,
    refuses=refuses,
)
DELIVERY = Delivery(
    hosts=HOSTS,
    keys=("app_key", "master_secret"),
    secret=frozenset({"master_secret"}),
    body=body,
    warnings=warnings,
    lost=lost,
    native=NATIVE,
    ways=(replace(NATIVE, name="registration_id", ids=1_000),),
    sign=sign,
    codes=CODES,
    dry_run=validate,
)
