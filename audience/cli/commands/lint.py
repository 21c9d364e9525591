"""Whether an expression is odd."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audience.cli.options import CatalogOption, ExprArgument, JsonOption, load_optional_catalog, parse_fraction
from audience.cli.output.report import print_result, problem_json
from audience.errors import PlanError, Problem
from audience.language.parser import parse as parse_text
from audience.planning.linter import lint as find_odd

if TYPE_CHECKING:
    from audience.index.device_index import DeviceIndex


def run_lint(
    expr: ExprArgument,
    index: Annotated[Path | None, typer.Argument(metavar="[INDEX]", help="The folder of an index.")] = None,
    catalog: CatalogOption = None,
    limit: Annotated[
        str | None, typer.Option(metavar="SHARE", help="More devices than this are odd: 50% or 0.5.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """What is legal and yet hardly meant: always empty, idle branches, unknown tags. Exit code 1 if there is any."""
    opened = None if index is None else _open_index(index)
    share = None if limit is None else parse_fraction(limit)
    if share is not None and opened is None:
        raise PlanError(Problem("bad-option", "--limit needs an index to count in", hint="audience lint EXPR INDEX"))
    found = find_odd(parse_text(expr), opened, load_optional_catalog(catalog), share)
    odd = [problem_json(problem) for problem in found]
    print_result(odd, json, "\n".join(map(str, found)) or "nothing odd")
    sys.exit(1 if found else 0)


def _open_index(index: Path) -> "DeviceIndex":
    from audience.index.device_index import DeviceIndex  # here, as a text is looked at without an index too

    return DeviceIndex.open(index)
