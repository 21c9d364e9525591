"""Devices, a clock that is moved by hand, and calls as vendors get them, without HTTP."""

import json
from datetime import UTC, datetime
from itertools import count

import polars as pl

from audience.sandbox import Population
from audience.sandbox.http_types import Call
from audience.sandbox.router import Desks

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
NAMES = ["a", "b", "c", "d"]
EVERY = pl.DataFrame(  # one device for each set of tags
    {
        "registration_id": [f"r{number}" for number in range(16)],
        "tags": [[name for place, name in enumerate(NAMES) if number >> place & 1] for number in range(16)],
    }
)
ANYBODY = {"authorization": "Basic azpz"}  # k:s
NONCES = count()
NOTIFICATION = {"platform": "all", "notification": {"alert": "x"}}


class Clock:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def desks_of(table=TABLE, **more) -> Desks:
    return Desks(Population(table), **{"clock": Clock()} | more)


def say(desks: Desks, vendor: str, call: Call):
    """The reply to *call*, with the faults that it meets."""
    return desks.answer(vendor, call, desks.pick(vendor, call))


def engagelab(said, path="/v4/push"):
    return Call("POST", path, headers=ANYBODY, body=json.dumps(said).encode() if not isinstance(said, bytes) else said)


def tpns(said):
    return engagelab(said, "/v3/push/app")


def jpush(said):
    return engagelab(said, "/v3/push")


def upload(name: str, data: bytes) -> Call:
    return Call("POST", "/v3/push/package/upload", headers=ANYBODY, file=(name, data))


def emas(action: str, **said) -> Call:
    """A call of version 1; no one has said the secret of `somebody`, so that any signature will do."""
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    common = {"Action": action, "Version": "2016-08-01", "AppKey": "1", "AccessKeyId": "somebody", "Signature": "any"}
    common |= {"SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0", "Timestamp": moment}
    return Call("GET", "/", query={**common, "SignatureNonce": str(next(NONCES)), **said})


def push(**said) -> Call:
    known = {"PushType": "NOTICE", "DeviceType": "ALL", "Target": "ALL", "TargetValue": "ALL", "Title": "t"}
    return emas("Push", **known | said)


def push_v2(task, **said) -> Call:
    known = {"Target": {"Type": "ALL"}, "Message": {"Title": "t", "Body": "b"}}
    return emas("PushV2", PushTask=json.dumps(known | task), **said)


def message(**said):
    return {"message_type": "notify", "message": {"title": "t", "content": "c"}, **said}
