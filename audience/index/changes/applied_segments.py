"""Make the segments of an index those of a mapping, in one snapshot: compare, check all of them, publish."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from audience.errors import ExpressionError, Problem
from audience.index.changes.segments import require_distinct_paths
from audience.index.query.validate import validate_segment
from audience.index.records.segment_history import publish_segments
from audience.index.storage.id_lists import write_id_list
from audience.index.storage.manifest import Manifest
from audience.index.storage.published import Storage
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.write_lock import lock_for_update
from audience.language.ast import Everyone, Expr, Ids, Segment
from audience.language.id_files import list_id_files
from audience.language.parser import parse_saved, to_expr
from audience.language.printer import render
from audience.language.segments import expand_segments, find_segment_cycles, referenced_segments


@dataclass(frozen=True, slots=True)
class SegmentChanges:
    """Changes that make the segments of an index those of a mapping.

    Attributes:
        added: Expressions of new segments by name.
        changed: Expressions before and after by name.
        removed: Expressions of removed segments by name.
        unchanged: Names of the segments that stay as they are.
        kept: Names of saved lists of ids that the mapping does not have; they stay too.
        snapshot: Number of the snapshot that has the segments, or that they were compared with.
    """

    added: Mapping[str, Expr]
    changed: Mapping[str, tuple[Expr, Expr]]
    removed: Mapping[str, Expr]
    unchanged: tuple[str, ...]
    kept: tuple[str, ...]
    snapshot: int
    manifest: Manifest = field(repr=False, compare=False)

    def __bool__(self) -> bool:
        """Return whether anything changes."""
        return bool(self.added or self.changed or self.removed)


class SegmentErrors(ExpressionError):
    """Segments that cannot be applied, with the problems of each by its name."""

    def __init__(self, problems: Mapping[str, tuple[Problem, ...]]):
        self.problems_by_name = problems
        super().__init__(*(_name_segment(name, problem) for name in problems for problem in problems[name]))


def _name_segment(name: str, problem: Problem) -> Problem:
    return replace(problem, message=f"{render(Segment(name))}: {problem.message}")


def parse_segments(segments: Mapping[str, Expr | str]) -> dict[str, Expr]:
    """Return the expressions by name, those that are text parsed. Raises SegmentErrors with all that are invalid."""
    exprs: dict[str, Expr] = {}
    problems: dict[str, tuple[Problem, ...]] = {}
    for name, expr in segments.items():
        Segment(name)  # raises ExpressionError if no expression can refer to it
        try:
            exprs[name] = to_expr(expr)
        except ExpressionError as error:
            problems[name] = error.problems
    if problems:
        raise SegmentErrors(problems)
    return exprs


def compare_segments(segments: Mapping[str, Expr], snapshot: Snapshot) -> SegmentChanges:
    """Return what `apply_segments` would change in *snapshot*.

    Raises:
        SegmentErrors: A segment refers to something that there is not, or to itself.
    """
    saved = snapshot.segments
    kept = tuple(name for name in saved if name not in segments and _is_id_list(saved[name]))
    changes = SegmentChanges(
        added={name: expr for name, expr in segments.items() if name not in saved},
        changed={
            name: (saved[name], expr)
            for name, expr in segments.items()
            if name in saved and not _is_same(saved[name], expr)
        },
        removed={name: saved[name] for name in saved if name not in segments and name not in kept},
        unchanged=tuple(name for name, expr in segments.items() if name in saved and _is_same(saved[name], expr)),
        kept=kept,
        snapshot=snapshot.manifest.number,
        manifest=snapshot.manifest,
    )
    _validate_segments({**segments, **{name: saved[name] for name in kept}}, changes, snapshot)
    return changes


def _is_id_list(expr: Expr) -> bool:
    """Return whether a saved expression is a list of ids alone, as `segment save --ids` saves it."""
    return isinstance(expr, Ids) and any(file.is_list for file in expr.files)


def _is_same(saved: Expr, expr: Expr) -> bool:
    """Return whether two expressions have one text, and the same ids in the files that it names or as a list."""
    files, saved_files = (
        {file.path: (file.digest, file.ids, file.is_list) for file in list_id_files(each)} for each in (expr, saved)
    )
    return render(saved) == render(expr) and saved_files == files


def apply_segments(
    storage: Storage,
    segments: Mapping[str, Expr],
    by: str | None,
    wait: float,
    reviewed: SegmentChanges | None = None,
) -> SegmentChanges:
    """Make the saved segments those of *segments*, as one snapshot; publish none if nothing changes.

    Saved lists of ids that *segments* does not have are kept. The index keeps the ids of files that expressions name.

    Args:
        storage: Storage of the index.
        segments: Expressions by name.
        by: Who changes them.
        wait: Seconds to wait for another writer.
        reviewed: Changes that were shown before. Others than these are not made.

    Raises:
        SegmentErrors: A segment refers to something that there is not, or to itself.
        ExpressionError: The saved segments are no longer those that *reviewed* was compared with.
        LockedError: Another process changes the index.
    """
    with lock_for_update(storage, "segment", wait) as manifest:
        if reviewed is not None:
            _require_same_segments(reviewed.manifest, manifest)
        changes = compare_segments(segments, Snapshot(storage, manifest))
        if not changes:
            return changes
        changed = _replace_segments(storage, manifest, changes)
        description = _describe_changes(changes)
        published = publish_segments(storage, manifest, changed, description, operation="apply", by=by)
        return replace(changes, snapshot=published.number)


def _require_same_segments(reviewed: Manifest, current: Manifest) -> None:
    if (reviewed.segments, reviewed.segment_files) != (current.segments, current.segment_files):
        message = f"the segments were changed after snapshot {reviewed.number}, with which the files were compared"
        raise ExpressionError(Problem("changed-segments", message, hint="run the command again and review its changes"))


def _replace_segments(storage: Storage, manifest: Manifest, changes: SegmentChanges) -> Manifest:
    """Return *manifest* with the changed segments, after their lists of ids are written."""
    written = {**changes.added, **{name: after for name, (_, after) in changes.changed.items()}}
    lists = {name: tuple(write_id_list(storage, file) for file in list_id_files(written[name])) for name in written}
    texts = {**manifest.segments, **{name: render(expr) for name, expr in written.items()}}
    files = {**manifest.segment_files, **lists}
    return replace(
        manifest,
        segments={name: text for name, text in texts.items() if name not in changes.removed},
        segment_files={name: files[name] for name in files if files[name] and name not in changes.removed},
    )


def _describe_changes(changes: SegmentChanges) -> str:
    return (
        f"segments applied: {len(changes.added):,} added, {len(changes.changed):,} changed, "
        f"{len(changes.removed):,} removed"
    )


def _validate_segments(segments: Mapping[str, Expr], changes: SegmentChanges, snapshot: Snapshot) -> None:
    """Raise SegmentErrors with the problems of all *segments*."""
    problems = {
        name: found
        for name, expr in segments.items()
        if (found := _find_problems(name, expr, segments, changes, snapshot))
    }
    if not problems:
        cycles = find_segment_cycles(segments)
        problems = {name: (cycle,) for name, cycle in cycles.items()} or _find_long_expansions(segments)
    if problems:
        raise SegmentErrors(problems)


def _find_problems(
    name: str, expr: Expr, segments: Mapping[str, Expr], changes: SegmentChanges, snapshot: Snapshot
) -> tuple[Problem, ...]:
    """Return the problems of one expression, but not the problems of segments that it refers to."""
    removed = [segment for other, segment in referenced_segments(expr).items() if other in changes.removed]
    if removed:
        return tuple(_removed_problem(segment) for segment in removed)
    try:
        files = list(list_id_files(expr))
        require_distinct_paths(files)
        parse_saved(render(expr), files)
        validate_segment(expand_segments(expr, dict.fromkeys(segments, Everyone())), snapshot)
    except ExpressionError as error:
        return error.problems
    return ()


def _removed_problem(segment: Segment) -> Problem:
    message = f"{render(segment)} is mentioned, and would be removed"
    return Problem("used-segment", message, segment.span, hint=f"keep {render(segment)}, or remove it here too")


def _find_long_expansions(segments: Mapping[str, Expr]) -> dict[str, tuple[Problem, ...]]:
    """Return the problems of segments that are too long or too deep with the segments that they refer to.

    Only those are expanded that no other refers to, as the others are part of these.
    """
    referenced = {name for expr in segments.values() for name in referenced_segments(expr)}
    problems: dict[str, tuple[Problem, ...]] = {}
    for name in segments.keys() - referenced:
        try:
            expand_segments(segments[name], segments)
        except ExpressionError as error:
            problems[name] = error.problems
    return problems
