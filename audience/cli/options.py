"""The catalog that a command is given."""

from pathlib import Path
from typing import Annotated

import typer

from audience.errors import PlanError, Problem
from audience.planning.catalog.catalog import Catalog
from audience.planning.catalog.check import load_catalog


def load_optional_catalog(path: Path | None) -> Catalog | None:
    """The catalog in *file*, if one is named."""
    return None if path is None else load_catalog(path)


HOUR_SECONDS, WEEK_SECONDS = 3_600, 604_800  # seconds; what has no end, or is no number, is no time

JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]
IndexArgument = Annotated[Path, typer.Argument(metavar="INDEX", help="The folder of an index.")]
ExprArgument = Annotated[str, typer.Argument(metavar="EXPR", help="Who is meant.")]
TablesArgument = Annotated[
    list[str], typer.Argument(metavar="TABLE...", help="Parquet, CSV, NDJSON or Arrow IPC; folders and globs too.")
]
IgnoreOption = Annotated[list[str] | None, typer.Option("--ignore", metavar="COLUMN", help="Is left out.")]
VendorOption = Annotated[
    str, typer.Option("--vendor", metavar="V", help="Who is sent to; `audience vendors` lists them.")
]
MaxRequestsOption = Annotated[int, typer.Option(min=1, metavar="N", help="Native requests at the most.")]
CatalogOption = Annotated[
    Path | None, typer.Option("--catalog", metavar="FILE", help="Names at vendors, and facts of attributes.")
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="By ids, where a native request takes something for granted.")
]
OutOption = Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="A folder that is not there yet.")]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Replace a folder that is there, and of which nothing was sent.")
]
WaitOption = Annotated[
    float,
    typer.Option(
        min=0, max=WEEK_SECONDS, metavar="SECONDS", help="How long to wait while another process changes the index."
    ),
]
IdsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[ID...]", help="Ids of devices; - reads standard input, one a line.")
]
IdFilesOption = Annotated[
    list[str] | None,
    typer.Option("--ids", metavar="FILE", help="A text with one id a line, or a table with a column of ids; - too."),
]
IdColumnOption = Annotated[
    str | None, typer.Option("--column", metavar="NAME", help="The column of ids, where its name does not say so.")
]


def parse_token_options(options: list[str]) -> dict[str, str]:
    """The columns of ids by their vendors, of which each is said once."""
    pairs = [parse_pair(each, "registration_id") for each in options]
    for name, column in pairs:
        if dict(pairs)[name] != column:
            raise PlanError(Problem("two-roles", f"two columns are said to hold the ids of {name}", hint="say one"))
    return dict(pairs)


def parse_fraction(text: str) -> float:
    """A share of all devices, as 50% or 0.5."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise PlanError(Problem("bad-option", f"{text!r} is no share of all devices", hint="50% or 0.5"))
    return share


def parse_pair(text: str, default_name: str | None) -> tuple[str, str]:
    """VENDOR=COLUMN or COLUMN=SIGN; a lone COLUMN belongs to *default*."""
    left, sign, right = text.partition("=")
    if sign and left and right:
        return left, right
    if sign or default_name is None:
        hint = "for example --split 'tags=;'"
        raise PlanError(Problem("bad-option", f"{text!r} is not of the form NAME=VALUE", hint=hint))
    return default_name, text
