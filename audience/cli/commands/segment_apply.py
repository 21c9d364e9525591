"""Command that makes the segments of an index those of a folder of `.aud` files."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from audience.cli.declarations import Argument, Option
from audience.cli.login_name import find_login_name
from audience.cli.options import IndexArgument, WaitOption
from audience.cli.output.expressions import format_saved
from audience.cli.output.writer import Output
from audience.counts import format_count
from audience.errors import ExpressionError, Problem
from audience.index.changes.applied_segments import SegmentChanges, SegmentErrors, apply_segments
from audience.index.device_index import DeviceIndex
from audience.language.ast import Everyone, Expr, Segment
from audience.language.expression_files import (
    SUFFIX,
    add_file_name,
    find_expression_files,
    name_file,
    read_expression_file,
)
from audience.language.id_files import id_files_json
from audience.language.parser import parse
from audience.language.printer import render
from audience.language.segments import expand_segments


def run_segment_apply(
    output: Output,
    index: IndexArgument,
    folder: Annotated[Path, Argument(metavar="DIR", help="Folder of .aud files, each named as its segment.")],
    *,
    yes: Annotated[bool, Option("--yes", help="Apply the changes without asking.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Print the changes; change nothing.")] = False,
    allow_empty: Annotated[
        bool, Option("--allow-empty", help="Accept a folder without .aud files: all segments are removed.")
    ] = False,
    wait: WaitOption = 0,
) -> None:
    """Make the segments of an index those of a folder, in one snapshot.

    The file vip.aud has the expression of @vip. Segments without a file are removed, except lists of ids that were
    saved with `segment save --ids`. If a file is invalid nothing changes.
    """
    device_index = DeviceIndex.open(index)
    files = _find_segment_files(folder, allow_empty=allow_empty)
    segments = _read_segments(files, device_index)
    changes = device_index.compare_segments(segments)
    _warn_of_unmatched(output, changes, files, device_index)
    facts = {**_changes_json(changes), "dry_run": dry_run}
    if dry_run or not changes:
        output.print_result(facts, "\n".join(_format_changes(changes)))
        return
    if not output.as_json:
        output.print_result(facts, "\n".join(_format_changes(changes)))
    if not yes and not _confirm(output):
        output.print_notes([Problem("unconfirmed", "nothing was changed")])
        sys.exit(1)
    with _name_segment_files(files):
        storage = device_index.snapshot.storage
        number = apply_segments(storage, segments, find_login_name(), wait, reviewed=changes).snapshot
    output.print_result({**facts, "snapshot": number}, f"snapshot {number}: segments applied")


def _confirm(output: Output) -> bool:
    """Ask on the terminal whether to apply the changes. Raises ExpressionError if nobody can answer."""
    if output.as_json or not sys.stdin.isatty():
        message = "the changes are not confirmed, and there is no terminal to ask on"
        hint = "pass --yes to apply them, or --dry-run to see them"
        raise ExpressionError(Problem("unconfirmed", message, hint=hint))
    return typer.confirm("apply these changes?", err=True)


def _find_segment_files(folder: Path, *, allow_empty: bool) -> dict[str, Path]:
    """Return the files of *folder* by the names of their segments.

    Raises:
        ExpressionError: *folder* is none, has no file or one that cannot be read, or two files have one name.
    """
    if not folder.is_dir():
        message = f"{folder} is not a folder"
        raise ExpressionError(Problem("no-expressions", message, hint=f"name a folder of {SUFFIX} files"))
    _require_complete(folder)
    try:
        paths = find_expression_files([folder])
    except ExpressionError as error:
        if allow_empty:
            return {}
        hint = "pass --allow-empty to remove all segments that have no file"
        raise ExpressionError(*(replace(problem, hint=hint) for problem in error.problems)) from None
    files: dict[str, Path] = {}
    problems = []
    for path in paths:
        other = files.setdefault(path.stem, path)
        if other != path:
            message = f"{path}: {render(Segment(path.stem))} has the file {other} too"
            problems.append(Problem("same-segment", message, hint="rename one of them"))
    if problems:
        raise ExpressionError(*problems)
    return files


def _require_complete(folder: Path) -> None:
    """Require that every subfolder can be read and no link is broken: a file that is not seen would be removed."""
    problems = []

    def add_unreadable(error: OSError) -> None:
        problems.append(Problem("unreadable-file", f"{error.filename}: {error.strerror}", hint="make it readable"))

    for parent, _, names in os.walk(folder, onerror=add_unreadable):
        links = (Path(parent, name) for name in names if name.endswith(SUFFIX) and not name.startswith("."))
        problems += [
            Problem("unreadable-file", f"{link}: the link is broken", hint="repair or remove the link")
            for link in links
            if not link.exists()
        ]
    if problems:
        raise ExpressionError(*problems)


def _read_segments(files: Mapping[str, Path], index: DeviceIndex) -> dict[str, Expr]:
    """Parse the files by name, and check them against the index; files of ids are found beside them.

    Raises:
        ExpressionError: With the problems of all files that are invalid.
    """
    segments: dict[str, Expr] = {}
    problems: list[Problem] = []
    for name, path in files.items():
        try:
            text = read_expression_file(path)
            with name_file(path):
                Segment(name)  # raises ExpressionError if no expression can refer to it
                segments[name] = parse(text, folder=path.parent)
        except ExpressionError as error:
            problems += error.problems
    unread = dict.fromkeys(files.keys() - segments.keys(), Everyone())  # others may refer to them
    try:
        with _name_segment_files({name: files[name] for name in segments}):
            index.compare_segments({**unread, **segments})
    except ExpressionError as error:
        problems += error.problems
    if problems:
        raise ExpressionError(*problems)
    return segments


@contextmanager
def _name_segment_files(files: Mapping[str, Path]) -> Iterator[None]:
    """Name the file, the line and the column in the problems of segments that have a file."""
    try:
        yield
    except SegmentErrors as error:
        by_name = error.problems_by_name
        problems = [add_file_name(each, path) for name, path in files.items() for each in by_name.get(name, ())]
        raise ExpressionError(*problems) from None


def _warn_of_unmatched(output: Output, changes: SegmentChanges, files: Mapping[str, Path], index: DeviceIndex) -> None:
    """Print a warning for each tag and list of ids of a new expression that no device has."""
    written = {**changes.added, **{name: after for name, (_, after) in changes.changed.items()}}
    stubs = dict.fromkeys((*files, *changes.kept), Everyone())  # what a segment refers to is warned of at its own file
    warnings = {
        name: index.find_unmatched(expand_segments(expr, stubs), allow_gaps=True) for name, expr in written.items()
    }
    output.print_warnings([add_file_name(each, files[name]) for name in warnings for each in warnings[name]])


def _changes_json(changes: SegmentChanges) -> dict[str, Any]:
    return {
        "added": [{"name": name, **_expr_json(expr)} for name, expr in changes.added.items()],
        "changed": [
            {"name": name, "before": _expr_json(before), "after": _expr_json(after)}
            for name, (before, after) in changes.changed.items()
        ],
        "removed": [{"name": name, **_expr_json(expr)} for name, expr in changes.removed.items()],
        "unchanged": list(changes.unchanged),
        "kept": list(changes.kept),
        "snapshot": changes.snapshot,
    }


def _expr_json(expr: Expr) -> dict[str, Any]:
    return {"expression": render(expr), "id_files": id_files_json(expr)}


def _format_changes(changes: SegmentChanges) -> Iterator[str]:
    """Yield the lines of a diff: segments by name, then how many there are of each kind."""
    for name, expr in changes.added.items():
        yield f"+ {render(Segment(name))}: {format_saved(expr)}"
    for name, (before, after) in changes.changed.items():
        yield f"~ {render(Segment(name))}"
        yield f"  - {format_saved(before)}"
        yield f"  + {format_saved(after)}"
    for name, expr in changes.removed.items():
        yield f"- {render(Segment(name))}: {format_saved(expr)}"
    for name in changes.kept:
        yield f"= {render(Segment(name))}: list of ids, kept"
    counts = (len(changes.added), "added"), (len(changes.changed), "changed"), (len(changes.removed), "removed")
    summary = [f"{number:,} {word}" for number, word in counts if number]
    kept = [f"{format_count(len(changes.kept), 'list')} of ids kept"] if changes.kept else []
    yield ", ".join([*(summary or ["nothing to change"]), f"{len(changes.unchanged):,} unchanged", *kept])
