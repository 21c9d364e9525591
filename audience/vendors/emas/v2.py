"""Alibaba EMAS PushV2: the target of Push as one object, with its platform inside.

https://help.aliyun.com/document_detail/2979224.html, read 2026-11-21.
"""

from collections.abc import Sequence
from typing import Any

from audience.language.ast import Expr, all_of
from audience.vendors.emas import push_task, warnings
from audience.vendors.emas import send_methods_v2 as ways
from audience.vendors.emas.calls import TO_EMAS
from audience.vendors.emas.targeting import OF_EMAS, read, read_platform, target, write
from audience.vendors.payload_reader import loaded, only, refuse
from audience.vendors.spec import Payload

PAGE = "https://help.aliyun.com/document_detail/2979224.html"


def parse(payload: Any) -> Expr:
    """Read `{"Target": {"Type": …, "Value": …}}`, a PushTask, or a whole request; each also as JSON text.

    >>> parse({"PushTask": '{"Target": {"Type": "ALL"}}'})
    Everyone()
    """
    request, path = loaded(payload), "$"
    if "PushTask" in request:
        request, path = loaded(request["PushTask"], "$.PushTask"), "$.PushTask"
    for key in ("Platform", "DeviceType", "TargetValue"):
        if key in request:
            hint = "PushV2 says it inside Target: Type, Value, Platform"
            refuse("misplaced-key", f"{key} says nothing here", f"{path}.{key}", hint)
    if request.get("Action") == "CREATE_CONTINUOUS_PUSH":
        refuse("opaque", "later calls (CONTINUOUS_PUSH) name its devices", f"{path}.Action", "read those instead")
    found = target(request, "Target", path, 'the targeting object is {"Target": {"Type": …, "Value": …}}')
    path = f"{path}.Target"
    said = loaded(found, path)
    only(said, ("Type", "Value", "Platform"), path)
    kind = target(said, "Type", path, "DEVICE, ALIAS, ACCOUNT, TAG or ALL")
    value = "ALL" if str(kind).upper() == "ALL" else target(said, "Value", path, "it says which")
    if request.get("Action") == "CONTINUOUS_PUSH" and str(kind).upper() not in ("DEVICE", "ACCOUNT", "ALIAS"):
        refuse("unknown-value", f"CONTINUOUS_PUSH takes no {kind}", f"{path}.Type", "DEVICE, ACCOUNT or ALIAS")
    expr = read(kind, value, f"{path}.Type", f"{path}.Value")
    return all_of([expr, *read_platform(said.get("Platform"), f"{path}.Platform")])


def emit(expr: Expr) -> Payload:
    """Say *expr* in one request, or raise Unsaid with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("everyone")), emit(parse("alias(u1, u2)"))
    ({'Target': {'Type': 'ALL'}}, {'Target': {'Type': 'ALIAS', 'Value': 'u1,u2'}})
    """
    kind, value = write(expr)
    return {"Target": {"Type": kind} if kind == "ALL" else {"Type": kind, "Value": value}}


def listing(ids: Sequence[str]) -> Payload:
    """The targeting object of at most 1,000 device ids."""
    return {"Target": {"Type": "DEVICE", "Value": ",".join(ids)}}


DELIVERY = TO_EMAS(
    body=push_task.body,
    lost=push_task.lost,
    warnings=warnings.push_task,
    timed=push_task.timed,
    native=ways.NATIVE,
    ways=ways.WAYS,
)
VENDOR = OF_EMAS(
    name="emas_v2",
    title="Alibaba EMAS Mobile Push (PushV2)",
    page=PAGE,
    read_on="2026-11-21",
    known_by=("emas_v2", "emas", "device_id"),
    parse=parse,
    emit=emit,
    listing=listing,
    delivery=DELIVERY,
)
