"""Tables with extreme values answer as plain Python sets do: before and after changes, in shards of any size."""

import os
import tempfile
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from operator import ge, gt, le, lt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version
from sizes import scale_examples
from strategies import boolean_exprs

from audience import (
    And,
    Compare,
    DeviceIndex,
    Not,
    Or,
    TableError,
    Tag,
    Within,
    load_catalog,
    plan,
    render,
)
from audience.index.changes import compaction, tagging, update
from audience.index.ingest import build, dictionary, encode
from audience.index.storage.list_columns import as_lists
from audience.planning.catalog.draft import draft_catalog

OPERATORS = {"<": lt, "<=": le, ">": gt, ">=": ge}
INTS = [0, 1, -1, 9, 2**53, 2**53 + 1, 2**62, -(2**62), 2**62 + 1, 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 0.1, 0.57, 1.5, 29.99, 1e16, 2.0**53, -1e300, 1.7976931348623157e308, 5e-324, 0.1 + 0.2]
DAYS = [date(1, 1, 1), date(1, 1, 2), date(1969, 12, 31), date(1970, 1, 1), date(2020, 2, 29), date(9999, 12, 31)]
VERSIONS = ["1", "1.0", "1.0.0", "1.2", "1.10", "9" * 30, "1" + ".0" * 40 + ".1", "1!0", "2.0rc1", "0.0.0"]
STRINGS = ["", "a", "A", "a ", " ", "é", "e\u0301", "😀", "x" * 5_000, "\x00", "NULL", "0", "00", "a:b", '"', "\\"]
FAR_NUMBERS = ["1e400", "-1e400", "1e999999999", "-1e999999999", "1e-999999999", "-1e-999999999", "-0", "2.5e-3"]


@dataclass(frozen=True)
class Kind:
    """Kind of column.

    Attributes:
        dtype: Type of a value in the table.
        values: Values as the table has them.
        bounds: Texts to compare with.
        to_key: Returns what the oracle compares, of a value and of a bound.
        role: Argument of `DeviceIndex.build` for such columns.
        has_order: Whether values are compared.
    """

    dtype: Any
    values: st.SearchStrategy = field(repr=False)
    bounds: st.SearchStrategy[str] = field(repr=False)
    to_key: Any
    role: str | None = None
    has_order: bool = True

    @property
    def has_days(self) -> bool:
        return self.to_key in (to_day, to_moment)


def to_number(value) -> Fraction:
    """Return a number exactly; one whose exponent is beyond 400 compares like one with the exponent 400."""
    number = Decimal(repr(value) if isinstance(value, float) else value)
    if number and abs(number.adjusted()) > 400:
        number = Decimal(1).scaleb(400 if number.adjusted() > 0 else -400).copy_sign(number)
    return Fraction(number)


def to_day(value) -> date:
    return date.fromisoformat(value) if isinstance(value, str) else value


def to_moment(value) -> date:
    """Return a moment; a bound without a time is a day."""
    if not isinstance(value, str):
        return value
    return datetime.fromisoformat(value) if "T" in value else date.fromisoformat(value)


def number_kind(dtype, values, to_stored=None) -> Kind:
    texts = values.map(lambda value: repr(value) if isinstance(value, float) else str(value))
    neighbours = st.builds(lambda text, by: str(Decimal(text) + by), texts, st.integers(-3, 3))
    bounds = texts | neighbours | st.sampled_from(FAR_NUMBERS)
    return Kind(dtype, values.map(to_stored) if to_stored else values, bounds, to_number, "numbers")


def moment_kind(unit, values) -> Kind:
    bounds = values.map(datetime.isoformat) | values.map(lambda moment: str(moment.date()))
    return Kind(pl.Datetime(unit), values, bounds, to_moment)


def string_kind(dtype, values) -> Kind:
    return Kind(dtype, values, values.filter(bool), str, "typed", has_order=False)


