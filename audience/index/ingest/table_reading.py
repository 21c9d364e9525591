"""Record of how a table was read: every decision about its files, columns and rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audience.counts import format_count
from audience.index.ingest.text.files import TextFile
from audience.language.zones import DEFAULT_ZONE


@dataclass(frozen=True, slots=True)
class ColumnReading:
    """Column of a table, the role that it got, and why."""

    name: str
    role: str
    reason: str
    is_notable: bool = False


@dataclass(frozen=True, slots=True)
class TableReading:
    """Decisions of one build or update about its table.

    Attributes:
        text_files: CSV files with their encodings and delimiters.
        columns: Columns with their roles.
        row_count: Number of rows that were read, without rejected ones.
        rejected: Number of bad rows that were left out.
        rejects: File with them, if a bad row does not stop the command.
        stripped: Number of ids without their outer blanks, by column.
        duplicates: Number of rows that were dropped or merged, because another row has the same id.
        timezone: IANA name of the time zone of timestamps without a zone.
        is_default_timezone: Whether nobody chose it.
        repeated_times: Number of timestamps that occur twice, because clocks were put back, by column.
        skipped_times: Number of timestamps that never occur, because clocks were put forward, by column.
        renamed_platforms: Platforms in other spellings than the one of expressions, and that one.
        lost_tags: Bare tags that the replaced index had and this one has not, with the number of their devices.
    """

    text_files: tuple[TextFile, ...]
    columns: tuple[ColumnReading, ...]
    row_count: int
    rejected: int = 0
    rejects: str | None = None
    stripped: Mapping[str, int] | None = None
    duplicates: int = 0
    renamed_platforms: Mapping[str, str] = field(default_factory=dict)
    timezone: str = DEFAULT_ZONE
    is_default_timezone: bool = False
    repeated_times: Mapping[str, int] = field(default_factory=dict)
    skipped_times: Mapping[str, int] = field(default_factory=dict)
    lost_tags: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return all decisions as a JSON object."""
        return {
            "files": [_file_json(file) for file in self.text_files],
            "columns": [{"name": column.name, "role": column.role, "reason": column.reason} for column in self.columns],
            "rows": self.row_count,
            "rejected": self.rejected,
            "rejects": self.rejects,
            "stripped_ids": dict(self.stripped or {}),
            "duplicates": self.duplicates,
            "renamed_platforms": dict(self.renamed_platforms),
            "timezone": self.timezone,
            "repeated_times": dict(self.repeated_times),
            "skipped_times": dict(self.skipped_times),
            "lost_tags": dict(self.lost_tags),
        }

    def notes(self) -> list[str]:
        """Return the decisions that may surprise, one a line."""
        lines = [f"{file.name}: {note}" for file in self.text_files for note in _file_notes(file)]
        lines += [f"column {column.name}: {column.reason}" for column in self.columns if column.is_notable]
        lines += self._timezone_notes()
        lines += [
            f"column {name}: outer blanks of {format_count(count, 'id')} removed"
            for name, count in (self.stripped or {}).items()
        ]
        lines += [f"{format_count(self.rejected, 'bad row')} left out, see {self.rejects}"] if self.rejected else []
        lines += [f"{format_count(self.duplicates, 'row')} with the id of another row"] if self.duplicates else []
        renames = [f"{spelling} is read as {name}" for spelling, name in sorted(self.renamed_platforms.items())]
        return [*lines, *([f"platforms: {', '.join(renames)}"] if renames else [])]

    def _timezone_notes(self) -> list[str]:
        zone = self.timezone
        example = "use --timezone Asia/Shanghai, for example, for the days and wall-clock times of another zone"
        lines = [f"timezone {zone}, because none was given; {example}"] if self.is_default_timezone else []
        lines += [
            f"column {name}: {count:,} times occur twice in {zone}, where clocks are put back; the first is meant"
            for name, count in self.repeated_times.items()
        ]
        return lines + [
            f"column {name}: {count:,} times never occur in {zone}, where clocks are put forward; read as after it"
            for name, count in self.skipped_times.items()
        ]


def _file_json(file: TextFile) -> dict[str, Any]:
    return {
        "path": file.name,
        "encoding": file.encoding.codec,
        "encoding_reason": file.encoding.reason,
        "delimiter": file.dialect.delimiter,
        "delimiter_reason": file.dialect.reason,
        "rows": file.row_count,
        "blank_lines": file.blank_lines,
    }


def _file_notes(file: TextFile) -> Sequence[str]:
    encoding, blank = file.encoding, file.blank_lines
    notes = [f"encoding {encoding.codec}, {encoding.reason}"] if encoding.codec != "utf-8" else []
    notes += [f"delimiter {file.dialect.delimiter!r}, {file.dialect.reason}"] if file.dialect.delimiter != "," else []
    return [*notes, *([f"{format_count(blank, 'empty line')} skipped"] if blank else [])]
