"""Devices, a clock that is moved by hand, and calls as vendors get them, without HTTP."""

import json
from datetime import UTC, datetime
from itertools import count
from urllib.parse import unquote, urlsplit

import polars as pl

from audience.sandbox import Population
from audience.sandbox.http_types import HttpCall
from audience.sandbox.router import Router

TABLE = pl.DataFrame(
    {
        "registration_id": ["r1", "r2", "r3", "r4"],
        "tags": [["a", "b"], ["a"], ["b", "c"], None],
        "vip": [False, None, False, True],
        "province": ["guangdong", "hunan", "hunan", None],
        "active": [datetime(2020, 4, 8).date(), None, datetime(2020, 4, 7).date(), datetime(2020, 4, 8).date()],
        "age": [20, 20, 30, None],
        "alias": ["u1", "u2", "u3", None],
        "account": [["x1"], ["x1"], ["x2"], None],
        "platform": ["android", "ios", "android", "ANDROID"],
        "live_activity_id": [None, "order-1", None, None],
    }
)
TAG_NAMES = ["a", "b", "c", "d"]
ALL_TAG_SETS = pl.DataFrame(  # one device for each set of tags
    {
        "registration_id": [f"r{number}" for number in range(16)],
        "tags": [[name for place, name in enumerate(TAG_NAMES) if number >> place & 1] for number in range(16)],
    }
)
BASIC_AUTH = {"authorization": "Basic azpz"}  # k:s
NONCES = count()
NOTIFICATION = {"platform": "all", "notification": {"alert": "x"}}


START = datetime(2026, 12, 1, tzinfo=UTC).timestamp()  # when a manual clock begins


class ManualClock:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = START

    def __call__(self) -> float:
        return self.now


def make_router(table=TABLE, **options) -> Router:
    return Router(Population(table), **{"clock": ManualClock()} | options)


def send_call(router: Router, vendor: str, call: HttpCall):
    """The reply to *call*, with the faults that it meets."""
    return router.handle_call(vendor, call, router.pick_faults(vendor, call))


def engagelab_call(body, path="/v4/push"):
    return HttpCall(
        "POST", path, headers=BASIC_AUTH, body=json.dumps(body).encode() if not isinstance(body, bytes) else body
    )


def tpns_call(body):
    return engagelab_call(body, "/v3/push/app")


def jpush_call(body):
    return engagelab_call(body, "/v3/push")


def upload_call(name: str, data: bytes) -> HttpCall:
    return HttpCall("POST", "/v3/push/package/upload", headers=BASIC_AUTH, file=(name, data))


def emas_call(action: str, at: float = START, **parameters) -> HttpCall:
    """A call of version 1; no one has said the secret of `somebody`, so that any signature will do."""
    moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    common = {"Action": action, "Version": "2016-08-01", "AppKey": "1", "AccessKeyId": "somebody", "Signature": "any"}
    common |= {"SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0", "Timestamp": moment}
    return HttpCall("GET", "/", query={**common, "SignatureNonce": str(next(NONCES)), **parameters})


def emas_push_call(**parameters) -> HttpCall:
    known = {"PushType": "NOTICE", "DeviceType": "ALL", "Target": "ALL", "TargetValue": "ALL", "Title": "t"}
    return emas_call("Push", **known | parameters)


def emas_push_v2_call(task, **parameters) -> HttpCall:
    known = {"Target": {"Type": "ALL"}, "Message": {"Title": "t", "Body": "b"}}
    return emas_call("PushV2", PushTask=json.dumps(known | task), **parameters)


def tpns_message(**fields):
    return {"message_type": "notify", "message": {"title": "t", "content": "c"}, **fields}


def read_registration_tags(request):
    """Yield the changes in a call of EngageLab or JPush for tags."""
    *_, kind, name = urlsplit(request.path).path.split("/")
    body = json.loads(request.content)
    (lists,) = body.values()
    for direction in ("add", "remove"):
        for value in lists.get(direction, ()):
            assert lists[direction]
            yield (direction, value, unquote(name)) if kind == "tags" else (direction, unquote(name), value)
    assert list(body) == (["registration_ids"] if kind == "tags" else ["tags"])
