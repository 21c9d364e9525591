"""Command that lists who changed a segment, when, and how."""

from typing import Annotated

from audience.cli.commands.segment import SegmentNameArgument, parse_segment_name
from audience.cli.declarations import Option
from audience.cli.options import IndexArgument, QuestionOptions
from audience.cli.output.widgets import format_table
from audience.cli.output.writer import Output
from audience.errors import Problem
from audience.index.device_index import DeviceIndex
from audience.index.query.snapshot_counts import SnapshotCount
from audience.index.records.segment_history import SegmentChange
from audience.json_forms.segment_history import segment_change_json, snapshot_count_json
from audience.language.printer import render

FORGOTTEN = "(it named an id that was forgotten)"


def run_segment_history(
    output: Output,
    index: IndexArgument,
    name: SegmentNameArgument,
    *,
    counts: Annotated[
        bool, Option("--counts", help="Also count the segment, as it is now, in each snapshot that is kept.")
    ] = False,
    question: QuestionOptions,
) -> None:
    """List the changes of a segment: who saved or dropped it, when, and its expression.

    With `--counts` each snapshot is asked at the moment when it was published, unless `--as-of` says another one.
    """
    device_index, segment = DeviceIndex.open(index, threads=question.threads), parse_segment_name(name)
    changes = device_index.segment_history(segment.name)
    facts = {
        "name": segment.name,
        "history": [*map(segment_change_json, changes)],
        "used_by": list(device_index.segment_users().get(segment.name, ())),
        "snapshot": device_index.snapshot.manifest.number,
    }
    counted = _count_in_snapshots(device_index, segment.name, question, output) if counts else None
    facts |= {} if counted is None else {"counts": [*map(snapshot_count_json, counted)]}
    tables = [_format_changes(changes) or f"no change of {render(segment)} is recorded", *_format_counts(counted or [])]
    output.print_result(facts, "\n\n".join(tables))


def _count_in_snapshots(
    index: DeviceIndex, name: str, question: QuestionOptions, output: Output
) -> list[SnapshotCount] | None:
    """Return the counts of a segment in all snapshots, or None, with a note, if it is not saved now."""
    if name not in index.segments:
        output.print_notes([Problem("unknown-segment", f"{name!r} is not saved now, and not counted")])
        return None
    return index.count_over_snapshots(
        index.segments[name], as_of=question.as_of, timezone=question.timezone, allow_gaps=question.allow_gaps
    )


def _format_changes(changes: list[SegmentChange]) -> str:
    titles = ("changed", "by", "action", "snapshot", "expression")
    rows = [
        (
            change.at,
            change.by or "",
            change.action if change.operation in ("save", "drop") else f"{change.action} by {change.operation}",
            "" if change.snapshot is None else str(change.snapshot),
            FORGOTTEN if change.expression is None else change.expression,
        )
        for change in changes
    ]
    return format_table(titles, rows, right_aligned=(3,)) if rows else ""


def _format_counts(counts: list[SnapshotCount]) -> list[str]:
    """Return the table of the counts, if there are any."""
    rows = [
        (
            str(count.number),
            count.created or "",
            "" if count.device_count is None else f"{count.device_count:,}",
            "" if count.problem is None else count.problem.message,
        )
        for count in counts
    ]
    return [format_table(("snapshot", "created", "devices", ""), rows, right_aligned=(0, 2))] if rows else []
