"""Arguments and options that several commands share, and the parsers of their values."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from audience.cli.declarations import Argument, Option
from audience.errors import DeliveryError, PlanError, Problem
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import Expr

if TYPE_CHECKING:  # most commands do not load these modules
    from audience.index.storage.snapshot import Snapshot
    from audience.planning.catalog.catalog import Catalog

EXPR_COMPLETION = "audience.cli.completion:complete_expr"  # imported when a shell completes
HOUR_SECONDS, WEEK_SECONDS = 3_600, 604_800


IndexArgument = Annotated[Path, Argument(metavar="INDEX", help="Folder of the index.")]
ExprArgument = Annotated[str, Argument(metavar="EXPR", help="Audience expression.", autocompletion=EXPR_COMPLETION)]
OptionalIndexArgument = Annotated[
    Path | None, Argument(metavar="[INDEX]", help="Folder of the index.", show_default=False)
]
AudienceArgument = Annotated[
    str | None,
    Argument(metavar="[EXPR]", help="Audience expression.", show_default=False, autocompletion=EXPR_COMPLETION),
]
TablesArgument = Annotated[
    list[str], Argument(metavar="TABLE", help="Parquet, CSV, NDJSON or Arrow IPC files, folders, globs or URLs.")
]
OptionalTablesArgument = Annotated[
    list[str] | None,
    Argument(
        metavar="[TABLE]",
        help="Parquet, CSV, NDJSON or Arrow IPC files, folders, globs or URLs.",
        show_default="`devices.table` of audience.toml",
    ),
]
IgnoreOption = Annotated[
    list[str] | None, Option("--ignore", metavar="COLUMN", help="Leave this column out. Repeatable.")
]
VendorOption = Annotated[str, Option("--vendor", metavar="VENDOR", help="Vendor to plan for, see `audience vendors`.")]
AsOfOption = Annotated[
    str | None,
    Option("--as-of", metavar="MOMENT", help="Answer as of a moment, as 2026-11-28T09:00+08:00, instead of now."),
]
ZoneOption = Annotated[
    str | None,
    Option("--timezone", metavar="NAME", help="Time zone of days, as Asia/Shanghai, instead of the index's."),
]
AllowGapsOption = Annotated[
    bool, Option("--allow-gaps", help="Answer questions about events although some of their days are not covered.")
]
ThreadsOption = Annotated[
    int | None,
    Option("--threads", min=1, metavar="N", help="Threads that search the index.", show_default="one for each core"),
]
CatalogOption = Annotated[
    Path | None, Option("--catalog", metavar="FILE", help="Catalog of attributes and their vendor names.")
]
VendorHasOption = Annotated[
    str | None,
    Option(
        "--vendor-has",
        metavar="TYPE,…",
        help="Types of tags that the vendor has although the catalog does not say so, or `all`.",
    ),
]
CapOption = Annotated[
    list[str] | None,
    Option(
        "--cap", metavar="EXPR", help="Leave out devices that do not fit, besides the index's policies. Repeatable."
    ),
]
WithoutPolicyOption = Annotated[
    list[str] | None,
    Option("--without-policy", metavar="NAME", help="Do not apply this policy of the index. Repeatable."),
]
OutOption = Annotated[Path, Option("-o", "--out", metavar="DIR", help="New folder to write.")]
ReplaceOption = Annotated[bool, Option("--replace", help="Replace the folder if nothing was sent from it.")]
WaitOption = Annotated[
    float,
    Option("--wait", min=0, max=WEEK_SECONDS, metavar="SECONDS", help="Time to wait for another writer of the index."),
]
IdsArgument = Annotated[
    list[str] | None, Argument(metavar="[ID]", help="Device ids; `-` reads them from standard input, one a line.")
]
IdFilesOption = Annotated[
    list[str] | None,
    Option("--ids", metavar="FILE", help="Text file with one id a line, or a table. Repeatable."),
]
OptionalExprArgument = Annotated[
    str | None, Argument(metavar="[EXPR]", help="Audience to save, or a list with `--ids`.", show_default=False)
]
IdListOption = Annotated[
    str | None,
    Option("--ids", metavar="FILE", help="List to save: a text file with one id a line, or a table."),
]
IdListColumnOption = Annotated[
    str | None,
    Option(
        "--column",
        metavar="NAME",
        help="Id column of the index, and of a table, that the ids are of.",
        show_default="device ids of any column",
    ),
]
EncodingOption = Annotated[
    str | None,
    Option("--encoding", metavar="NAME", help="Encoding of text files. UTF-8, UTF-16 and GB18030 are detected."),
]
DelimiterOption = Annotated[
    str | None, Option("--delimiter", metavar="CHAR", help="Delimiter of CSV files: , ; | or tab. Detected.")
]
IdColumnOption = Annotated[
    str | None, Option("--column", metavar="NAME", help="Column of the table that holds the ids.")
]


@dataclass(frozen=True, slots=True)
class QuestionOptions:
    """Options for when and where an expression is asked, and with how many threads it is answered."""

    as_of: AsOfOption = None
    timezone: ZoneOption = None
    allow_gaps: AllowGapsOption = False
    threads: ThreadsOption = None

    def matter_for(self, expr: Expr, snapshot: "Snapshot") -> bool:
        """Return whether the moment and the time zone are shown: the answer may depend on them, or one was given."""
        from audience.index.query.questions import depends_on_question  # commands without an index do not load it

        is_given = self.as_of is not None or self.timezone is not None or self.allow_gaps
        return is_given or depends_on_question(expr, snapshot)

    def read(self, default_timezone: str) -> AsOf:
        """Return the moment and the time zone of the question; by default now, and the zone of the index.

        Raises:
            ExpressionError: The moment or the time zone is invalid.
        """
        return read_as_of(self.as_of, self.timezone, default_timezone, self.allow_gaps)


def load_optional_catalog(path: Path | None) -> "Catalog | None":
    """Return the catalog at *path*, or None without a path."""
    if path is None:
        return None
    from audience.planning.catalog.check import load_catalog

    return load_catalog(path)


def parse_token_options(options: list[str]) -> dict[str, str]:
    """Parse `--token [VENDOR=]COLUMN` options into id columns by vendor; reject two columns for one vendor."""
    columns: dict[str, str] = {}
    for option in options:
        vendor, column = parse_pair(option, "registration_id")
        if columns.setdefault(vendor, column) != column:
            message = f"two id columns for {vendor}: {columns[vendor]} and {column}"
            raise PlanError(Problem("two-roles", message, hint="name one of them"))
    return columns


def parse_fraction(text: str) -> float:
    """Parse a fraction of all devices.

    >>> parse_fraction("50%"), parse_fraction("0.5")
    (0.5, 0.5)
    """
    try:
        fraction = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        fraction = -1.0
    if not 0 <= fraction <= 1:
        raise PlanError(Problem("bad-option", f"{text!r} is not a fraction of all devices", hint="write 50% or 0.5"))
    return fraction


def parse_pair(text: str, default_name: str | None, example: str = "--split 'tags=;'") -> tuple[str, str]:
    """Parse NAME=VALUE, as in *example*; a lone VALUE gets *default_name*, if there is one."""
    name, separator, value = text.partition("=")
    if separator and name and value:
        return name, value
    if separator or default_name is None:
        hint = f"for example {example}"
        raise PlanError(Problem("bad-option", f"{text!r} is not of the form NAME=VALUE", hint=hint))
    return default_name, text


def parse_vendor_host(text: str) -> tuple[str | None, str]:
    """Return the vendor and the host of `[VENDOR=]HOST`; a host without a vendor is for all of them.

    >>> parse_vendor_host("tpns=shanghai"), parse_vendor_host("http://127.0.0.1:8080")
    (('tpns', 'shanghai'), (None, 'http://127.0.0.1:8080'))
    """
    from audience.vendors import vendor_names

    name, separator, host = text.partition("=")
    return (name, host) if separator and name in vendor_names() else (None, text)


def parse_max_unknown(text: str | None) -> float | None:
    """Return a percentage as a share, or None without one; raise DeliveryError if it is none.

    >>> parse_max_unknown("2%"), parse_max_unknown("0.5"), parse_max_unknown("100 %")
    (0.02, 0.005, 1.0)
    """
    if text is None:
        return None
    number = text.strip().removesuffix("%").rstrip()
    percent = float(number) if number.replace(".", "", 1).isdecimal() and number.isascii() else -1.0
    if not 0 <= percent <= 100:
        message = f"--max-unknown: expected a percentage from 0% to 100%, found {text!r:.40}"
        raise DeliveryError(Problem("bad-option", message, hint="write it like 2%"))
    return percent / 100
