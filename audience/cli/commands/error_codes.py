"""Command that lists a vendor's error codes, those of pushes and those of calls for tags."""

from collections.abc import Mapping, Sequence
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
TAG_OUTCOMES: dict[Outcome, str] = {
    "accepted": "changed; the sync continues",
    "invalid-ids": "made again without these ids",
    "rejected": "not changed; the sync continues",
    "retryable": "not changed; tried again",
    "fatal": "not changed; the sync stops",
    "in-doubt": "may be changed; made again",
}
TITLES = ("code", "meaning", "outcome", "advice")


def run_error_codes(
    output: Output,
    vendor: Annotated[str, Argument(metavar="VENDOR", help="Vendor that audience can send to.")],
) -> None:
    """List a vendor's error codes: meaning, effect on the batch and the run, or on a sync of tags, and advice."""
    record = get_vendor(vendor)
    push_codes = require_delivery(record).error_codes
    tag_codes = () if record.tags is None else record.tags.error_codes
    rows = [{**asdict(code), "calls": "pushes"} for code in push_codes]
    rows += [{**asdict(code), "calls": "tags"} for code in tag_codes]
    output.print_result(rows, lambda: _format_codes(push_codes, tag_codes))


def _format_codes(push_codes: Sequence[ErrorCode], tag_codes: Sequence[ErrorCode]) -> str:
    tables = [_format_table(push_codes, BATCH_OUTCOMES)]
    if tag_codes:
        tables.append("Calls that set and remove tags:")
        tables.append(_format_table(tag_codes, TAG_OUTCOMES))
    return "\n\n".join(tables)


def _format_table(codes: Sequence[ErrorCode], effects: Mapping[Outcome, str]) -> str:
    return format_wrapped_table(TITLES, [_code_cells(code, effects) for code in codes], (24, 34, 28, 34))


def _code_cells(code: ErrorCode, effects: Mapping[Outcome, str]) -> tuple[list[str], ...]:
    return [code.code], [code.meaning], [f"{code.outcome}:", effects[code.outcome]], [code.advice]
