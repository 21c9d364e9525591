"""A vendor's error codes: what each means for the batch and the run, and what to do."""

from dataclasses import asdict
from typing import Annotated

import typer

from audience.cli.options import Json
from audience.cli.output.report import result
from audience.cli.output.widgets import wrapped_table
from audience.vendors import delivery_of
from audience.vendors import vendor as vendor_record
from audience.vendors.delivery_spec import Code, Outcome

BECOMES: dict[Outcome, str] = {
    "accepted": "is told, and the run goes on",
    "bad-ids": "is sent again without these ids",
    "refused": "told nobody; the run goes on",
    "again": "told nobody; is tried again",
    "stopped": "told nobody; the run stops",
    "in-doubt": "may have told some; you decide",
}


def codes(
    vendor: Annotated[str, typer.Argument(metavar="VENDOR", help="A vendor that is sent to.")],
    json: Json = False,
) -> None:
    """A vendor's error codes: what each means, what becomes of the batch and the run, and what to do."""
    known = delivery_of(vendor_record(vendor)).codes
    if json:
        result([asdict(code) for code in known], json, "")
        return
    wrapped_table(("code", "means", "the batch", "what to do"), [_row(code) for code in known], (24, 34, 28, 34))


def _row(code: Code) -> tuple[list[str], ...]:
    return [code.code], [code.means], [f"{code.reply}:", BECOMES[code.reply]], [code.do]
