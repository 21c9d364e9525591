"""Vendor record of Alibaba EMAS PushV2: the target of Push as one object, with its platform inside.

Source: https://help.aliyun.com/document_detail/2979224.html, read 2026-11-21.
"""

from collections.abc import Sequence
from typing import Any

from audience.language.ast import Expr, all_of
from audience.vendors.emas import push_task, schedule, send_methods_v2, warnings
from audience.vendors.emas.calls import emas_delivery
from audience.vendors.emas.mass_push import join_tasks, read_request, read_task_list
from audience.vendors.emas.tags import TAGS
from audience.vendors.emas.targeting import ID_KINDS_BY_TARGET, emas_vendor, read_platform, read_target, write_target
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.platform_field import PlatformField, write_single_field
from audience.vendors.spec import Payload

PAGE = "https://help.aliyun.com/document_detail/2979224.html"

# The page shows IOS only. HMOS is the name that a PushTask has for the fields of HarmonyOS.
PLATFORMS = PlatformField(
    names=push_task.PLATFORM_WORDS,
    write=write_single_field("Target", "Platform"),
    max_named=1,
    undocumented=("android", "harmonyos"),
)


def parse(payload: Any) -> Expr:
    """Read `{"Target": {"Type": …, "Value": …}}`, a PushTask, or a whole request; each may be JSON text.

    The tasks of a request of MassPushV2 are a union.

    >>> parse({"PushTask": '{"Target": {"Type": "ALL"}}'})
    Everyone()
    """
    request = read_request(payload)
    if "PushTasks" in request:
        tasks = read_task_list(request["PushTasks"])
        return join_tasks([_read_target_object(task) for task in tasks], "Type", _read_target)
    if "PushTask" in request:
        request = request["PushTask"].json_object()
    return _read_target(_read_target_object(request))


def _read_target_object(request: PayloadCursor) -> PayloadCursor:
    """Return the target of a task, which names all of its devices."""
    for key in ("Platform", "DeviceType", "TargetValue"):
        if key in request:
            request[key].fail(
                "misplaced-key", f"{key} has no effect here", "move it into Target: Type, Value, Platform"
            )
    if request["Action"].value == "CREATE_CONTINUOUS_PUSH":
        request["Action"].fail("opaque", "later calls (CONTINUOUS_PUSH) name its devices", "read those calls instead")
    target = request.require("Target", 'the targeting object is {"Target": {"Type": …, "Value": …}}').json_object()
    kind = target.only(("Type", "Value", "Platform")).require("Type", "DEVICE, ALIAS, ACCOUNT, TAG or ALL")
    if request["Action"].value == "CONTINUOUS_PUSH" and str(kind.value).upper() not in ID_KINDS_BY_TARGET:
        kind.fail("unknown-value", f"CONTINUOUS_PUSH does not take {kind.value}", "DEVICE, ACCOUNT or ALIAS")
    return target


def _read_target(target: PayloadCursor) -> Expr:
    return all_of([read_target(target["Type"], target, "Value"), *read_platform(target["Platform"], PLATFORMS)])


def emit(expr: Expr) -> Payload:
    """Write *expr* as the targeting of one request, or raise Unsupported with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("everyone")), emit(parse("alias(u1, u2)"))
    ({'Target': {'Type': 'ALL'}}, {'Target': {'Type': 'ALIAS', 'Value': 'u1,u2'}})
    """
    kind, value = write_target(expr)
    return {"Target": {"Type": kind} if kind == "ALL" else {"Type": kind, "Value": value}}


def target_ids(ids: Sequence[str]) -> Payload:
    """Write the targeting of at most 1,000 device ids."""
    return {"Target": {"Type": "DEVICE", "Value": ",".join(ids)}}


DELIVERY = emas_delivery(
    build_body=push_task.build_body,
    unsupported_fields=push_task.unsupported_fields,
    warnings=warnings.push_task_warnings,
    apply_timestamps=push_task.apply_timestamps,
    read_moments=schedule.read_task_time,
    native_method=send_methods_v2.NATIVE,
    send_methods=send_methods_v2.SEND_METHODS,
)
VENDOR = emas_vendor(
    name="emas_v2",
    title="Alibaba EMAS Mobile Push (PushV2)",
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    id_columns=("emas_v2", "emas"),
    parse=parse,
    emit=emit,
    target_ids=target_ids,
    platforms=PLATFORMS,
    delivery=DELIVERY,
    tags=TAGS,
)
