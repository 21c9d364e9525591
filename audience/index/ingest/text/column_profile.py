"""Counts of the spellings in the columns of a text file, over all of its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import polars as pl
from polars import selectors

from audience.index.ingest.text.dates import COMPACT_DAY_PATTERN, DateParts

Guess: TypeAlias = Literal["number", "boolean", "iso day", "iso moment", "date", "text"]

SAMPLE_ROWS = 1_000
MAX_SHORT_NUMBER = 15  # characters
INTEGER_PATTERN = r"^-?(?:0|[1-9][0-9]{0,17})$"
NUMBER_PATTERN = (
    r"^-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+][0-9]+)?|\.[0-9]+(?:[eE][-+][0-9]+)?"
    r"|(?:0|[1-9][0-9]*)\.[0-9]+[eE][0-9]+)$"
)
CODE_PATTERN = r"^\s*[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?\s*$"  # what is a number only in another spelling
BOOLEAN_PATTERN = r"^(?i:true|false)$"
ISO_DAY_PATTERN = r"^\d{4}-\d{2}-\d{2}$"
ISO_MOMENT_PATTERN = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:[0-5]\d(\.\d{1,6})?)?$"  # without a second of 60
NAMES_OF_DAYS_AND_MONTHS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
DIGIT_PATTERN = rf"(?i)^\s*[-+]?\.?[0-9]|^({NAMES_OF_DAYS_AND_MONTHS}).*[0-9]{{4}}"
SCIENTIFIC_ID_PATTERN = r"^[-+]?[0-9](?:\.[0-9]+[eE]\+?|[eE]\+)[0-9]{2,}$"  # 1.23457E+17, as spreadsheets write it
DECIMAL_ID_PATTERN = r"^[0-9]+\.0$"
WHOLE_ID_PATTERN = r"^[0-9]+$"


@dataclass(frozen=True, slots=True)
class ColumnCounts:
    """Number of values in a column by their spelling.

    Attributes:
        present: Values that are not empty.
        integers: Whole numbers of at most 18 digits.
        short: Values of at most 15 characters, which a float represents exactly if they are numbers.
        numbers: Numbers, whole or decimal.
        codes: Numbers with leading zeros, a plus, a bare exponent or blanks.
        booleans: `true` and `false`.
        zero_one: `0` and `1`.
        days: Dates without a time.
        moments: Dates with a time.
        zoned: Dates with a time and a zone.
        day_first: Dates like 13/04/2020.
        month_first: Dates like 04/13/2020.
        either: Dates like 03/04/2020.
        compact_days: Dates like 20200408.
        is_iso: Whether all values are like 2020-04-08, or all like 2020-04-08T10:30, which are parsed fast.
    """

    present: int = 0
    integers: int = 0
    short: int = 0
    numbers: int = 0
    codes: int = 0
    booleans: int = 0
    zero_one: int = 0
    days: int = 0
    moments: int = 0
    zoned: int = 0
    day_first: int = 0
    month_first: int = 0
    either: int = 0
    compact_days: int = 0
    is_iso: bool = False


def present(name: str) -> pl.Expr:
    """Return the values of the column *name* that are not empty."""
    text = selectors.by_name(name).as_expr()
    return pl.when(text != "").then(text)


def count_columns(
    lazy_frame: pl.LazyFrame, names: Sequence[str], other: Mapping[str, pl.Expr]
) -> tuple[dict[str, ColumnCounts], dict[str, Any]]:
    """Return the counts of the columns *names*, and the values of *other* aggregations of the same pass.

    A sample decides which spellings are counted at first; a column where others occur is counted completely.
    """
    sample = lazy_frame.select(selectors.by_name(*names)).head(SAMPLE_ROWS).collect() if names else pl.DataFrame()
    guesses = {name: _guess(sample.lazy(), name) for name in names}
    expressions = [
        expr.alias(f"{number}:{key}")
        for number, name in enumerate(names)
        for key, expr in _brief_counts(present(name), guesses[name]).items()
    ]
    extra = [expr.alias(f"other:{key}") for key, expr in other.items()]
    if not expressions and not extra:
        return {}, {}
    row = lazy_frame.select([*expressions, *extra]).collect(engine="streaming").row(0, named=True)
    brief = {
        name: {key.split(":")[1]: value for key, value in row.items() if key.startswith(f"{number}:")}
        for number, name in enumerate(names)
    }
    counts = {name: _settle(lazy_frame, name, brief[name], guesses[name]) for name in names}
    return counts, {key: row[f"other:{key}"] for key in other}


def _settle(lazy_frame: pl.LazyFrame, name: str, brief: dict[str, int], guess: Guess) -> ColumnCounts:
    """Return the counts of a column, whose *brief* counts may show that it has other values than guessed."""
    if guess == "text":
        is_text = 2 * brief["probe"] < brief["present"] or not brief["present"]
        return ColumnCounts(present=brief["present"]) if is_text else _count_completely(lazy_frame, name)
    fitting = max(brief.get(key, 0) for key in ("numbers", "booleans", "days", "moments"))
    if fitting < brief["present"]:
        return _count_completely(lazy_frame, name)
    return ColumnCounts(**brief, is_iso=guess in ("iso day", "iso moment"))


def _guess(sample: pl.LazyFrame, name: str) -> Guess:
    """Return the spelling that all values of a sample have, else text."""
    text = present(name)
    patterns: dict[Guess, str] = {
        "number": NUMBER_PATTERN,
        "boolean": BOOLEAN_PATTERN,
        "iso day": ISO_DAY_PATTERN,
        "iso moment": ISO_MOMENT_PATTERN,
    }
    checks = [(text.is_null() | text.str.contains(pattern)).all().alias(guess) for guess, pattern in patterns.items()]
    row = sample.select(text.is_not_null().any().alias("any"), *checks).collect().row(0, named=True)
    if not row["any"]:
        return "text"
    return next((guess for guess in patterns if row[guess]), "text")


def _brief_counts(text: pl.Expr, guess: Guess) -> dict[str, pl.Expr]:
    """Return the counts of a column that is as *guess*, and a probe of values that are not."""
    count = {"present": text.is_not_null().sum()}
    match guess:
        case "number":
            return count | {
                "integers": text.str.contains(INTEGER_PATTERN).sum(),
                "short": (text.str.len_bytes() <= MAX_SHORT_NUMBER).sum(),
                "numbers": text.str.contains(NUMBER_PATTERN).sum(),
                "zero_one": text.is_in(["0", "1"]).sum(),
            }
        case "boolean":
            return count | {"booleans": text.str.contains(BOOLEAN_PATTERN).sum()}
        case "iso day":
            return count | {"days": parse_iso_days(text).is_not_null().sum()}
        case "iso moment":
            return count | {"moments": parse_iso_moments(text).is_not_null().sum()}
    return count | {"probe": (text.str.contains(DIGIT_PATTERN) | text.str.contains(BOOLEAN_PATTERN)).sum()}


def _count_completely(lazy_frame: pl.LazyFrame, name: str) -> ColumnCounts:
    text, is_date = pl.col("text"), pl.col("is_date")
    with_parts, parts = DateParts.add_columns(lazy_frame.select(text=present(name)))
    table = with_parts.with_columns(is_date=parts.is_date())
    either = parts.first.is_between(1, 12) & parts.second.is_between(1, 12)
    is_number, is_code = text.str.contains(NUMBER_PATTERN), text.str.contains(CODE_PATTERN)
    counts = {
        "present": text.is_not_null(),
        "integers": text.str.contains(INTEGER_PATTERN),
        "short": text.str.len_bytes() <= MAX_SHORT_NUMBER,
        "numbers": is_number,
        "codes": is_code & ~is_number,
        "booleans": text.str.contains(BOOLEAN_PATTERN),
        "zero_one": text.is_in(["0", "1"]),
        "days": is_date & parts.hour.is_null(),
        "moments": is_date & parts.hour.is_not_null(),
        "zoned": is_date & parts.zone.is_not_null(),
        "day_first": is_date & (parts.first > 12),
        "month_first": is_date & (parts.second > 12),
        "either": is_date & either & (parts.first != parts.second),
        "compact_days": text.str.contains(COMPACT_DAY_PATTERN) & text.str.to_date("%Y%m%d", strict=False).is_not_null(),
    }
    selected = table.select(**{key: expr.sum() for key, expr in counts.items()})
    return ColumnCounts(**selected.collect(engine="streaming").row(0, named=True))


def parse_iso_days(text: pl.Expr) -> pl.Expr:
    """Parse days like 2020-04-08."""
    return pl.when(text.str.contains(ISO_DAY_PATTERN)).then(text.str.to_date("%Y-%m-%d", strict=False))


def parse_iso_moments(text: pl.Expr) -> pl.Expr:
    """Parse each accepted format by name; format inference could differ from chunk to chunk."""
    with_space = text.str.replace("T", " ", literal=True)
    formats = ("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S%.f")
    parsed = [with_space.str.to_datetime(format_, strict=False, time_unit="us") for format_ in formats]
    return pl.when(text.str.contains(ISO_MOMENT_PATTERN)).then(pl.coalesce(parsed))


def find_first(lazy_frame: pl.LazyFrame, name: str, condition: pl.Expr) -> tuple[int, str] | None:
    """Return the row, counted from 0, and the value of the first one in column *name* that meets *condition*.

    The condition is about the column `text`.
    """
    found = (
        lazy_frame.select(text=present(name))
        .with_row_index("row")
        .filter(pl.col("text").is_not_null() & condition)
        .head(1)
        .collect()
    )
    return None if found.is_empty() else found.select("row", "text").row(0)


def count_distinct(lazy_frame: pl.LazyFrame, name: str, condition: pl.Expr) -> int:
    """Return the number of distinct values in column *name* that meet *condition*."""
    values = (
        lazy_frame.select(text=present(name))
        .filter(pl.col("text").is_not_null() & condition)
        .select(pl.col("text").n_unique())
    )
    return int(values.collect(engine="streaming").item())