ints = st.sampled_from(INTS) | st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1)
large_ints = ints | st.integers(1 - 10**38, 10**38 - 1)
unsigned = st.sampled_from([0, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
floats = st.sampled_from(FLOATS) | st.floats(allow_nan=False, allow_infinity=False)
cents = st.integers(-(10**20), 10**20).map(lambda number: Decimal(number).scaleb(-2))
mixed_numbers = ints.map(Decimal) | st.integers(-999, 999).map(lambda number: Decimal(number).scaleb(-3))
days = st.sampled_from(DAYS) | st.dates()
moments = st.datetimes() | st.builds(datetime.combine, days, st.times())
strings = st.sampled_from(STRINGS) | st.text(max_size=3)
KINDS = [
    number_kind(pl.Int64, ints),
    number_kind(pl.UInt64, unsigned),
    number_kind(pl.Int128, large_ints),
    number_kind(pl.Float64, floats),
    number_kind(pl.Decimal(38, 2), cents),
    number_kind(pl.String, mixed_numbers, str),
    Kind(pl.Date, days, days.map(str), to_day),
    moment_kind("us", moments),
    moment_kind("ms", moments.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1_000 * 1_000))),
    moment_kind("ns", st.datetimes(datetime(1678, 1, 1), datetime(2261, 12, 31))),
    Kind(pl.String, st.sampled_from(VERSIONS), st.sampled_from(VERSIONS), Version, "versions"),
    string_kind(pl.String, strings),
    string_kind(pl.Categorical, strings),
    string_kind(pl.Enum(["b", "a", ""]), st.sampled_from(["b", "a", ""])),
]


@dataclass(frozen=True)
class TableColumn:
    """Column of a table: its kind, and how many values a device has: one, any number (`list`), or a fixed number."""

    kind: Kind
    shape: str | int

    @property
    def dtype(self) -> pl.DataType:
        match self.shape:
            case "one":
                return self.kind.dtype
            case "list":
                return pl.List(self.kind.dtype)
        return pl.Array(self.kind.dtype, self.shape)

    @property
    def cells(self) -> st.SearchStrategy:
        values = st.none() | self.kind.values
        match self.shape:
            case "one":
                return values
            case "list":
                return st.none() | st.lists(values, max_size=3)
        return st.none() | st.lists(values, min_size=self.shape, max_size=self.shape)

    def present_values(self, cell) -> list:
        values = cell if isinstance(cell, list) else [cell]
        return [value for value in values if value is not None and value != ""]


@dataclass(frozen=True)
class Case:
    """Random table with queries: columns by name, cells by device and column, and the same for an update."""

    columns: dict[str, TableColumn]
    devices: dict[str, dict]
    updates: dict[str, dict]
    exprs: list


@st.composite
def leaves(draw, columns):
    name = draw(st.sampled_from(list(columns)))
    kind = columns[name].kind
    bound = draw(kind.bounds)
    if kind.has_days and draw(st.booleans()):
        return Within(name, draw(st.integers(1, 9) | st.just(99_999)), bound.partition("T")[0])
    if kind.has_order and draw(st.booleans()):
        return Compare(name, draw(st.sampled_from(list(OPERATORS))), bound)
    return Tag(name, bound)


@st.composite
def cases(draw):
    shapes = st.sampled_from(["one", "one", "list", 0, 1, 2])
    columns = draw(st.lists(st.builds(TableColumn, st.sampled_from(KINDS), shapes), min_size=1, max_size=3))
    named = {f"c{number}": column for number, column in enumerate(columns)}
    rows = st.fixed_dictionaries({name: column.cells for name, column in named.items()})
    tokens = st.sampled_from([f"t{number}" for number in range(14)])
    exprs = st.lists(boolean_exprs(leaves(named), max_leaves=4), min_size=1, max_size=6)
    return Case(
        named,
        draw(st.dictionaries(tokens, rows, min_size=1, max_size=12)),
        draw(st.dictionaries(tokens, rows, max_size=5)),
        draw(exprs),
    )


def make_table(devices: dict[str, dict], columns: dict[str, TableColumn]) -> pl.DataFrame:
    series = [
        pl.Series(name, [row[name] for row in devices.values()], dtype=column.dtype) for name, column in columns.items()
    ]
    return pl.DataFrame([pl.Series("token", list(devices), dtype=pl.String), *series])


