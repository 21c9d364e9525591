"""Command that lists a vendor's error codes."""

from dataclasses import asdict
from typing import Annotated

from audience.cli.declarations import Argument
from audience.cli.output.widgets import format_wrapped_table
from audience.cli.output.writer import Output
from audience.vendors import get_vendor, require_delivery
from audience.vendors.delivery_spec import ErrorCode, Outcome

BATCH_OUTCOMES: dict[Outcome, str] = {
    "accepted": "delivered; the run continues",
    "invalid-ids": "sent again without these ids",
    "rejected": "not delivered; the run continues",
    "retryable": "not delivered; tried again",
    "fatal": "not delivered; the run stops",
    "in-doubt": "may be delivered; you decide",
}


def run_error_codes(
    output: Output,
    vendor: Annotated[str, Argument(metavar="VENDOR", help="Vendor that audience can send to.")],
) -> None:
    """List a vendor's error codes: meaning, effect on the batch and the run, and advice."""
    codes = require_delivery(get_vendor(vendor)).error_codes
    titles = ("code", "meaning", "outcome", "advice")
    output.print_result(
        [asdict(code) for code in codes],
        lambda: format_wrapped_table(titles, [_code_cells(code) for code in codes], (24, 34, 28, 34)),
    )


def _code_cells(code: ErrorCode) -> tuple[list[str], ...]:
    return [code.code], [code.meaning], [f"{code.outcome}:", BATCH_OUTCOMES[code.outcome]], [code.advice]
