"""Alibaba EMAS PushV2: the target of Push as one object, with its platform inside.

https://help.aliyun.com/document_detail/2979224.html, read 2026-11-21.
"""

from collections.abc import Sequence
from typing import Any

from audience.language.ast import Expr, all_of
from audience.vendors.emas import push_task, warnings
from audience.vendors.emas import send_methods_v2 as ways
from audience.vendors.emas.calls import emas_delivery
from audience.vendors.emas.targeting import emas_vendor, read_platform, read_target, require_key, write_target
from audience.vendors.payload_reader import fail, read_json_object, reject_unknown_keys
from audience.vendors.spec import Payload

PAGE = "https://help.aliyun.com/document_detail/2979224.html"


def parse(payload: Any) -> Expr:
    """Read `{"Target": {"Type": …, "Value": …}}`, a PushTask, or a whole request; each also as JSON text.

    >>> parse({"PushTask": '{"Target": {"Type": "ALL"}}'})
    Everyone()
    """
    request, path = read_json_object(payload), "$"
    if "PushTask" in request:
        request, path = read_json_object(request["PushTask"], "$.PushTask"), "$.PushTask"
    for key in ("Platform", "DeviceType", "TargetValue"):
        if key in request:
            hint = "PushV2 says it inside Target: Type, Value, Platform"
            fail("misplaced-key", f"{key} says nothing here", f"{path}.{key}", hint)
    if request.get("Action") == "CREATE_CONTINUOUS_PUSH":
        fail("opaque", "later calls (CONTINUOUS_PUSH) name its devices", f"{path}.Action", "read those instead")
    found = require_key(request, "Target", path, 'the targeting object is {"Target": {"Type": …, "Value": …}}')
    path = f"{path}.Target"
    said = read_json_object(found, path)
    reject_unknown_keys(said, ("Type", "Value", "Platform"), path)
    kind = require_key(said, "Type", path, "DEVICE, ALIAS, ACCOUNT, TAG or ALL")
    value = "ALL" if str(kind).upper() == "ALL" else require_key(said, "Value", path, "it says which")
    if request.get("Action") == "CONTINUOUS_PUSH" and str(kind).upper() not in ("DEVICE", "ACCOUNT", "ALIAS"):
        fail("unknown-value", f"CONTINUOUS_PUSH takes no {kind}", f"{path}.Type", "DEVICE, ACCOUNT or ALIAS")
    expr = read_target(kind, value, f"{path}.Type", f"{path}.Value")
    return all_of([expr, *read_platform(said.get("Platform"), f"{path}.Platform")])


def emit(expr: Expr) -> Payload:
    """Say *expr* in one request, or raise Unsaid with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("everyone")), emit(parse("alias(u1, u2)"))
    ({'Target': {'Type': 'ALL'}}, {'Target': {'Type': 'ALIAS', 'Value': 'u1,u2'}})
    """
    kind, value = write_target(expr)
    return {"Target": {"Type": kind} if kind == "ALL" else {"Type": kind, "Value": value}}


def target_ids(ids: Sequence[str]) -> Payload:
    """The targeting object of at most 1,000 device ids."""
    return {"Target": {"Type": "DEVICE", "Value": ",".join(ids)}}


DELIVERY = emas_delivery(
    build_body=push_task.build_body,
    unsupported_fields=push_task.unsupported_fields,
    warnings=warnings.push_task_warnings,
    apply_timestamps=push_task.apply_timestamps,
    native_method=ways.NATIVE,
    send_methods=ways.SEND_METHODS,
)
VENDOR = emas_vendor(
    name="emas_v2",
    title="Alibaba EMAS Mobile Push (PushV2)",
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    id_columns=("emas_v2", "emas", "device_id"),
    parse=parse,
    emit=emit,
    target_ids=target_ids,
    delivery=DELIVERY,
)