def build_index(case: Case, path: Path) -> DeviceIndex:
    roles: dict[str, list[str]] = {}
    for name, column in case.columns.items():
        if column.kind.role:
            roles.setdefault(column.kind.role, []).append(name)
    return DeviceIndex.build(make_table(case.devices, case.columns), path, **roles)


def is_match(expr, row: dict, columns: dict[str, TableColumn]) -> bool:
    """Return whether a device is in *expr*, by Python's own numbers, days and versions."""
    match expr:
        case Not(term=term):
            return not is_match(term, row, columns)
        case And(terms=terms):
            return all(is_match(term, row, columns) for term in terms)
        case Or(terms=terms):
            return any(is_match(term, row, columns) for term in terms)
    column = columns[expr.type]
    values = column.present_values(row[expr.type])
    return any(is_value_match(expr, value, column.kind) for value in values)


def is_value_match(expr, value, kind: Kind) -> bool:
    key = kind.to_key(value)
    if isinstance(expr, Within):
        day = key.date() if isinstance(key, datetime) else key
        return 0 <= (date.fromisoformat(expr.day) - day).days < expr.days
    if isinstance(expr, Tag) and kind.role in ("versions", "typed"):
        return value == expr.value
    bound = kind.to_key(expr.value)
    if isinstance(key, datetime) and not isinstance(bound, datetime):
        key = key.date()
    return key == bound if isinstance(expr, Tag) else OPERATORS[expr.operator](key, bound)


def assert_answers(index: DeviceIndex, case: Case, devices: dict[str, dict]) -> None:
    assert len(index) == len(devices)
    for expr in case.exprs:
        expected = sorted(name for name, row in devices.items() if is_match(expr, row, case.columns))
        assert sorted(index.resolve(expr).ids()) == expected, render(expr)
        assert index.count(render(expr)) == len(expected), render(expr)
        assert index.explain(expr)[0].device_count == len(expected), render(expr)


