"""Requests of EMAS as logs and SDKs show them: objects, JSON text or queries, of one task or of many.

Sources: https://help.aliyun.com/document_detail/2249915.html (MassPush) and
https://help.aliyun.com/document_detail/2986042.html (MassPushV2), read 2026-11-21.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from audience.language.ast import Expr, any_of
from audience.vendors.emas.targeting import ID_KINDS_BY_TARGET
from audience.vendors.payload_reader import PayloadCursor, load_json
from audience.vendors.spec import VendorLimit

MASS_PUSH_DOCS = "https://help.aliyun.com/document_detail/2249915.html"
MAX_TASKS = VendorLimit(100, MASS_PUSH_DOCS)
_NUMBERED_KEY = re.compile(r"PushTask\.([0-9]{1,6})\.(.+)")


def read_request(payload: Any) -> PayloadCursor:
    """Return the parameters of a request, which may be JSON text, a query, or the address of a call.

    >>> read_request("Target=ALIAS&TargetValue=u1%2Cu2").value
    {'Target': 'ALIAS', 'TargetValue': 'u1,u2'}
    """
    if not isinstance(payload, str) or "=" not in payload or payload.lstrip().startswith(("{", "[")):
        return PayloadCursor(payload).json_object()
    pairs = parse_qsl(payload.strip().rpartition("?")[2], keep_blank_values=True)
    parameters = dict(pairs)
    cursor = PayloadCursor(parameters)
    if len(parameters) < len(pairs):
        cursor.fail("bad-query", "a parameter is given twice", "give each parameter once")
    return cursor


def read_numbered_tasks(request: PayloadCursor) -> list[PayloadCursor]:
    """Return the tasks of MassPush: numbered parameters such as `PushTask.1.Target`, or a list of objects."""
    tasks: dict[int, dict[str, Any]] = {}
    for key, value in request.object().items():
        if match := _NUMBERED_KEY.fullmatch(str(key)):
            tasks.setdefault(int(match[1]), {})[match[2]] = value
    if tasks:
        return [PayloadCursor(tasks[number], f"{request.path}.PushTask.{number}") for number in sorted(tasks)]
    return read_task_list(request["PushTask"]) if "PushTask" in request else []


def read_task_list(tasks: PayloadCursor) -> list[PayloadCursor]:
    """Return the tasks of a list, which may be JSON text."""
    if isinstance(tasks.value, str):
        tasks = PayloadCursor(load_json(tasks.value, tasks.path), tasks.path)
    return [task.json_object() for task in tasks.items()]


def join_tasks(tasks: list[PayloadCursor], kind_key: str, read_task: Callable[[PayloadCursor], Expr]) -> Expr:
    """Return the union of the audiences of *tasks*; a device of several of them gets several messages."""
    tasks[0].check_limit(MAX_TASKS, len(tasks), "tasks", "send several calls")
    for task in tasks:
        kind = task[kind_key]
        if isinstance(kind.value, str) and kind.value.upper() not in ID_KINDS_BY_TARGET:
            kind.warn(f"EMAS refuses {kind.value!r} in a call of several tasks, which take ids only")
    return any_of(map(read_task, tasks))
