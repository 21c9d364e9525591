"""Options for reading tables, which building and updating an index share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

from audience.cli.declarations import Option
from audience.cli.options import DelimiterOption, EncodingOption
from audience.index.ingest.read_options import Duplicates, OnBadRow, ReadArguments

DateFormatOption = Annotated[
    list[str] | None,
    Option(
        "--date-format",
        metavar="[COLUMN=]FORMAT",
        help="Format of dates, as %d/%m/%Y, epoch-seconds or epoch-milliseconds. Repeatable.",
    ),
]
MissingOption = Annotated[
    list[str] | None,
    Option("--missing", metavar="TEXT", help="Text that is no value in a CSV, as NULL. Repeatable."),
]
OnBadRowOption = Annotated[
    str,
    Option("--on-bad-row", metavar="stop|reject", help="Stop at a bad row, or write it to the rejects file."),
]
RejectsOption = Annotated[
    Path | None,
    Option("--rejects", metavar="FILE", help="File of rejected rows; by default INDEX.rejects.csv."),
]
QueryOption = Annotated[
    str | None,
    Option("--query", metavar="SQL", help="Query that a database, named as the table, answers with the rows."),
]


@dataclass(frozen=True, slots=True)
class EventFileOptions:
    """Options for the files of a table of events; their zone is that of the index."""

    encoding: EncodingOption = None
    delimiter: DelimiterOption = None
    date_format: DateFormatOption = None
    missing: MissingOption = None
    on_bad_row: OnBadRowOption = "stop"
    rejects: RejectsOption = None
    query: QueryOption = None

    def to_arguments(self) -> ReadArguments:
        """Return the keyword arguments for `DeviceIndex.add_events`."""
        return {
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "date_format": _parse_date_formats(self.date_format or []),
            "missing": self.missing,
            "on_bad_row": cast(OnBadRow, self.on_bad_row),
            "rejects": self.rejects,
            "query": self.query,
        }


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """Options for the files of a table, as `ReadOptions` describes them."""

    encoding: EncodingOption = None
    delimiter: DelimiterOption = None
    date_format: DateFormatOption = None
    missing: MissingOption = None
    on_bad_row: OnBadRowOption = "stop"
    rejects: RejectsOption = None
    duplicates: Annotated[
        str,
        Option(
            "--duplicates",
            metavar="refuse|last|merge",
            help="Refuse several rows of one id, take the last, or merge them: lists and tags are united.",
        ),
    ] = "refuse"
    timezone: Annotated[
        str | None,
        Option(
            "--timezone",
            metavar="NAME",
            help="Zone of days and of timestamps without a zone, as Asia/Shanghai: UTC unless it is set when the "
            "index is built.",
        ),
    ] = None
    query: QueryOption = None

    def to_arguments(self) -> ReadArguments:
        """Return the keyword arguments for `DeviceIndex.build` and `DeviceIndex.update`."""
        return {
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "date_format": _parse_date_formats(self.date_format or []),
            "missing": self.missing,
            "on_bad_row": cast(OnBadRow, self.on_bad_row),
            "rejects": self.rejects,
            "duplicates": cast(Duplicates, self.duplicates),
            "timezone": self.timezone,
            "query": self.query,
        }


def _parse_date_formats(options: list[str]) -> dict[str, str]:
    """Parse `--date-format [COLUMN=]FORMAT` options into formats by column; that of all columns has an empty name."""
    return {column: format_ for column, _, format_ in (option.rpartition("=") for option in options)}
