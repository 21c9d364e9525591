"""Alibaba EMAS Push: a target and its value; DeviceType narrows it.

https://help.aliyun.com/document_detail/48089.html, read 2026-11-21.
"""

from collections.abc import Sequence
from typing import Any

from audience.language.expr import Expr, all_of
from audience.vendors._emas import push, warned, ways
from audience.vendors._emas.calls import HOSTS, KEYS, SECRET
from audience.vendors._emas.replies import CODES
from audience.vendors._emas.signing import CHOICES, sign
from audience.vendors._emas.targeting import LIMITS, SHAPE, conditions, read, read_platform, target, unnamed, write
from audience.vendors.base import Payload, Vendor
from audience.vendors.reading import loaded
from audience.vendors.wire import Delivery

PAGE = "https://help.aliyun.com/document_detail/48089.html"


def parse(payload: Any) -> Expr:
    """Read `{"Target": …, "TargetValue": …}`, or a whole request that holds them.

    >>> from audience.language.render import render
    >>> render(parse({"Target": "TAG", "TargetValue": '{"and":[{"tag":"a"},{"not":{"tag":"b"}}]}'}))
    'a AND NOT b'
    """
    request = loaded(payload)
    kind = target(request, "Target", "$", 'the targeting object is {"Target": …, "TargetValue": …}')
    value = "ALL" if str(kind).upper() == "ALL" else target(request, "TargetValue", "$", "it says which")
    said = read(kind, value, "$.Target", "$.TargetValue")
    return all_of([said, *read_platform(request.get("DeviceType"), "$.DeviceType")])


def emit(expr: Expr) -> Payload:
    """Say *expr* in one request, or raise Unsaid with every reason.

    >>> from audience.language.parse import parse
    >>> emit(parse("NOT a AND NOT b AND c"))
    {'Target': 'TAG', 'TargetValue': '{"and":[{"not":{"tag":"a"}},{"not":{"tag":"b"}},{"tag":"c"}]}'}
    """
    kind, value = write(expr)
    return {"Target": kind, "TargetValue": value}


def listing(ids: Sequence[str]) -> Payload:
    """The targeting object of at most 1,000 device ids."""
    return {"Target": "DEVICE", "TargetValue": ",".join(ids)}


DELIVERY = Delivery(
    hosts=HOSTS,
    keys=KEYS,
    secret=SECRET,
    choices=CHOICES,
    body=push.body,
    lost=push.lost,
    warnings=warned.push,
    timed=push.timed,
    native=ways.NATIVE,
    ways=ways.WAYS,
    sign=sign,
    codes=CODES,
)
VENDOR = Vendor(
    name="emas",
    title="Alibaba EMAS Mobile Push (Push)",
    page=PAGE,
    read_on="2026-11-21",
    fragment="≤ 2 levels of and/or, ≤ 10 operands each, NOT on single tags beside a tag; or ids, alone",
    limits=LIMITS,
    known_by=("emas", "device_id"),
    shape=SHAPE,
    unnamed=unnamed,
    conditions=conditions,
    parse=parse,
    emit=emit,
    listing=listing,
    batch=1_000,
    id_forbids=",",
    delivery=DELIVERY,
)
