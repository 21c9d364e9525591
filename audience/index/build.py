"""A device table → an index folder."""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars import selectors

from audience.errors import Problem, TableError
from audience.files import new_folder
from audience.index import bits, cast
from audience.index.bits import BitMap
from audience.index.columns import NAMED, Column, Roles, check_roles, columns
from audience.index.order import numbered
from audience.index.store import FILES, Plane, write
from audience.index.tables import Source, dated, scan
from audience.language.notation import BARE

MOST_BITMAPS = 4_096  # an attribute with more values is kept as binary digits of their places
MOST_DEVICES = 2**32 - 1
Table: TypeAlias = dict[Column, pl.Series]
STEPS = 5  # besides one for each column

Progress: TypeAlias = Callable[[str, int, int], None]  # what is being done, and how far it is of how much


def build(
    source: Source, path: Path, roles: Roles, vendors: Sequence[str], *, replace: bool, progress: Progress
) -> None:
    """Read the table *source* and write its index to the new folder *path*.

    Raises TableError, naming the column and the first offending rows, for ids that are missing, empty or there
    twice, and for values that are not what their column should hold; nothing is left at *path* then.
    """
    with new_folder(path, marks=FILES, replace=replace) as draft:
        progress("reading the table", 0, STEPS)
        table = _read(source, roles, vendors)
        progress("checking ids", 1, STEPS)
        _check_ids({column: values for column, values in table.items() if column.role == "id"})
        progress("numbering devices", 2, STEPS)
        table = numbered(table, [values for column, values in table.items() if _sorts(column, values)])
        kept = {f"{column.role}:{column.name}": table[column] for column in table if column.role in ("id", *NAMED)}
        size = len(next(iter(kept.values())))
        write(draft, size, _planes(table, progress), pl.DataFrame(kept))


def _read(source: Source, roles: Roles, vendors: Sequence[str]) -> Table:
    """The table in memory, each column cast to what its role wants."""
    frame = _loaded(source, roles, vendors)
    if len(frame) > MOST_DEVICES:
        message = f"{len(frame):,} devices; {MOST_DEVICES:,} is the most"
        raise TableError(Problem("too-many-devices", message, hint="build one index for each app or region"))
    return dict(_cast(frame[column.source], column, roles) for column in columns(frame.schema, roles, vendors))


def _loaded(source: Source, roles: Roles, vendors: Sequence[str]) -> pl.DataFrame:
    """The columns that are not ignored, as they are in the file."""
    try:
        lazy, textual = scan(source, roles)
        schema = lazy.collect_schema()
        check_roles(schema, roles, vendors)
        wanted = [column.source for column in columns(schema, roles, vendors)]
        frame = lazy.select(selectors.by_name(*wanted)).collect()
        return dated(frame, roles) if textual else frame
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        message = str(error).strip().splitlines()[0]
        raise TableError(Problem("unreadable", f"the table cannot be read: {message}")) from error


def _cast(values: pl.Series, found: Column, roles: Roles) -> tuple[Column, pl.Series]:
    """The column as its role wants it; it loses its name, which Polars might take for a pattern."""
    try:
        separator = (roles.split or {}).get(found.source)
        return cast.column(values.alias("values"), found, separator, found.source in roles.said())
    except (pl.exceptions.PolarsError, OverflowError, TypeError) as error:
        message = f"column {found.source!r} of type {values.dtype} cannot be read as {found.role}"
        raise TableError(Problem("bad-type", message, hint=f"--ignore {found.source}")) from error


def _check_ids(table: Table) -> None:
    for column, ids in table.items():
        _none(ids == "", column, "empty-id", "an empty id", ids)
        _none(ids.is_duplicated() & ids.is_not_null(), column, "duplicate-id", "an id that another device has", ids)
    rows = cast.first_rows(reduce(operator.and_, (ids.is_null() for ids in table.values())))
    if rows:
        names = ", ".join(repr(column.source) for column in table)
        raise TableError(Problem("missing-id", f"no id in column {names}: {rows}", hint="every device needs one"))


def _none(wrong: pl.Series, column: Column, code: str, what: str, ids: pl.Series) -> None:
    """Refuse *column* if any row is *wrong*."""
    rows = cast.first_rows(wrong, ids)
    if rows:
        raise TableError(Problem(code, f"column {column.source!r} holds {what}: {rows}"))


