"""Options for reading a table that concern its files rather than the roles of its columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, get_args
from zoneinfo import ZoneInfo

from audience.errors import ExpressionError, Problem, TableError
from audience.language.zones import DEFAULT_ZONE, load_zone

OnBadRow: TypeAlias = Literal["stop", "reject"]
Duplicates: TypeAlias = Literal["refuse", "last", "merge"]


class ReadArguments(TypedDict, total=False):
    """Keyword arguments for reading a table, as `ReadOptions` describes them.

    `date_format` is one format for all columns, or a format for each column.
    """

    encoding: str | None
    delimiter: str | None
    date_format: str | Mapping[str, str] | None
    missing: Sequence[str] | None
    on_bad_row: OnBadRow
    rejects: str | Path | None
    duplicates: Duplicates
    timezone: str | None
    query: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """Options for reading a table.

    Attributes:
        encoding: Encoding of text files. UTF-8, UTF-16 and GB18030 are detected.
        delimiter: Delimiter of CSV files; one of `,`, `;`, `|` and tab is detected.
        date_formats: Format of the dates of each column; under the name "", of all columns.
        missing: Texts of a CSV that are missing values, as `NULL` or `n/a`.
        on_bad_row: Stop at a bad row, or write it to *rejects*.
        rejects: File of rejected rows.
        duplicates: Refuse several rows of one id, take the last, or merge them.
        timezone: IANA name of the time zone of timestamps without a zone; None for that of the index.
        query: Statement that a database answers with the table.
    """

    encoding: str | None = None
    delimiter: str | None = None
    date_formats: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    on_bad_row: OnBadRow = "stop"
    rejects: Path | None = None
    duplicates: Duplicates = "refuse"
    timezone: str | None = None
    query: str | None = None

    def __post_init__(self) -> None:
        _require_choice("on_bad_row", self.on_bad_row, get_args(OnBadRow))
        _require_choice("duplicates", self.duplicates, get_args(Duplicates))
        if self.timezone is not None:
            _require_zone(self.timezone)

    @property
    def rejects_file(self) -> Path | None:
        """Return the file of rejected rows, or None if a bad row stops the command."""
        return self.rejects if self.on_bad_row == "reject" else None

    @property
    def zone(self) -> ZoneInfo:
        """Return the time zone of timestamps without a zone."""
        return ZoneInfo(self.timezone or DEFAULT_ZONE)


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        message = f"{name} is {value!r}, expected {' or '.join(choices)}"
        raise TableError(Problem("bad-option", message, hint=f"use one of {', '.join(choices)}"))


def _require_zone(name: str) -> None:
    try:
        load_zone(name)
    except ExpressionError as error:
        raise TableError(*error.problems) from None


def parse_read_arguments(arguments: ReadArguments, index: Path) -> ReadOptions:
    """Return the options that the keyword *arguments* give; rejects are by default written beside the *index*.

    Raises:
        TableError: An argument has a value that it cannot have.
    """
    given: dict[str, Any] = dict(arguments)
    date_format, rejects = given.pop("date_format", None), given.pop("rejects", None)
    rejects = Path(rejects) if rejects else index.with_name(f"{index.name}.rejects.csv")
    missing = tuple(given.pop("missing", None) or ())
    date_formats = {"": date_format} if isinstance(date_format, str) else date_format or {}
    return ReadOptions(date_formats=date_formats, missing=missing, rejects=rejects, **given)


DEFAULT_READ_OPTIONS = ReadOptions()
