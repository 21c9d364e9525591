"""Count an audience in each snapshot that an index keeps."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from audience.errors import ExpressionError, InvalidIndexError, Problem
from audience.index.query.counting import count_devices
from audience.index.query.validate import validate_segment
from audience.index.storage.kept_snapshots import open_kept_snapshot
from audience.index.storage.retention import list_snapshot_numbers
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import read_as_of
from audience.language.ast import Expr
from audience.language.segments import expand_segments


@dataclass(frozen=True, slots=True)
class SnapshotCount:
    """Number of devices of an audience in a snapshot.

    Attributes:
        number: Number of the snapshot.
        created: When it was published, in UTC; None if it cannot be opened.
        device_count: Number of devices; None if the snapshot cannot answer.
        problem: Why it cannot.
    """

    number: int
    created: str | None
    device_count: int | None
    problem: Problem | None = None


def count_in_snapshots(
    expr: Expr,
    snapshot: Snapshot,
    *,
    last: int | None,
    as_of: datetime | str | None,
    timezone: str | None,
    allow_gaps: bool,
) -> list[SnapshotCount]:
    """Count *expr* in each kept snapshot up to *snapshot*, oldest first, with the segments of *snapshot*.

    Each snapshot is asked at the moment when it was published, unless *as_of* says another one.

    Args:
        expr: Expression.
        snapshot: Newest snapshot.
        last: Number of snapshots that are asked, the newest ones; None is all.
        as_of: Moment of the question.
        timezone: Time zone of the question.
        allow_gaps: Whether days of events may be missing.

    Raises:
        ExpressionError: *snapshot* cannot answer *expr*, whatever days of events it has.
    """
    expanded = expand_segments(expr, snapshot.segments)
    validate_segment(expanded, snapshot)
    counts = islice(_iter_counts(expanded, snapshot, as_of, timezone, allow_gaps), last)
    return [*counts][::-1]


def _iter_counts(
    expr: Expr, snapshot: Snapshot, as_of: datetime | str | None, timezone: str | None, allow_gaps: bool
) -> Iterator[SnapshotCount]:
    """Yield the counts, the newest first."""
    for number in reversed(list_snapshot_numbers(snapshot.storage, snapshot.manifest)):
        created = None
        try:
            opened = open_kept_snapshot(snapshot, number)
            created = opened.manifest.created
            asked = read_as_of(as_of or created, timezone, opened.timezone, allow_gaps)
            yield SnapshotCount(number, created, count_devices(expr, opened, asked))
        except (ExpressionError, InvalidIndexError) as error:
            yield SnapshotCount(number, created, None, error.problems[0])