def _sorts(column: Column, values: pl.Series) -> bool:
    """Whether devices may be numbered by *column*: it says something of them, and one thing."""
    return column.role not in ("id", *NAMED) and not isinstance(values.dtype, pl.List)


def _planes(table: Table, progress: Progress) -> Iterator[Plane]:
    """The bitmaps of each attribute in turn; all bare tags are one."""
    tags = {column: values for column, values in table.items() if column.role == "tags"}
    if tags:
        progress("making bitmaps of the tags", 3, STEPS + len(table))
        yield _tags(tags)
    for done, (column, values) in enumerate(table.items(), start=4):
        if column.role not in ("id", "tags", *NAMED):
            progress(f"making bitmaps of {column.name}", done, STEPS + len(table))
            many = isinstance(values.dtype, pl.List) or values.n_unique() <= MOST_BITMAPS
            yield _valued(values, column) if many else _sliced(values, column)


def _tags(table: Table) -> Plane:
    """One bitmap for each bare tag; a tag that two columns have is an error, for it may mean two things."""
    pairs = {column.source: _pairs(values) for column, values in table.items()}
    _refuse_shared({source: set(each["value"].unique()) for source, each in pairs.items()})
    groups = pl.concat(pairs.values()).group_by("value").agg("row").sort("value")
    return Plane(BARE, "tags", groups["value"], groups["row"].list.n_unique(), _bitmaps(groups["row"]))


def _refuse_shared(values: Mapping[str, set[str]]) -> None:
    owner: dict[str, str] = {}
    for source, names in values.items():
        for name in sorted(names & owner.keys()):
            both = f"columns {owner[name]!r} and {source!r} both hold the tag {name!r}"
            raise TableError(Problem("same-tag", both, hint=f"say --typed {source}: then it is {source}:{name}"))
        owner.update(dict.fromkeys(names, source))


def _valued(values: pl.Series, column: Column) -> Plane:
    """One bitmap for each value."""
    groups = cast.sorted_by(_pairs(values).group_by("value").agg("row"), column.role)
    devices = groups["row"].list.n_unique()
    texts, single = cast.texts(groups["value"]), not isinstance(values.dtype, pl.List)
    return Plane(column.name, column.role, texts, devices, _bitmaps(groups["row"]), single=single)


def _sliced(values: pl.Series, column: Column) -> Plane:
    """One bitmap of the devices that have a value, then one for each binary digit of its place, lowest first."""
    groups = cast.sorted_by(_pairs(values).group_by("value").agg(pl.len()), column.role)
    places = pl.DataFrame({"value": groups["value"], "place": pl.int_range(len(groups), dtype=pl.UInt32, eager=True)})
    placed = values.alias("value").to_frame().join(places, on="value", how="left", maintain_order="left")["place"]
    digits = (len(groups) - 1).bit_length()

    def bitmaps() -> Iterator[BitMap]:
        yield bits.from_rows(_rows(placed.is_not_null()))
        filled = placed.fill_null(0).to_numpy()
        for digit in range(digits):
            yield bits.from_rows(np.flatnonzero(filled >> digit & 1).astype(np.uint32))

    texts = cast.texts(groups["value"])
    return Plane(column.name, column.role, texts, groups["len"].cast(pl.UInt32), bitmaps(), digits)


def _pairs(values: pl.Series) -> pl.DataFrame:
    """Row number and value, one line for each value that a device has."""
    rows = pl.DataFrame({"row": pl.int_range(len(values), dtype=pl.UInt32, eager=True), "value": values})
    return (rows.explode("value") if isinstance(values.dtype, pl.List) else rows).drop_nulls()


def _bitmaps(groups: pl.Series) -> Iterator[BitMap]:
    """A bitmap of each list of rows."""
    rows = groups.explode().to_numpy() if len(groups) else np.empty(0, dtype=np.uint32)
    stops = np.cumsum(groups.list.len().to_numpy())
    for start, stop in zip([0, *stops[:-1]], stops, strict=True) if len(groups) else ():
        yield bits.from_rows(rows[start:stop])


def _rows(wanted: pl.Series) -> NDArray[np.uint32]:
    return wanted.arg_true().cast(pl.UInt32).to_numpy()