@pytest.fixture
def small_limits(monkeypatch):
    """Several shards of a few devices, several chunks a shard, bit slices from three values on."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # durability is not tested here
    for module, name, value in (
        (build, "MAX_SHARD_DEVICES", 5),
        (compaction, "MAX_SHARD_DEVICES", 5),
        (encode, "MAX_BITMAPS_PER_ATTRIBUTE", 2),
        (dictionary, "MAX_DENSE_RANGE", 4),
        (update, "MAX_CHUNK_DEVICES", 3),
        (tagging, "MAX_CHUNK_DEVICES", 3),
    ):
        monkeypatch.setattr(module, name, value)


@pytest.mark.usefixtures("small_limits")
def test_extreme_values_answer_as_sets_do():
    """Build, update, tag, remove and compact, and compare every answer with that of the oracle."""

    @settings(max_examples=scale_examples(40))
    @given(cases(), st.sets(st.sampled_from([f"t{number}" for number in range(14)])))
    def check(case, chosen):
        with tempfile.TemporaryDirectory() as folder:
            index = build_index(case, Path(folder) / "index")
            assert_answers(index, case, case.devices)
            index.update(make_table(case.updates, case.columns))
            devices = {**case.devices, **case.updates}
            assert_answers(index, case, devices)
            index.tag(chosen, add="told")
            assert_answers(index, case, devices)
            index.remove(chosen)
            index.compact()
            assert_answers(
                DeviceIndex.open(index.folder), case, {name: row for name, row in devices.items() if name not in chosen}
            )
            (Path(folder) / "catalog.toml").write_text(draft_catalog(index), "utf-8")
            load_catalog(Path(folder) / "catalog.toml")
            for expr in case.exprs:
                planned = plan(expr, "engagelab", index)
                assert planned.by_ids is None or index.count(planned.by_ids) <= index.count(expr)

    check()


DAYS_OF_YEAR_10000 = 2_932_897
IMPOSSIBLE_COLUMNS = {
    "nanosecond": (
        pl.Series([2**63 - 1, 0], dtype=pl.Int64).cast(pl.Datetime("us")),
        r"row 1 \(9223372036854775807\) in us",
    ),
    "far day": (pl.Series([0, -(2**31)], dtype=pl.Int32).cast(pl.Date), r"row 2 \(-2147483648\) in days"),
    "year 10000": (pl.Series([DAYS_OF_YEAR_10000, 0], dtype=pl.Int32).cast(pl.Date), r"row 1 \(\+10000-01-01\)"),
    "year 0": (pl.Series([-719_163, 0], dtype=pl.Int32).cast(pl.Date), r"row 1 \(0000-12-31\)"),
    "39 digits": (pl.Series([10**38, 0], dtype=pl.Int128), r"at most 38 digits: row 1 \(10{38}\)"),
    "infinity": (pl.Series([1.0, float("-inf")]), r"row 2 \(-inf\)"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE_COLUMNS)
@pytest.mark.parametrize("is_list", [False, True], ids=["value", "list"])
def test_values_that_cannot_be_kept_are_rejected_with_their_row(name, is_list, tmp_path):
    values, message = IMPOSSIBLE_COLUMNS[name]
    if is_list:
        values, message = as_lists(values), "row [12]"
    table = pl.DataFrame({"token": ["a", "b"], "value": values})
    with pytest.raises(TableError, match=f"column 'value' should hold .*{message}"):
        DeviceIndex.build(table, tmp_path / "index")
    assert not (tmp_path / "index").exists()


NUMBER_TEXTS = {
    "9007199254740993 0.5": "9007199254740993 0.5",
    "99999999999999999999": "99999999999999999999",
    "1e2 2.5": "100 2.5",
    "1e-7 123456789012345678": "0.0000001 123456789012345678",
    "0.1 0.10000000000000000555": "0.1 0.10000000000000000555",
}


@pytest.mark.parametrize("texts", NUMBER_TEXTS)
def test_texts_of_numbers_are_kept_exactly(texts, tmp_path):
    values = texts.split()
    table = pl.DataFrame({"token": [f"t{at}" for at in range(len(values))], "x": values})
    index = DeviceIndex.build(table, tmp_path / "index", numbers=["x"])
    assert [index.count(f"x = {value}") for value in NUMBER_TEXTS[texts].split()] == [1] * len(values)


@pytest.mark.parametrize("value", ["1e400", "1e-400", "1" * 39, "0." + "1" * 39])
def test_texts_of_numbers_that_cannot_be_kept_are_rejected(value, tmp_path):
    table = pl.DataFrame({"token": ["a", "b"], "x": ["1.5", value]})
    with pytest.raises(TableError, match=r"column 'x' should hold a number.*row 2 \('"):
        DeviceIndex.build(table, tmp_path / "index", numbers=["x"])


def test_numbers_of_later_chunks_may_have_fractions(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 4)
    table = pl.DataFrame({"token": [f"t{at}" for at in range(8)], "x": ["1", "2", "3", "4.5", "5", "6", "7", "8.25"]})
    index = DeviceIndex.build(table, tmp_path / "index", numbers=["x"])
    index.compact()
    assert [index.count(f"x = {value}") for value in table["x"]] == [1] * 8


def test_decimals_stay_the_same_when_shards_are_merged(tmp_path):
    table = pl.DataFrame(
        {"token": [f"t{at}" for at in range(6_000)], "x": [round(at * 0.01, 2) for at in range(6_000)]}
    )
    index = DeviceIndex.build(table, tmp_path / "index")
    index.update(table.head(1))
    assert index.attributes["x"].bit_depth > 0
    assert [value for value in table["x"].to_list() if index.count(f"x = {value}") != 1] == []


def test_nanoseconds_are_dropped_towards_the_past(tmp_path):
    moments = pl.Series([-1, 1_001], dtype=pl.Int64).cast(pl.Datetime("ns"))
    index = DeviceIndex.build(pl.DataFrame({"token": ["a", "b"], "seen": moments}), tmp_path / "index")
    assert index.attributes["seen"].values.to_list() == ["1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00.000001Z"]


def test_long_values_are_shortened_in_messages(tmp_path):
    table = pl.DataFrame({"token": ["a"], "x": ["y" * 1_000_000]})
    with pytest.raises(TableError, match="y…'") as caught:
        DeviceIndex.build(table, tmp_path / "index", numbers=["x"])
    assert len(str(caught.value)) < 300
