"""Whether an expression is odd."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audience.cli.options import CatalogPath, ExprText, Json, catalog_of, share_of
from audience.cli.output.report import problem_json, result
from audience.errors import PlanError, Problem
from audience.language.parser import parse as parse_text
from audience.planning.linter import lint as find_odd

if TYPE_CHECKING:
    from audience.index.device_index import DeviceIndex


def lint(
    expr: ExprText,
    index: Annotated[Path | None, typer.Argument(metavar="[INDEX]", help="The folder of an index.")] = None,
    catalog: CatalogPath = None,
    limit: Annotated[
        str | None, typer.Option(metavar="SHARE", help="More devices than this are odd: 50% or 0.5.")
    ] = None,
    json: Json = False,
) -> None:
    """What is legal and yet hardly meant: always empty, idle branches, unknown tags. Exit code 1 if there is any."""
    opened = None if index is None else _opened(index)
    share = None if limit is None else share_of(limit)
    if share is not None and opened is None:
        raise PlanError(Problem("bad-option", "--limit needs an index to count in", hint="audience lint EXPR INDEX"))
    found = find_odd(parse_text(expr), opened, catalog_of(catalog), share)
    odd = [problem_json(problem) for problem in found]
    result(odd, json, "\n".join(map(str, found)) or "nothing odd")
    sys.exit(1 if found else 0)


def _opened(index: Path) -> "DeviceIndex":
    from audience.index.device_index import DeviceIndex  # here, as a text is looked at without an index too

    return DeviceIndex.open(index)
