"""A vendor's error codes, from the table `codes.tsv` beside its file."""

import csv
from pathlib import Path
from typing import cast, get_args

from audience.vendors.wire import Code, Outcome

OUTCOMES = get_args(Outcome)


def codes(file: Path) -> tuple[Code, ...]:
    """The rows of *file*, a table with tabs: code, reply, means, do, source.

    Raises ValueError for a reply that there is none of, and for a code that stands twice.
    """
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True))
    found = tuple(_code(row) for row in rows)
    if len({code.code for code in found}) < len(found):
        raise ValueError(f"{file}: a code stands twice")
    return found


def _code(row: dict[str, str]) -> Code:
    if row["reply"] not in OUTCOMES:
        raise ValueError(f"{row['code']}: {row['reply']!r} is none of {', '.join(OUTCOMES)}")
    return Code(row["code"], cast(Outcome, row["reply"]), row["means"], row["do"], row["source"])
