"""The devices that vendors know: ids, aliases, accounts, tags and platform, out of a table.

| column | is |
|---|---|
| `registration_id`, `token` or `device_id` | the id at every vendor |
| `tpns_token`, `emas_registration_id`, … | the id at that vendor; a device without one is unknown there |
| `alias`, `account` | texts, or lists of them |
| `tags`, `tag`, any list of text, booleans | bare tags |
| `platform` | android, ios or hmos; without one a device is reached whatever platform is said |
| every other text, number without fraction, or date | a typed tag, `province:guangdong` |
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from audience.errors import Problem, TableError
from audience.sandbox.http_types import Mask
from audience.testing.devices import devices

VENDORS = ("engagelab", "jpush", "tpns", "emas")
ID_WORDS = ("registration_id", "token", "device_id")
NAME = "{type}_{value}"  # what a typed tag is called where tags have no types
KEPT = (pl.String, pl.Categorical, pl.Enum, pl.Date)


@dataclass(frozen=True)
class Population:
    """Devices, one a row of *table*; *names* says what a vendor without types calls a typed tag.

    >>> some = Population(pl.DataFrame({"registration_id": ["r1", "r2"], "tags": [["a"], ["b"]], "age": [20, 30]}))
    >>> some.bare("engagelab", "b").tolist(), some.bare("engagelab", "age_20").tolist(), some.typed("age", "30").sum()
    ([False, True], [True, False], np.int64(1))
    """

    table: pl.DataFrame
    names: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        columns = [column for vendor in VENDORS for column in self._columns(vendor)]
        if not columns:
            raise TableError(Problem("no-id", "no column holds the ids of devices", hint=", ".join(ID_WORDS)))
        for column in dict.fromkeys(columns):
            ids = self.table[column].drop_nulls()
            if ids.n_unique() != len(ids):
                raise TableError(Problem("duplicate-id", f"column {column!r} has an id twice"))

    @classmethod
    def read(cls, path: Path, names: Mapping[str, str] | None = None) -> "Population":
        """The devices of a Parquet, CSV, NDJSON or Arrow IPC file; TableError where it cannot be read."""
        try:
            return cls(_read(path), names)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise TableError(Problem("unreadable", f"{path}: {error}")) from error

    @classmethod
    def generate(cls, count: int, seed: int = 42) -> "Population":
        """*count* devices as `audience demo` has them; one in three is an iPhone, each has an alias and an account."""
        row = pl.int_range(count)
        platform = pl.when(row % 3 == 0).then(pl.lit("ios")).otherwise(pl.lit("android"))
        alias, account = (pl.format(word + "{}", row) for word in ("u", "a"))
        return cls(devices(count, seed).with_columns(platform=platform, alias=alias, account=account))

    def __len__(self) -> int:
        return self.table.height

    def ids(self, vendor: str) -> Mapping[str, int]:
        """The row of each id that *vendor* knows."""
        column = next(iter(self._columns(vendor)), None)
        return self._rows(column) if column else {}

    def known(self, vendor: str) -> Mask:
        """Whom *vendor* knows at all: out of these it takes everyone, and the rest of a tag."""
        if vendor not in self._masks:
            column = next(iter(self._columns(vendor)), None)
            self._masks[vendor] = self.table[column].is_not_null().to_numpy() if column else self.nobody()
        return self._masks[vendor].copy()

    def nobody(self) -> Mask:
        return np.zeros(len(self), dtype=np.bool_)

    def bare(self, vendor: str, name: str) -> Mask:
        """Who has the tag *name*, at a vendor whose tags have no types."""
        found = self._tagged(name)
        for column in self._typed:
            front, _, back = (self.names or {}).get(vendor, NAME).replace("{type}", column).partition("{value}")
            if name.startswith(front) and name.endswith(back) and len(name) > len(front) + len(back):
                found |= self.typed(column, name[len(front) : len(name) - len(back)])
        return found

    def typed(self, column: str, value: str) -> Mask:
        """Who has *value* in *column*; nobody where there is no such column. The bare tags are the column ""."""
        if not column:
            return self._tagged(value)
        if column not in self._typed:
            return self.nobody()
        return (self._typed[column] == value).fill_null(False).to_numpy().copy()

    def named(self, kind: str, names: list[str]) -> dict[str, list[int]]:
        """The rows of each alias or account out of *names*, in the order of the table; unknown ones are left out."""
        index = self._aliases if kind == "alias" else self._accounts
        return {name: index[name] for name in names if name in index}

    def on(self, platforms: set[str]) -> Mask:
        """Whose platform is one of *platforms*, or is not known."""
        if "platform" not in self.table.columns:
            return ~self.nobody()
        key = " ".join(sorted(platforms))
        if key not in self._masks:
            column = self.table["platform"].str.to_lowercase().replace({"harmony": "hmos"})
            self._masks[key] = column.is_in(list(platforms)).fill_null(True).to_numpy()
        return self._masks[key].copy()

    def _columns(self, vendor: str) -> Iterator[str]:
        own = (f"{vendor}_{word}" for word in ID_WORDS)
        yield from (name for name in (*own, *ID_WORDS) if name in self.table.columns)

    def _rows(self, column: str) -> Mapping[str, int]:
        if column not in self._indexes:
            texts = self.table[column].cast(pl.String).to_list()
            self._indexes[column] = {text: row for row, text in enumerate(texts) if text is not None}
        return self._indexes[column]

    @cached_property
    def _indexes(self) -> dict[str, Mapping[str, int]]:
        return {}

    @cached_property
    def _masks(self) -> dict[str, Mask]:
        return {}

    @cached_property
    def _aliases(self) -> dict[str, list[int]]:
        return _several(self.table, "alias")

    @cached_property
    def _accounts(self) -> dict[str, list[int]]:
        return _several(self.table, "account")

    @cached_property
    def _typed(self) -> dict[str, pl.Series]:
        """Each typed column as text, a day as 2020-04-08."""
        ids = {column for vendor in VENDORS for column in self._columns(vendor)}
        ours = [name for name in self.table.columns if name not in {*ids, "alias", "account", "platform", "tag"}]
        kept = [name for name in ours if (type_ := self.table.schema[name]) in KEPT or type_.is_integer()]
        return {name: self.table[name].cast(pl.String) for name in kept}

    def _tagged(self, name: str) -> Mask:
        found = self.nobody()
        found[self._tags.get(name, [])] = True
        return found

    @cached_property
    def _tags(self) -> dict[str, npt.NDArray[np.uint32]]:
        """The rows of each bare tag: of lists, of a column `tag`, and of booleans, which are named as their column."""
        pairs = [pl.DataFrame(schema={"name": pl.String, "row": pl.UInt32})]
        for name, type_ in self.table.schema.items():
            if isinstance(type_, pl.List) and name not in ("alias", "account"):
                pairs.append(_pairs(self.table, name))
            elif type_ == pl.Boolean:
                row = pl.arg_where(pl.col(name)).cast(pl.UInt32)
                pairs.append(self.table.select(name=pl.lit(name), row=row))
            elif name == "tag":
                pairs.append(_pairs(self.table, name))
        grouped = pl.concat(pairs).group_by("name").agg("row")
        return {name: rows.to_numpy() for name, rows in zip(grouped["name"], grouped["row"], strict=True)}


def _read(path: Path) -> pl.DataFrame:
    match path.suffix:
        case ".parquet":
            return pl.read_parquet(path)
        case ".csv":
            return pl.read_csv(path, infer_schema=False)
        case ".ndjson" | ".jsonl":
            return pl.read_ndjson(path)
    return pl.read_ipc(path)


def _several(table: pl.DataFrame, column: str) -> dict[str, list[int]]:
    """The rows of each name in a column of texts or of lists of them."""
    if column not in table.columns:
        return {}
    found: dict[str, list[int]] = {}
    pairs = _pairs(table, column)
    for name, row in zip(pairs["name"].to_list(), pairs["row"].to_list(), strict=True):
        found.setdefault(name, []).append(row)
    return found


def _pairs(table: pl.DataFrame, column: str) -> pl.DataFrame:
    """Each text of a column of texts or of lists of them, and its row."""
    pairs = table.select(name=pl.col(column), row=pl.int_range(pl.len(), dtype=pl.UInt32))
    pairs = pairs.explode("name") if isinstance(pairs.schema["name"], pl.List) else pairs
    return pairs.drop_nulls().with_columns(pl.col("name").cast(pl.String))
