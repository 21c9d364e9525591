"""A vendor's error codes: what each means for the batch and the run, and what to do."""

from dataclasses import asdict
from typing import Annotated

import typer

from audience.cli.options import JsonOption
from audience.cli.output.report import print_result
from audience.cli.output.widgets import print_wrapped_table
from audience.vendors import get_vendor, require_delivery
from audience.vendors.delivery_spec import ErrorCode, Outcome

BATCH_OUTCOMES: dict[Outcome, str] = {
    "accepted": "is told, and the run goes on",
    "invalid-ids": "is sent again without these ids",
    "rejected": "told nobody; the run goes on",
    "retryable": "told nobody; is tried again",
    "fatal": "told nobody; the run stops",
    "in-doubt": "may have told some; you decide",
}


def run_error_codes(
    vendor: Annotated[str, typer.Argument(metavar="VENDOR", help="A vendor that is sent to.")],
    json: JsonOption = False,
) -> None:
    """A vendor's error codes: what each means, what becomes of the batch and the run, and what to do."""
    known = require_delivery(get_vendor(vendor)).error_codes
    if json:
        print_result([asdict(code) for code in known], json, "")
        return
    print_wrapped_table(
        ("code", "meaning", "outcome", "advice"), [_code_cells(code) for code in known], (24, 34, 28, 34)
    )


def _code_cells(code: ErrorCode) -> tuple[list[str], ...]:
    return [code.code], [code.meaning], [f"{code.outcome}:", BATCH_OUTCOMES[code.outcome]], [code.advice]
