"""Dry runs: what sending requests would do, without any call to a vendor."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from audience.delivery.costs import CostEstimate, estimate_methods, estimate_native
from audience.delivery.dry_run import perform_dry_run
from audience.delivery.ledger.left_out import count_reasons
from audience.delivery.prepare import PreparedRun, build_cost_input
from audience.delivery.previews import iter_platforms
from audience.delivery.safety_limits import has_broadcast
from audience.delivery.sender.worker import SendOptions
from audience.delivery.unreached import list_unreached
from audience.errors import Problem
from audience.json_forms.costs import cost_json
from audience.json_forms.problems import problem_json
from audience.json_forms.run_overviews import PreviewForm, ServedDryRunForm, UnreachableForm
from audience.requests.writer import SKIPPED_FILE

SKIP_MEANINGS = {
    "missing-id": "the device has no id that this vendor takes",
    "id-too-long": "the id is longer than the vendor takes",
    "id-outer-space": "the id begins or ends with white space, which the vendor strips",
    "id-forbidden-character": "the id contains a character that the vendor forbids",
}


def dry_run_json(prepared: PreparedRun, missing: tuple[Problem, ...]) -> ServedDryRunForm:
    """Build every request of a prepared run, and return what sending it would do.

    Args:
        prepared: The run.
        missing: Why the service has no credentials to send it with.
    """
    requests, delivery = prepared.requests, prepared.delivery
    result = perform_dry_run(prepared, validate=False, options=SendOptions())
    cost_input = build_cost_input(requests, prepared.bodies.bodies, prepared.credentials)
    native = [estimate_native(cost_input)] if cost_input.native_payloads else []
    methods = estimate_methods(cost_input)
    warnings = [*prepared.bodies.list_warnings(delivery), *list_unreached(prepared), *missing]
    return {
        "vendor": requests.vendor.name,
        "method": prepared.method.name,
        "devices": requests.messaged_count,
        "calls": result.calls,
        "bytes": result.request_bytes,
        "seconds": round(_find_seconds(native, methods, prepared.method.name), 3),
        "costs": [cost_json(cost) for cost in (*native, *methods)],
        "native": requests.native_count,
        "ids": requests.id_count,
        "unreachable": list_unreachable(requests.folder),
        "left_out": dict(count_reasons((each.code, 1) for each in prepared.left_out)),
        "broadcast": has_broadcast(requests.vendor, cost_input.native_payloads),
        "has_credentials": not missing,
        "payload": prepared.body,
        "preview": list(iter_previews(prepared)),
        "warnings": [problem_json(problem) for problem in warnings],
    }


def list_unreachable(folder: Path) -> list[UnreachableForm]:
    """Return how many devices of the requests in *folder* cannot be reached, by reason."""
    file = folder / SKIPPED_FILE
    if not file.is_file():
        return []
    reasons = pl.read_ndjson(file, schema={"reason": pl.String})["reason"]
    counts = reasons.value_counts(sort=True)
    return [
        {"code": code, "meaning": SKIP_MEANINGS.get(code, code), "devices": devices}
        for code, devices in counts.iter_rows()
    ]


def iter_previews(prepared: PreparedRun) -> Iterator[PreviewForm]:
    """Yield the message as each of its platforms gets it: each text of its variants and languages that is sent."""
    for preview in iter_platforms(prepared.delivery, prepared.bodies.list_contents()):
        yield {
            "variant": preview.variant,
            "language": preview.language,
            "platform": preview.platform,
            "title": preview.title,
            "body": preview.body,
            "payload": preview.payload,
            "problems": [problem_json(problem) for problem in preview.problems],
        }


def _find_seconds(native: list[CostEstimate], methods: list[CostEstimate], chosen: str) -> float:
    """Return how long the native requests and the ids by the method that is chosen take together."""
    by_ids = [cost for cost in methods if cost.method == chosen]
    return sum(cost.seconds for cost in (*native, *by_ids))
