"""SQL against a slow oracle, which knows nothing of indexes: random tables with whatever a value may have."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from math import isnan

import duckdb
import polars as pl
import pytest
from clickhouse import open_clickhouse, read_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import boolean_exprs

from audience import (
    And,
    Between,
    Compare,
    DeviceIndex,
    Has,
    Ids,
    Matches,
    Not,
    Or,
    Tag,
    render,
)
from audience.language.ast import COMPARE_OPS, LOW_OPS
from audience.language.patterns import escape_pattern
from audience.testing.oracle import is_text_match

SPECIAL = "aAkK\u212aßẞıİ'\"\\%_*?[]()$^.|!-;\0\n\t \u3000é"
characters = st.characters(codec="utf-8") | st.sampled_from(SPECIAL)
texts = st.text(characters, max_size=4)
floats = st.floats(allow_infinity=False) | st.sampled_from([0.1, 0.5, 30.0, -0.0, 1e22, 5e-324])
ints = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
dates = st.dates(date(1900, 1, 1), date(2299, 12, 31)) | st.sampled_from([date(2020, 2, 29), date(1970, 1, 1)])
moments = st.datetimes(datetime(1900, 1, 1), datetime(2262, 1, 1)) | st.sampled_from(
    [datetime(2020, 2, 29), datetime(1970, 1, 1)]
)
versions = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
rows = st.fixed_dictionaries(
    {
        "city": st.none() | texts,
        "tags": st.none() | st.lists(st.none() | texts, max_size=3),
        "alias": st.none() | st.lists(st.none() | texts, max_size=2),
        "age": st.none() | ints,
        "score": st.none() | floats,
        "single": st.none() | st.floats(width=32, allow_infinity=False),
        "days": st.none() | st.lists(st.none() | dates, max_size=2),
        "signup": st.none() | dates,
        "seen": st.none() | moments,
        "app_version": st.none() | versions | st.just(""),
    }
)
SCHEMA = {
    "city": pl.String(),
    "tags": pl.List(pl.String),
    "alias": pl.List(pl.String),
    "age": pl.Int64(),
    "score": pl.Float64(),
    "single": pl.Float32(),
    "days": pl.List(pl.Date),
    "signup": pl.Date(),
    "seen": pl.Datetime("us"),
    "app_version": pl.String(),
}
TEXTS, NUMBERS, DAYS = ("city", "tags", "app_version"), ("age", "score", "single"), ("days", "signup")


def values_of(row, name):
    """The values of a column of *row*: none that is missing, empty or NaN."""
    value = row[name]
    values = value if isinstance(value, list) else [value]
    return [
        each for each in values if each is not None and each != "" and not (isinstance(each, float) and isnan(each))
    ]


def key_of(name, text):
    """What the operand *text* is compared as, with values of a column."""
    if name in NUMBERS:
        return Decimal(text)
    if name in DAYS:
        return date.fromisoformat(text)
    return [*map(int, text.split("."))]


def value_key(name, value):
    if name == "single":
        return Decimal(str(pl.Series([value], dtype=pl.Float32).cast(pl.String)[0]))
    if name in NUMBERS:
        return Decimal(repr(value))
    if name in DAYS:
        return value
    return [*map(int, value.split("."))]


def compare(lhs, operator, rhs):
    if isinstance(lhs, list):
        size = max(len(lhs), len(rhs))
        lhs, rhs = ([*parts, *[0] * (size - len(parts))] for parts in (lhs, rhs))
    return {"<": lhs < rhs, "<=": lhs <= rhs, ">": lhs > rhs, ">=": lhs >= rhs, "=": lhs == rhs}[operator]


def moment_bounds(text):
    """The first moment that *text* means, and the first one after it."""
    moment = datetime.fromisoformat(text.removesuffix("Z"))
    return moment, moment + (timedelta(microseconds=1) if "T" in text else timedelta(1))


def is_moment(value, operator, text):
    start, stop = moment_bounds(text)
    return {
        "<": value < start,
        "<=": value < stop,
        ">": value >= stop,
        ">=": value >= start,
        "=": start <= value < stop,
    }[operator]


def is_inside(expr, row):
    match expr:
        case Not(term=term):
            return not is_inside(term, row)
        case And(terms=terms):
            return all(is_inside(term, row) for term in terms)
        case Or(terms=terms):
            return any(is_inside(term, row) for term in terms)
        case Has(type=name):
            return bool(values_of(row, "tags" if name == "tag" else name))
        case Ids(values=values):
            return any(value in values for value in values_of(row, "alias"))
        case Matches(type=name, pattern=pattern, ignores_case=ignores_case):
            return any(
                is_text_match(pattern, value, ignores_case)
                for value in values_of(row, "tags" if name == "tag" else name)
            )
        case Tag(type="seen", value=text):
            return any(is_moment(value, "=", text) for value in values_of(row, "seen"))
        case Compare(type="seen", operator=operator, value=text):
            return any(is_moment(value, operator, text) for value in values_of(row, "seen"))
        case Tag(type=name, value=text) if name in (*NUMBERS, *DAYS):
            return any(compare(value_key(name, value), "=", key_of(name, text)) for value in values_of(row, name))
        case Tag(type=name, value=text):
            return text in values_of(row, "tags" if name == "tag" else name)
        case Compare(type=name, operator=operator, value=text):
            return any(compare(value_key(name, value), operator, key_of(name, text)) for value in values_of(row, name))
        case Between(type=name, low=low, high=high, low_operator=low_operator, high_operator=high_operator):
            return any(
                compare(key_of(name, low), low_operator, value_key(name, value))
                and compare(value_key(name, value), high_operator, key_of(name, high))
                for value in values_of(row, name)
            )
    raise AssertionError(expr)


def leaves(table):
    """Conditions about the values of *table*, and about values beside them."""

    def of_column(name):
        found = [value for row in table for value in values_of(row, name)]
        return st.sampled_from(found) if found else st.nothing()

    def numbers(name):
        return st.one_of(
            of_column(name).map(lambda value: str(value_key(name, value))),
            of_column(name).map(
                lambda value: (
                    f"{value_key(name, value) + Decimal('1e-30'):f}"
                    if abs(value) < 1e9
                    else str(value_key(name, value))
                )
            ),
            of_column(name).map(lambda value: str(Decimal(value))),
            st.sampled_from(
                ["0", "-0.5", "1e400", "-1e400", "1e-400", "9223372036854775808", "0.1", "0.10000000149011612"]
            ),
        )

    days = (of_column("days") | of_column("signup")).flatmap(
        lambda day: st.sampled_from([day, day + timedelta(1)])
    ).map(str) | st.just("2020-02-29")
    times = of_column("seen").flatmap(
        lambda moment: st.sampled_from(
            [f"{moment.isoformat()}Z", f"{(moment + timedelta(microseconds=1)).isoformat()}Z", f"{moment:%Y-%m-%d}"]
        )
    ) | st.just("2020-02-29")
    app_versions = of_column("app_version") | versions
    some_texts = st.one_of(of_column("city"), of_column("tags"), texts.filter(bool))
    patterns = st.one_of(
        some_texts.map(lambda text: f"{escape_pattern(text)}*"),
        some_texts.map(lambda text: f"*{escape_pattern(text[1:])}" if text[1:] else "?*"),
        some_texts.map(lambda text: f"?{escape_pattern(text[1:])}"),
        some_texts.map(lambda text: escape_pattern(text.swapcase())),
        st.sampled_from(["??", "?*", "*?*?"]),
    ).filter(lambda pattern: pattern.strip("*"))

    def ordered(name, operands):
        return st.one_of(
            st.builds(Compare, st.just(name), st.sampled_from(COMPARE_OPS), operands),
            st.builds(Between, st.just(name), operands, operands, st.sampled_from(LOW_OPS), st.sampled_from(LOW_OPS)),
        )

    return st.one_of(
        st.builds(Tag, st.sampled_from(["tag", "city"]), some_texts),
        st.builds(Tag, st.just("app_version"), app_versions),
        st.builds(Matches, st.sampled_from(["tag", "city"]), patterns, st.booleans()),
        st.sampled_from([Has(name) for name in ("tag", "city", "app_version", *NUMBERS, *DAYS, "seen", "alias")]),
        st.builds(
            Ids, st.just("alias"), st.lists(of_column("alias") | texts.filter(bool), min_size=1, max_size=2).map(tuple)
        ),
        *(ordered(name, numbers(name)) | st.builds(Tag, st.just(name), numbers(name)) for name in NUMBERS),
        *(ordered(name, days) | st.builds(Tag, st.just(name), days) for name in DAYS),
        st.builds(Compare, st.just("seen"), st.sampled_from(COMPARE_OPS), times)
        | st.builds(Tag, st.just("seen"), times),
        ordered("app_version", app_versions),
    )


@st.composite
def tables_with_questions(draw):
    """Return a table and some expressions about it."""
    table = draw(st.lists(rows, min_size=1, max_size=12))
    return table, draw(st.lists(boolean_exprs(leaves(table), max_leaves=3), min_size=1, max_size=5))


@pytest.fixture(scope="module")
def clickhouse():
    session = open_clickhouse()
    yield session
    session.close()


@settings(max_examples=settings.default.max_examples // 5)  # of which each builds an index
@given(tables_with_questions())
def test_sql_finds_what_the_oracle_finds(clickhouse, tmp_path_factory, drawn):
    table, exprs = drawn
    folder = tmp_path_factory.mktemp("oracle")
    tokens = pl.Series("token", [f"t{row}" for row in range(len(table))])
    path = folder / "devices.parquet"
    pl.DataFrame(table, schema=SCHEMA).insert_column(0, tokens).write_parquet(path)
    index = DeviceIndex.build(path, folder / "devices.index")
    connection = duckdb.connect()
    for expr in exprs:
        expected = [f"t{at}" for at, row in enumerate(table) if is_inside(expr, row)]
        in_duckdb, in_clickhouse = (index.to_sql(expr, dialect).sql for dialect in ("duckdb", "clickhouse"))
        found = [token for (token,) in connection.execute(f"SELECT token FROM '{path}' WHERE {in_duckdb}").fetchall()]
        assert sorted(found) == sorted(expected), f"{render(expr)}\n{in_duckdb}"
        source = f"file('{path}', 'Parquet')"
        found = [token for (token,) in read_rows(clickhouse, f"SELECT token FROM {source} WHERE {in_clickhouse}")]
        assert sorted(found) == sorted(expected), f"{render(expr)}\n{in_clickhouse}"
