"""Devices that the vendors know: ids, aliases, accounts, tags and platform, from a table.

| column | becomes |
|---|---|
| `registration_id`, `token` or `device_id` | the id at every vendor |
| `tpns_token`, `emas_registration_id`, … | the id at that vendor; a device without one is unknown there |
| `alias`, `account` | strings, or lists of them |
| `tags`, `tag`, any list of strings, booleans | untyped tags |
| `platform` | android, ios or harmonyos, also called hmos; a device without one matches every platform |
| every other string, integer, or date | a typed tag, `province:guangdong` |
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from audience.errors import Problem, TableError
from audience.sandbox.endpoints import emulated_vendors, further_tag_pattern
from audience.sandbox.http_types import DeviceMask
from audience.testing.devices import generate_devices

ID_COLUMN_NAMES = ("registration_id", "token", "device_id")
DEFAULT_TAG_PATTERN = "{type}_{value}"  # the name of a typed tag at a vendor whose tags have no types
TYPED_TAG_DTYPES = (pl.String, pl.Categorical, pl.Enum, pl.Date)


@dataclass(frozen=True)
class Population:
    """Devices that the vendors know, one for each row of *table*.

    *tag_patterns* gives the name of a typed tag at each vendor whose tags have no types.

    >>> some = Population(pl.DataFrame({"registration_id": ["r1", "r2"], "tags": [["a"], ["b"]], "age": [20, 30]}))
    >>> some.devices_with_tag("engagelab", "b").tolist(), some.devices_with_tag("engagelab", "age_20").tolist()
    ([False, True], [True, False])
    >>> some.devices_with_value("age", "30").sum()
    np.int64(1)
    """

    table: pl.DataFrame
    tag_patterns: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        columns = [column for vendor in emulated_vendors() for column in self._id_columns(vendor)]
        if not columns:
            raise TableError(Problem("no-id", "the table has no id column", hint=", ".join(ID_COLUMN_NAMES)))
        for column in dict.fromkeys(columns):
            ids = self.table[column].drop_nulls()
            if ids.n_unique() != len(ids):
                raise TableError(Problem("duplicate-id", f"column {column!r} contains a duplicate id"))

    @classmethod
    def read(cls, path: Path, tag_patterns: Mapping[str, str] | None = None) -> "Population":
        """Read devices from a Parquet, CSV, NDJSON or Arrow IPC file.

        Raises:
            TableError: The file cannot be read, or its ids are missing or not unique.
        """
        try:
            return cls(_read_table(path), tag_patterns)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise TableError(Problem("unreadable", f"{path}: {error}")) from error

    @classmethod
    def generate(cls, count: int, seed: int = 42) -> "Population":
        """Generate *count* devices as in `audience demo`, every third on iOS, each with an alias and an account."""
        row = pl.int_range(count)
        platform = pl.when(row % 3 == 0).then(pl.lit("ios")).otherwise(pl.lit("android"))
        alias, account = (pl.format(word + "{}", row) for word in ("u", "a"))
        return cls(generate_devices(count, seed).with_columns(platform=platform, alias=alias, account=account))

    def __len__(self) -> int:
        return self.table.height

    def rows_by_id(self, vendor: str) -> Mapping[str, int]:
        """Return the row of each id that *vendor* knows."""
        column = next(iter(self._id_columns(vendor)), None)
        return self._index_ids(column) if column else {}

    def registered_devices(self, vendor: str) -> DeviceMask:
        """Return the devices that *vendor* knows: the universe of its NOT and of a broadcast."""
        if vendor not in self._mask_cache:
            column = next(iter(self._id_columns(vendor)), None)
            self._mask_cache[vendor] = self.table[column].is_not_null().to_numpy() if column else self.no_devices()
        return self._mask_cache[vendor].copy()

    def no_devices(self) -> DeviceMask:
        """Return an empty mask."""
        return np.zeros(len(self), dtype=np.bool_)

    def devices_with_tag(self, vendor: str, name: str) -> DeviceMask:
        """Return the devices with the tag *name* at a vendor whose tags have no types."""
        devices = self._devices_with_bare_tag(name)
        for column, prefix, suffix in self._tag_affixes(vendor):
            if name.startswith(prefix) and name.endswith(suffix) and len(name) > len(prefix) + len(suffix):
                devices |= self.devices_with_value(column, name[len(prefix) : len(name) - len(suffix)])
        return devices & self.registered_devices(vendor)

    def tag_names(self, vendor: str) -> Iterator[str]:
        """Yield the tags that the table gives to devices at a vendor whose tags have no types; some may repeat."""
        yield from self._tag_rows
        for column, prefix, suffix in self._tag_affixes(vendor):
            values = self._typed_columns[column].unique().drop_nulls()
            yield from (f"{prefix}{value}{suffix}" for value in values if value)

    def bare_tag_names(self) -> set[str]:
        """Return the untyped tags of the table."""
        return {*self._tag_rows}

    def tags_of_row(self, vendor: str, row: int) -> Iterator[str]:
        """Yield the tags of the device in *row* at a vendor whose tags have no types; some may repeat."""
        for name in self._bare_tag_columns:
            match self.table[name][row]:
                case None | False:
                    pass
                case True:
                    yield name
                case pl.Series() as values:
                    yield from map(str, values.drop_nulls())
                case value:
                    yield str(value)
        for column, prefix, suffix in self._tag_affixes(vendor):
            if value := self._typed_columns[column][row]:
                yield f"{prefix}{value}{suffix}"

    def count_tags(self, vendor: str) -> npt.NDArray[np.int32]:
        """Return the number of tags of each device; a value of a typed column counts once, whatever its names are."""
        counts = np.zeros(len(self), dtype=np.int32)
        for rows in self._tag_rows.values():
            counts[rows] += 1
        for column in self._typed_columns.values():
            counts += (column.str.len_bytes() > 0).fill_null(False).to_numpy()
        return counts * self.registered_devices(vendor)

    def ids_of_rows(self, vendor: str, rows: npt.NDArray[np.uint32]) -> list[str]:
        """Return the ids at *vendor* of the devices in *rows*, which it knows."""
        column = next(iter(self._id_columns(vendor)), "")
        if column not in self._ids_by_row:
            ids = self._ids_by_row[column] = np.full(len(self), None, dtype=np.object_)
            known = self.rows_by_id(vendor)
            ids[list(known.values())] = list(known)  # strings that are there already, not copies of them
        ids_of_rows: list[str] = self._ids_by_row[column][rows].tolist()
        return ids_of_rows

    def alias_of_row(self, row: int) -> str | None:
        """Return the first alias of the device in *row*."""
        value = self.table["alias"][row] if "alias" in self.table.columns else None
        return next(iter(value), None) if isinstance(value, pl.Series) else value

    def devices_with_value(self, column: str, value: str) -> DeviceMask:
        """Return the devices with *value* in *column*; the column "" holds the untyped tags."""
        if not column:
            return self._devices_with_bare_tag(value)
        if column not in self._typed_columns:
            return self.no_devices()
        return (self._typed_columns[column] == value).fill_null(False).to_numpy().copy()

    def text_values(self, column: str) -> list[str | None] | None:
        """Return the value of each device in a typed column as a text; None if there is no such column."""
        return self._typed_columns[column].to_list() if column in self._typed_columns else None

    def rows_by_name(self, kind: str, names: list[str]) -> dict[str, list[int]]:
        """Return the rows of each alias or account in *names*, in table order; unknown names are left out."""
        index = self.all_rows_by_name(kind)
        return {name: index[name] for name in names if name in index}

    def all_rows_by_name(self, kind: str) -> Mapping[str, list[int]]:
        """Return the rows of every alias or account."""
        return self._alias_rows if kind == "alias" else self._account_rows

    def devices_on_platforms(self, platforms: set[str]) -> DeviceMask:
        """Return the devices on one of *platforms*, and those without a known platform."""
        if "platform" not in self.table.columns:
            return ~self.no_devices()
        key = " ".join(sorted(platforms))
        if key not in self._mask_cache:
            column = self.table["platform"].str.to_lowercase().replace({"harmony": "hmos", "harmonyos": "hmos"})
            self._mask_cache[key] = column.is_in(list(platforms)).fill_null(True).to_numpy()
        return self._mask_cache[key].copy()

    def _id_columns(self, vendor: str) -> Iterator[str]:
        own_names = (f"{vendor}_{word}" for word in ID_COLUMN_NAMES)
        yield from (name for name in (*own_names, *ID_COLUMN_NAMES) if name in self.table.columns)

    def _tag_affixes(self, vendor: str) -> list[tuple[str, str, str]]:
        """Return each typed column with what its tags at *vendor* have before and after the value."""
        if vendor not in self._affix_cache:
            own = (self.tag_patterns or {}).get(vendor, DEFAULT_TAG_PATTERN)
            patterns = dict.fromkeys(pattern for pattern in (own, further_tag_pattern(vendor)) if pattern)
            self._affix_cache[vendor] = [
                (column, prefix, suffix)
                for column in self._typed_columns
                for pattern in patterns
                for prefix, _, suffix in [pattern.replace("{type}", column).partition("{value}")]
            ]
        return self._affix_cache[vendor]

    def _index_ids(self, column: str) -> Mapping[str, int]:
        if column not in self._id_indexes:
            texts = self.table[column].cast(pl.String).to_list()
            self._id_indexes[column] = {text: row for row, text in enumerate(texts) if text is not None}
        return self._id_indexes[column]

    @cached_property
    def _id_indexes(self) -> dict[str, Mapping[str, int]]:
        return {}

    @cached_property
    def _ids_by_row(self) -> dict[str, npt.NDArray[np.object_]]:
        return {}

    @cached_property
    def _affix_cache(self) -> dict[str, list[tuple[str, str, str]]]:
        return {}

    @cached_property
    def _mask_cache(self) -> dict[str, DeviceMask]:
        return {}

    @cached_property
    def _alias_rows(self) -> dict[str, list[int]]:
        return _rows_by_value(self.table, "alias")

    @cached_property
    def _account_rows(self) -> dict[str, list[int]]:
        return _rows_by_value(self.table, "account")

    @cached_property
    def _typed_columns(self) -> dict[str, pl.Series]:
        """Return each typed column as strings, dates as 2020-04-08."""
        ids = {column for vendor in emulated_vendors() for column in self._id_columns(vendor)}
        columns = [name for name in self.table.columns if name not in {*ids, "alias", "account", "platform", "tag"}]
        typed = [
            name for name in columns if (type_ := self.table.schema[name]) in TYPED_TAG_DTYPES or type_.is_integer()
        ]
        return {name: self.table[name].cast(pl.String) for name in typed}

    def _devices_with_bare_tag(self, name: str) -> DeviceMask:
        devices = self.no_devices()
        devices[self._tag_rows.get(name, [])] = True
        return devices

    @cached_property
    def _bare_tag_columns(self) -> dict[str, pl.DataType]:
        """Return the columns with untyped tags: lists, booleans, and `tag`."""
        return {
            name: type_
            for name, type_ in self.table.schema.items()
            if (isinstance(type_, pl.List) and name not in ("alias", "account")) or type_ == pl.Boolean or name == "tag"
        }

    @cached_property
    def _tag_rows(self) -> dict[str, npt.NDArray[np.uint32]]:
        """Return the rows of each untyped tag: from lists, the column `tag`, and booleans, named like their column."""
        pairs = [pl.DataFrame(schema={"name": pl.String, "row": pl.UInt32})]
        for name, type_ in self._bare_tag_columns.items():
            if type_ == pl.Boolean:
                row = pl.arg_where(pl.col(name)).cast(pl.UInt32)
                pairs.append(self.table.select(name=pl.lit(name), row=row))
            else:
                pairs.append(_value_row_pairs(self.table, name))
        grouped = pl.concat(pairs).group_by("name").agg("row")
        return {name: rows.to_numpy() for name, rows in zip(grouped["name"], grouped["row"], strict=True)}


def _read_table(path: Path) -> pl.DataFrame:
    match path.suffix:
        case ".parquet":
            return pl.read_parquet(path)
        case ".csv":
            return pl.read_csv(path, infer_schema=False)
        case ".ndjson" | ".jsonl":
            return pl.read_ndjson(path)
    return pl.read_ipc(path)


def _rows_by_value(table: pl.DataFrame, column: str) -> dict[str, list[int]]:
    """Return the rows of each value in a column of strings or of lists of strings."""
    if column not in table.columns:
        return {}
    rows: dict[str, list[int]] = {}
    pairs = _value_row_pairs(table, column)
    for name, row in zip(pairs["name"].to_list(), pairs["row"].to_list(), strict=True):
        rows.setdefault(name, []).append(row)
    return rows


def _value_row_pairs(table: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return each string of a column of strings or lists with its row."""
    pairs = table.select(name=pl.col(column), row=pl.int_range(pl.len(), dtype=pl.UInt32))
    pairs = pairs.explode("name") if isinstance(pairs.schema["name"], pl.List) else pairs
    return pairs.drop_nulls().with_columns(pl.col("name").cast(pl.String))
