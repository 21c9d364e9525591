"""Command that finds likely mistakes in an expression."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audience.cli.options import CatalogOption, ExprArgument, QuestionOptions, load_optional_catalog, parse_fraction
from audience.cli.output.writer import Output, problem_json
from audience.errors import PlanError, Problem
from audience.language.parser import parse
from audience.language.zones import DEFAULT_ZONE
from audience.planning.linter import lint

if TYPE_CHECKING:
    from audience.index.device_index import DeviceIndex


def run_lint(
    output: Output,
    expr: ExprArgument,
    *,
    index: Annotated[
        Path | None, typer.Argument(metavar="[INDEX]", help="Folder of an index to look tags up in.")
    ] = None,
    catalog: CatalogOption = None,
    limit: Annotated[
        str | None,
        typer.Option("--limit", metavar="FRACTION", help="Warn if the audience is larger than this share: 50% or 0.5."),
    ] = None,
    question: QuestionOptions,
) -> None:
    """Find likely mistakes: empty audiences, redundant branches, unknown tags. Exit code 1 if there are any."""
    device_index = None if index is None else _open_index(index)
    fraction = None if limit is None else parse_fraction(limit)
    if fraction is not None and device_index is None:
        hint = "run audience lint EXPR INDEX"
        raise PlanError(Problem("bad-option", "--limit needs an index to count devices in", hint=hint))
    asked = question.read(DEFAULT_ZONE if device_index is None else device_index.snapshot.timezone)
    problems = lint(parse(expr), device_index, load_optional_catalog(catalog), fraction, **asked.to_arguments())
    text = "\n".join(map(str, problems)) or "no problems found"
    output.print_result([problem_json(problem) for problem in problems], text)
    sys.exit(1 if problems else 0)


def _open_index(path: Path) -> "DeviceIndex":
    from audience.index.device_index import DeviceIndex  # not needed to lint without an index

    return DeviceIndex.open(path)
