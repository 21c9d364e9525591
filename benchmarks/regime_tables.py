"""Tables of the regimes: devices with tags of one density, drawn at random, correlated, or of real people.

A table is a folder of Parquet files with an id and, for each tag, a Boolean column, or one list column for real people.
An id is the number of its row, so that rows of an index in another order can be compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

TAG_COUNT = 64
GROUP_COUNT = 200
DENSITIES = (0.0001, 0.001, 0.01, 0.03, 0.06, 0.2, 0.5)
MAX_CLASS_TAGS = 24  # so that peers with a byte a device and tag fit into memory
DENSITY_CLASSES = ((0.0001, 0.001), (0.001, 0.01), (0.01, 0.1), (0.1, 1.0))
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
REAL_FILE = "census-income.parquet"
SYNTHETIC_LAYOUTS = ("random", "correlated")
REAL, GROWN = "real", "grown"
REAL_LAYOUTS = (REAL, GROWN)
PART_ROWS = 430_000  # of a file of real people, and of what is read at once
MIXED_SHARE, LOST_SHARE = 0.1, 0.03  # of people who are mixed of two, and of tags that are lost, when people are grown
ID_DIGITS = 8

Masks: TypeAlias = dict[str, NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class RegimeTable:
    """One table: its layout, the density of its tags if they have one, and a folder of integer lists if it is read."""

    layout: str
    density: float | None = None
    source: Path | None = None

    @property
    def name(self) -> str:
        return self.layout if self.density is None else f"{self.layout} {format_density(self.density)}"


@dataclass(frozen=True, slots=True)
class TagClass:
    """Tags of about one density, of which questions are made."""

    label: str
    tags: tuple[str, ...]


def format_density(density: float) -> str:
    return f"{density * 100:g} %"


def write_table(table: RegimeTable, folder: Path, device_count: int) -> None:
    """Write *table* to *folder*; real people are as many as they are."""
    for number, part in enumerate(_iter_parts(table, device_count)):
        part.write_parquet(folder / f"part-{number:03}.parquet")


def _iter_parts(table: RegimeTable, device_count: int) -> Iterator[pl.DataFrame]:
    if table.layout in SYNTHETIC_LAYOUTS:
        masks = _random_masks if table.layout == "random" else _correlated_masks
        columns = dict(zip(_tag_names(), masks(device_count, table.density or 0), strict=True))
        yield pl.DataFrame({"registration_id": number_ids(device_count), **columns})
    elif table.source is not None:
        yield _read_integer_lists(table.source)
    elif table.layout == GROWN:
        yield from _grow_people(pl.read_parquet(SHARED_DATA / REAL_FILE), device_count)
    else:
        people = pl.read_parquet(SHARED_DATA / REAL_FILE)
        yield people.with_columns(registration_id=number_ids(len(people)))


def number_ids(row_count: int, start: int = 0) -> pl.Series:
    return pl.int_range(start, start + row_count, eager=True).cast(pl.String).str.zfill(ID_DIGITS)


def _tag_names() -> list[str]:
    return [f"t{number:02}" for number in range(TAG_COUNT)]


def _random_masks(device_count: int, density: float) -> Iterator[NDArray[np.bool_]]:
    random = np.random.default_rng(15)
    for _ in range(TAG_COUNT):
        yield random.random(device_count, dtype=np.float32) < density


def _correlated_masks(device_count: int, density: float) -> Iterator[NDArray[np.bool_]]:
    """Iterate over tags that most devices of some groups have, and few others; groups come in no order."""
    random = np.random.default_rng(16)
    weights = random.zipf(1.7, GROUP_COUNT).clip(max=40).astype(np.float64)
    weights /= weights.sum()
    groups = random.choice(GROUP_COUNT, device_count, p=weights).astype(np.uint8)
    for _ in range(TAG_COUNT):
        order = random.permutation(GROUP_COUNT)
        inside = order[: np.searchsorted(np.cumsum(weights[order]), 1.1 * density) + 1]
        share = weights[inside].sum()
        chances = np.full(GROUP_COUNT, 0.1 * density / max(1 - share, 0.1), dtype=np.float32)
        chances[inside] = 0.9 * density / share
        yield random.random(device_count, dtype=np.float32) < chances[groups]


def _read_integer_lists(folder: Path) -> pl.DataFrame:
    """Return the table of a folder of files, each with the numbers of the rows that have one tag, divided by commas."""
    rows_by_tag = {
        f"a{number:03}": np.fromstring(file.read_text(), dtype=np.uint32, sep=",")
        for number, file in enumerate(sorted(folder.glob("*.txt")))
    }
    row_count = max(int(rows.max()) for rows in rows_by_tag.values()) + 1
    pairs = pl.concat(
        [pl.DataFrame({"row": rows, "tag": pl.repeat(tag, len(rows), eager=True)}) for tag, rows in rows_by_tag.items()]
    )
    lists = pairs.group_by("row").agg(tags="tag")
    people = pl.DataFrame({"row": pl.int_range(row_count, dtype=pl.UInt32, eager=True)})
    joined = people.join(lists, on="row", how="left", maintain_order="left").with_columns(pl.col("tags").fill_null([]))
    return joined.select(number_ids(row_count).alias("registration_id"), "tags")


def _grow_people(people: pl.DataFrame, device_count: int) -> Iterator[pl.DataFrame]:
    """Make more people like *people*: each is one of them, or mixed of two, and has lost a few of the tags."""
    random = np.random.default_rng(17)
    lists = people["tags"]
    values = lists.explode().cast(pl.String)
    names = values.unique().sort()
    codes = values.cast(pl.Enum(names)).to_physical().cast(pl.UInt8).to_numpy()
    starts = np.concatenate([[0], np.cumsum(lists.list.len().to_numpy(), dtype=np.int64)])
    for first in range(0, device_count, PART_ROWS):
        row_count = min(PART_ROWS, device_count - first)
        chosen = random.integers(0, len(people), row_count)
        mixed = np.where(random.random(row_count) < MIXED_SHARE, random.integers(0, len(people), row_count), chosen)
        left, left_rows = _gather_lists(codes, starts, chosen)
        right, right_rows = _gather_lists(codes, starts, mixed)
        tags, rows = (
            np.concatenate([left[is_low := left < len(names) // 2], right[is_high := right >= len(names) // 2]]),
            np.concatenate([left_rows[is_low], right_rows[is_high]]),
        )
        kept = random.random(len(tags), dtype=np.float32) >= LOST_SHARE
        order = np.argsort(rows[kept], kind="stable")
        offsets = np.concatenate([[0], np.cumsum(np.bincount(rows[kept], minlength=row_count))])
        named = pa.DictionaryArray.from_arrays(pa.array(tags[kept][order]), pa.array(names.to_list()))
        grown = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), named.dictionary_decode())
        yield pl.DataFrame({"registration_id": number_ids(row_count, first), "tags": pl.from_arrow(grown)})


def _gather_lists(
    codes: NDArray[np.uint8], starts: NDArray[np.int64], chosen: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Return the items of the *chosen* lists, and the position of its list for each."""
    lengths = starts[chosen + 1] - starts[chosen]
    rows = np.repeat(np.arange(len(chosen), dtype=np.uint32), lengths)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return codes[np.repeat(starts[chosen], lengths) + within], rows


