"""Alibaba EMAS Push: a target and its value; DeviceType narrows it.

https://help.aliyun.com/document_detail/48089.html, read 2026-11-21.
"""

from collections.abc import Sequence
from typing import Any

from audience.language.ast import Expr, all_of
from audience.vendors.emas import push, send_methods, warnings
from audience.vendors.emas.calls import TO_EMAS
from audience.vendors.emas.targeting import OF_EMAS, read, read_platform, target, write
from audience.vendors.payload_reader import loaded
from audience.vendors.spec import Payload

PAGE = "https://help.aliyun.com/document_detail/48089.html"


def parse(payload: Any) -> Expr:
    """Read `{"Target": …, "TargetValue": …}`, or a whole request that holds them.

    >>> from audience.language.printer import render
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

    >>> from audience.language.parser import parse
    >>> emit(parse("NOT a AND NOT b AND c"))
    {'Target': 'TAG', 'TargetValue': '{"and":[{"not":{"tag":"a"}},{"not":{"tag":"b"}},{"tag":"c"}]}'}
    """
    kind, value = write(expr)
    return {"Target": kind, "TargetValue": value}


def listing(ids: Sequence[str]) -> Payload:
    """The targeting object of at most 1,000 device ids."""
    return {"Target": "DEVICE", "TargetValue": ",".join(ids)}


DELIVERY = TO_EMAS(
    body=push.body,
    lost=push.lost,
    warnings=warnings.push,
    timed=push.timed,
    native=send_methods.NATIVE,
    ways=send_methods.WAYS,
)
VENDOR = OF_EMAS(
    name="emas",
    title="Alibaba EMAS Mobile Push (Push)",
    page=PAGE,
    read_on="2026-11-21",
    known_by=("emas", "device_id"),
    parse=parse,
    emit=emit,
    listing=listing,
    delivery=DELIVERY,
)
