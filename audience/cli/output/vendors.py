"""What commands print of many vendors: what each can say, its limits, what each is sent."""

import sys
from collections.abc import Sequence
from typing import Any

from audience.cli.output.plans import indented
from audience.cli.output.report import result
from audience.cli.output.widgets import wrapped_table
from audience.language.printer import render
from audience.planning.planner import Plan
from audience.vendors.payload_reader import dump
from audience.vendors.spec import Vendor


def vendors_table(records: Sequence[Vendor], json: bool) -> None:
    """Print what each vendor can say, its limits, the page that they come from and the day it was read."""
    if json:
        result([_facts(record) for record in records], json, "")
        return
    rows = [([record.name], _said_of(record), _limits(record)) for record in records]
    wrapped_table(("vendor", "can say", "limits"), rows, (11, 77, 32))
    pages = [([record.name], [record.read_on], [record.page]) for record in records]
    sys.stdout.write("\n")
    wrapped_table(("vendor", "read on", "the page that says so"), pages, (11, 12, 97), gap=False)


def _said_of(record: Vendor) -> list[str]:
    read_only = [f"read only: {record.reads_only}"] if record.reads_only else []
    sent_to = [f"sent to by {', '.join(_ways(record))}; keys {_keys(record)}"] if record.delivery else []
    return [record.title, record.fragment, *read_only, *sent_to]


def _ways(record: Vendor) -> list[str]:
    """The ways that a vendor is sent to by, as the option --way names them."""
    if record.delivery is None:
        return []
    return list(dict.fromkeys(way.name for way in (record.delivery.native, *record.delivery.ways)))


def _keys(record: Vendor) -> str:
    """What has to be known of an application, and what may be."""
    if record.delivery is None:
        return ""
    return ", ".join([*record.delivery.keys, *(f"[{name}]" for name in record.delivery.choices)])


def _limits(record: Vendor) -> list[str]:
    return [f"{key} ≤ {limit.most:,}" for key, limit in record.limits.items() if limit.most is not None]


def _facts(record: Vendor) -> dict[str, Any]:
    limits = {key: {"most": limit.most, "source": limit.source} for key, limit in record.limits.items()}
    said: dict[str, Any] = {
        "name": record.name,
        "title": record.title,
        "says": record.fragment,
        "reads_only": record.reads_only or None,
    }
    if record.delivery is not None:
        keys, hosts = list(record.delivery.keys), dict(record.delivery.hosts)
        said |= {"ways": _ways(record), "keys": keys, "hosts": hosts, "choices": dict(record.delivery.choices)}
    return {**said, "page": record.page, "read": record.read_on, "limits": limits}


def side_by_side(plans: Sequence[Plan]) -> None:
    """Print what each vendor is sent, in its own words, and how many requests that takes; or why it goes by ids."""
    rows = [([plan.vendor], [_how(plan)], _words(plan)) for plan in plans]
    wrapped_table(("vendor", "requests", "in its words"), rows, (11, 14, 95))


def _how(plan: Plan) -> str:
    if plan.by_ids is None:
        return str(len(plan.native)) if plan.native else "none"
    return f"{len(plan.native)}, and by ids" if plan.native else "by ids"


def _words(plan: Plan) -> list[str]:
    """What is sent natively, and what is said about the rest and about what is taken for granted."""
    if not plan.native and plan.by_ids is None:
        return ["nobody is meant, nothing to send"]
    rest = [f"the rest: {render(plan.by_ids)}"] if plan.native and plan.by_ids is not None else []
    reasons = [f"- {indented(reason)}" for reason in plan.reasons]
    assumed = [f"assumed: {condition.message}" for condition in plan.conditions]
    return [*map(dump, plan.native), *rest, *reasons, *assumed]
