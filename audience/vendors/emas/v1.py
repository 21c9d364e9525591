"""Vendor record of Alibaba EMAS Push: a target and its value, narrowed by DeviceType.

Source: https://help.aliyun.com/document_detail/48089.html, read 2026-11-21.
"""

from collections.abc import Sequence
from typing import Any

from audience.language.ast import Expr, all_of
from audience.vendors.emas import push, schedule, send_methods, warnings
from audience.vendors.emas.calls import emas_delivery
from audience.vendors.emas.mass_push import join_tasks, read_numbered_tasks, read_request
from audience.vendors.emas.tags import TAGS
from audience.vendors.emas.targeting import emas_vendor, read_platform, read_target, write_target
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.platform_field import PlatformField, write_single_field
from audience.vendors.spec import Payload

PAGE = "https://help.aliyun.com/document_detail/48089.html"

PLATFORMS = PlatformField(
    names=push.DEVICE_TYPES,
    write=write_single_field("DeviceType"),
    max_named=1,  # or ALL
    all_platforms=tuple(push.DEVICE_TYPES),
)


def parse(payload: Any) -> Expr:
    """Read `{"Target": …, "TargetValue": …}`, or a whole request: of Push, or of MassPush, whose tasks are a union.

    >>> from audience.language.printer import render
    >>> render(parse({"Target": "TAG", "TargetValue": '{"and":[{"tag":"a"},{"not":{"tag":"b"}}]}'}))
    'a AND NOT b'
    """
    request = read_request(payload)
    if "Target" not in request and (tasks := read_numbered_tasks(request)):
        return join_tasks(tasks, "Target", _read_task)
    return _read_task(request)


def _read_task(request: PayloadCursor) -> Expr:
    kind = request.require("Target", 'the targeting object is {"Target": …, "TargetValue": …}')
    return all_of([read_target(kind, request, "TargetValue"), *read_platform(request["DeviceType"], PLATFORMS)])


def emit(expr: Expr) -> Payload:
    """Write *expr* as the targeting of one request, or raise Unsupported with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("NOT a AND NOT b AND c"))
    {'Target': 'TAG', 'TargetValue': '{"and":[{"not":{"tag":"a"}},{"not":{"tag":"b"}},{"tag":"c"}]}'}
    """
    kind, value = write_target(expr)
    return {"Target": kind, "TargetValue": value}


def target_ids(ids: Sequence[str]) -> Payload:
    """Write the targeting of at most 1,000 device ids."""
    return {"Target": "DEVICE", "TargetValue": ",".join(ids)}


DELIVERY = emas_delivery(
    build_body=push.build_body,
    unsupported_fields=push.unsupported_fields,
    warnings=warnings.push_warnings,
    apply_timestamps=push.apply_timestamps,
    read_moments=schedule.read_push_time,
    native_method=send_methods.NATIVE,
    send_methods=send_methods.SEND_METHODS,
)
VENDOR = emas_vendor(
    name="emas",
    title="Alibaba EMAS Mobile Push (Push)",
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    id_columns=("emas",),
    parse=parse,
    emit=emit,
    target_ids=target_ids,
    platforms=PLATFORMS,
    delivery=DELIVERY,
    tags=TAGS,
)
