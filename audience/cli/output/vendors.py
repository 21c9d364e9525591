"""What commands print of many vendors: what each can say, its limits, what each is sent."""

import sys
from collections.abc import Sequence
from typing import Any

from audience.cli.output.plans import format_problem_line
from audience.cli.output.report import print_result
from audience.cli.output.widgets import print_wrapped_table
from audience.language.printer import render
from audience.planning.plans import Plan
from audience.vendors.payload_reader import dump_json
from audience.vendors.spec import Vendor


def print_vendors_table(records: Sequence[Vendor], json: bool) -> None:
    """Print what each vendor can say, its limits, the page that they come from and the day it was read."""
    if json:
        print_result([_vendor_json(record) for record in records], json, "")
        return
    rows = [([record.name], _capability_lines(record), _limit_lines(record)) for record in records]
    print_wrapped_table(("vendor", "can say", "limits"), rows, (11, 77, 32))
    pages = [([record.name], [record.docs_read_on], [record.docs_url]) for record in records]
    sys.stdout.write("\n")
    print_wrapped_table(("vendor", "read on", "the page that says so"), pages, (11, 12, 97), gap=False)


def _capability_lines(record: Vendor) -> list[str]:
    read_only = [f"read only: {record.read_only_reason}"] if record.read_only_reason else []
    sent_to = (
        [f"sent to by {', '.join(_method_names(record))}; keys {_format_credential_keys(record)}"]
        if record.delivery
        else []
    )
    return [record.title, record.fragment, *read_only, *sent_to]


def _method_names(record: Vendor) -> list[str]:
    """The ways that a vendor is sent to by, as the option --method names them."""
    if record.delivery is None:
        return []
    return list(dict.fromkeys(way.name for way in (record.delivery.native_method, *record.delivery.send_methods)))


def _format_credential_keys(record: Vendor) -> str:
    """What has to be known of an application, and what may be."""
    if record.delivery is None:
        return ""
    return ", ".join([*record.delivery.required_keys, *(f"[{name}]" for name in record.delivery.optional_keys)])


def _limit_lines(record: Vendor) -> list[str]:
    return [f"{key} ≤ {limit.maximum:,}" for key, limit in record.limits.items() if limit.maximum is not None]


def _vendor_json(record: Vendor) -> dict[str, Any]:
    limits = {key: {"maximum": limit.maximum, "source": limit.source} for key, limit in record.limits.items()}
    said: dict[str, Any] = {
        "name": record.name,
        "title": record.title,
        "fragment": record.fragment,
        "read_only_reason": record.read_only_reason or None,
    }
    if record.delivery is not None:
        keys, hosts = list(record.delivery.required_keys), dict(record.delivery.base_urls)
        said |= {
            "methods": _method_names(record),
            "keys": keys,
            "hosts": hosts,
            "optional_keys": dict(record.delivery.optional_keys),
        }
    return {**said, "page": record.docs_url, "read_on": record.docs_read_on, "limits": limits}


def print_plans_side_by_side(plans: Sequence[Plan]) -> None:
    """Print what each vendor is sent, in its own words, and how many requests that takes; or why it goes by ids."""
    rows = [([plan.vendor], [_requests_note(plan)], _payload_lines(plan)) for plan in plans]
    print_wrapped_table(("vendor", "requests", "in its words"), rows, (11, 14, 95))


def _requests_note(plan: Plan) -> str:
    if plan.by_ids is None:
        return str(len(plan.native)) if plan.native else "none"
    return f"{len(plan.native)}, and by ids" if plan.native else "by ids"


def _payload_lines(plan: Plan) -> list[str]:
    """What is sent natively, and what is said about the rest and about what is taken for granted."""
    if not plan.native and plan.by_ids is None:
        return ["nobody is meant, nothing to send"]
    rest = [f"the rest: {render(plan.by_ids)}"] if plan.native and plan.by_ids is not None else []
    reasons = [f"- {format_problem_line(reason)}" for reason in plan.reasons]
    assumed = [f"assumed: {condition.message}" for condition in plan.assumptions]
    return [*map(dump_json, plan.native), *rest, *reasons, *assumed]
