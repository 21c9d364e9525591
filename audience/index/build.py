"""A device table → an index folder."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.errors import Problem, TableError
from audience.files import new_folder
from audience.index import bits, cast
from audience.index.bits import BitMap
from audience.index.columns import NAMED, Column, Roles, columns
from audience.index.order import numbering
from audience.index.store import Plane, write
from audience.index.tables import Source, scan
from audience.language.notation import BARE

MOST_BITMAPS = 4_096  # an attribute with more values is kept as binary digits of their places
MOST_DEVICES = 2**32 - 1
STEPS = 5  # besides one for each column

Progress: TypeAlias = Callable[[str, int, int], None]  # what is being done, and how far it is of how much


def build(
    source: Source, path: Path, roles: Roles, vendors: Iterable[str], *, replace: bool, progress: Progress
) -> None:
    """Read the table *source* and write its index to the new folder *path*.

    Raises TableError, naming the column and the first offending rows, for ids that are missing, empty or there
    twice, and for values that are not what their column should hold; nothing is left at *path* then.
    """
    with new_folder(path, replace=replace) as draft:
        progress("reading the table", 0, STEPS)
        found, frame = _read(source, roles, vendors)
        progress("checking ids", 1, STEPS)
        _check_ids(frame, [column for column in found if column.role == "id"])
        progress("numbering devices", 2, STEPS)
        frame = numbering(frame, [c.source for c in found if c.role not in ("id", *NAMED) and _is_single(frame, c)])
        planes = _planes(frame, found, progress)
        kept = [column for column in found if column.role in ("id", *NAMED)]
        ids = frame.select(pl.col(column.source).alias(f"{column.role}:{column.name}") for column in kept)
        write(draft, len(frame), planes, ids)


def _read(source: Source, roles: Roles, vendors: Iterable[str]) -> tuple[list[Column], pl.DataFrame]:
    """The table in memory, each column cast to what its role wants."""
    try:
        lazy = scan(source, roles)
        found = columns(lazy.collect_schema(), roles, vendors)
        frame = lazy.select(column.source for column in found).collect()
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        message = str(error).strip().splitlines()[0]
        raise TableError(Problem("unreadable", f"the table cannot be read: {message}")) from error
    if len(frame) > MOST_DEVICES:
        hint = "build one index for each app or region"
        raise TableError(
            Problem("too-many-devices", f"{len(frame):,} devices; {MOST_DEVICES:,} is the most", hint=hint)
        )
    said = set(roles.said())
    split = roles.split or {}
    casts = [
        cast.column(frame[column.source], column, split.get(column.source), column.source in said) for column in found
    ]
    return [column for column, _ in casts], pl.DataFrame([series for _, series in casts])


def _check_ids(frame: pl.DataFrame, found: list[Column]) -> None:
    for column in found:
        ids = frame[column.source]
        _none(ids == "", column, "empty-id", "an empty id", ids)
        _none(
            ids.is_duplicated() & ids.is_not_null(),
            column,
            "duplicate-id",
            "an id that another device has",
            ids,
        )
    nameless = frame.select(pl.all_horizontal(pl.col(column.source).is_null() for column in found)).to_series()
    names = ", ".join(repr(column.source) for column in found)
    rows = cast.first_rows(nameless)
    if rows:
        raise TableError(Problem("missing-id", f"no id in column {names}: {rows}", hint="every device needs one"))


def _none(wrong: pl.Series, column: Column, code: str, what: str, ids: pl.Series) -> None:
    """Refuse *column* if any row is *wrong*."""
    rows = cast.first_rows(wrong, ids)
    if rows:
        raise TableError(Problem(code, f"column {column.source!r} holds {what}: {rows}"))


def _is_single(frame: pl.DataFrame, column: Column) -> bool:
    return not isinstance(frame[column.source].dtype, pl.List)


def _planes(frame: pl.DataFrame, found: list[Column], progress: Progress) -> Iterator[Plane]:
    """The bitmaps of each attribute in turn; all bare tags are one."""
    tags = [column for column in found if column.role == "tags"]
    if tags:
        progress("making bitmaps of the tags", 3, STEPS + len(found))
        yield _tags(frame, tags)
    for done, column in enumerate(found, start=4):
        if column.role not in ("id", "tags", *NAMED):
            progress(f"making bitmaps of {column.name}", done, STEPS + len(found))
            values = frame[column.source]
            many = isinstance(values.dtype, pl.List) or values.n_unique() <= MOST_BITMAPS
            yield _valued(values, column) if many else _sliced(values, column)


def _tags(frame: pl.DataFrame, found: list[Column]) -> Plane:
    """One bitmap for each bare tag; a tag that two columns have is an error, for it may mean two things."""
    pairs = {column.source: _pairs(frame[column.source]) for column in found}
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
    return Plane(column.name, column.role, cast.texts(groups["value"]), devices, _bitmaps(groups["row"]))


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