def read_densities(folder: Path) -> dict[str, float]:
    """Return the share of the devices that have each tag."""
    table = pl.scan_parquet(folder).drop("registration_id")
    if "tags" not in table.collect_schema().names():
        return {name: float(values[0]) for name, values in table.mean().collect().to_dict().items()}
    row_count = table.select(pl.len()).collect().item()
    counts = table.explode("tags").drop_nulls().group_by("tags").len().collect(engine="streaming")
    return {tag: count / row_count for tag, count in sorted(counts.iter_rows())}


def read_masks(folder: Path, tags: tuple[str, ...]) -> Masks:
    """Return the devices that have each of *tags*."""
    table = pl.scan_parquet(folder)
    if "tags" not in table.collect_schema().names():
        return {column.name: column.to_numpy() for column in table.select(tags).collect().iter_columns()}
    row_count = table.select(pl.len()).collect().item()
    masks = {tag: np.zeros(row_count, dtype=np.bool_) for tag in tags}
    for start in range(0, row_count, PART_ROWS):
        some = table.slice(start, PART_ROWS).select("tags").collect().with_row_index("row")
        found = some.explode("tags").filter(pl.col("tags").is_in(tags)).group_by("tags").agg("row")
        for tag, rows in found.iter_rows():
            masks[tag][start + np.asarray(rows)] = True
    return masks


def classify_tags(table: RegimeTable, densities: dict[str, float]) -> list[TagClass]:
    """Return the classes of tags that questions are asked about: those of real people by density, and all of these."""
    if table.density is not None:
        return [TagClass(format_density(table.density), tuple(densities))]
    classes = []
    for low, high in DENSITY_CLASSES:
        tags = [tag for tag, density in densities.items() if low < density <= high]
        some = tuple(tags[:: -(-len(tags) // MAX_CLASS_TAGS) or 1])
        classes.append(TagClass(f"{low * 100:g} to {high * 100:g} %", some))
    return [*classes, TagClass("all", tuple(tag for tag_class in classes for tag in tag_class.tags))]
