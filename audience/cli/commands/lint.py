"""Command that finds likely mistakes in an expression, or in files of expressions."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from audience.cli.declarations import Argument, Option
from audience.cli.options import CatalogOption, QuestionOptions, load_optional_catalog, parse_fraction
from audience.cli.output.writer import Output
from audience.errors import ExpressionError, PlanError, Problem
from audience.index.storage.layout import MANIFEST_FILE
from audience.json_forms.problems import problem_json
from audience.language.as_of import AsOf
from audience.language.expression_files import (
    SUFFIX,
    add_file_name,
    find_expression_files,
    name_file,
    read_expression_file,
)
from audience.language.parser import parse
from audience.language.zones import DEFAULT_ZONE
from audience.planning.linter import lint

if TYPE_CHECKING:
    from audience.index.device_index import DeviceIndex
    from audience.planning.catalog.catalog import Catalog


def run_lint(
    output: Output,
    arguments: Annotated[
        list[str],
        Argument(
            metavar="EXPR|FILES... [INDEX]",
            help="Expression, or .aud files and folders of them; then the folder of an index to look tags up in.",
        ),
    ],
    catalog: CatalogOption = None,
    limit: Annotated[
        str | None,
        Option("--limit", metavar="FRACTION", help="Warn if the audience is larger than this share: 50% or 0.5."),
    ] = None,
    *,
    question: QuestionOptions,
) -> None:
    """Find likely mistakes: empty audiences, redundant branches, unknown tags. Exit code 1 if there are any."""
    files, (expr, index) = _split_arguments(arguments)
    device_index = None if index is None else _open_index(Path(index), question.threads)
    fraction = None if limit is None else parse_fraction(limit)
    if fraction is not None and device_index is None:
        hint = "run audience lint EXPR INDEX"
        raise PlanError(Problem("bad-option", "--limit needs an index to count devices in", hint=hint))
    asked = question.read(DEFAULT_ZONE if device_index is None else device_index.snapshot.timezone)
    options = LintOptions(device_index, load_optional_catalog(catalog), fraction, asked)
    if expr is not None:
        problems = _lint_text(expr, Path(), options)
        _print_problems(output, [problem_json(problem) for problem in problems], problems)
    else:
        problems = _lint_files(output, files, options)
    sys.exit(1 if problems else 0)


@dataclass(frozen=True, slots=True)
class LintOptions:
    """Options of a command with which each of its expressions is checked."""

    index: "DeviceIndex | None"
    catalog: "Catalog | None"
    limit: float | None
    asked: AsOf


def _split_arguments(arguments: list[str]) -> tuple[list[Path], tuple[str | None, str | None]]:
    """Return the files of *arguments*, or the expression, and the index.

    A folder of expressions has no manifest, which an index has; so an index may also be the first of two arguments, as
    it is for all other commands.
    """
    paths = [Path(word) for word in arguments]
    files = [path for path in paths if path.suffix == SUFFIX or _is_folder_of_expressions(path)]
    others = [word for word, path in zip(arguments, paths, strict=True) if path not in files]
    if files and len(others) <= 1:
        return files, (None, others[0] if others else None)
    if not files and all(_is_index(Path(word)) for word in others):
        message = f"{others[0]} is an index, and there is no expression to check"
        raise ExpressionError(Problem("bad-option", message, hint="run audience lint EXPR INDEX"))
    if not files and len(others) <= 2:
        if len(others) == 2 and _is_index(paths[0]) and not _is_index(paths[1]):
            others.reverse()
        return [], (others[0], others[1] if len(others) > 1 else None)
    hint = "write one expression in quotes, or name files that end in .aud, and at most one index"
    raise ExpressionError(Problem("bad-option", f"unexpected argument {others[-1]!r}", hint=hint))


def _is_folder_of_expressions(path: Path) -> bool:
    return path.is_dir() and not _is_index(path)


def _is_index(path: Path) -> bool:
    return (path / MANIFEST_FILE).exists()


def _lint_files(output: Output, paths: list[Path], options: LintOptions) -> list[Problem]:
    """Print the problems of files. Raises ExpressionError at last if a file is invalid."""
    problems: list[Problem] = []
    invalid: list[Problem] = []
    facts: list[dict[str, Any]] = []
    for path in find_expression_files(paths):
        try:
            text = read_expression_file(path)
            with name_file(path):
                found = _lint_text(text, path.parent, options)
        except ExpressionError as error:
            invalid += error.problems
            continue
        facts += [{"file": str(path), **problem_json(problem)} for problem in found]
        problems += [add_file_name(problem, path) for problem in found]
    if problems or not invalid:
        _print_problems(output, facts, problems)
    if invalid:
        raise ExpressionError(*invalid)
    return problems


def _lint_text(text: str, folder: Path, options: LintOptions) -> list[Problem]:
    """Return the problems of an expression; files of ids are in *folder*."""
    expr, asked = parse(text, folder=folder), options.asked.to_arguments()
    return lint(expr, options.index, options.catalog, options.limit, **asked)


def _print_problems(output: Output, facts: Sequence[Mapping[str, Any]], problems: list[Problem]) -> None:
    output.print_result(facts, "\n".join(map(str, problems)) or "no problems found")


def _open_index(path: Path, threads: int | None) -> "DeviceIndex":
    from audience.index.device_index import DeviceIndex  # not needed to lint without an index

    return DeviceIndex.open(path, threads=threads)
