"""Tables of the regimes: devices with tags of one density, drawn at random, correlated, or of real people.

A table is a Parquet file with an id and, for each tag, a Boolean column, or one list column for real people. An id is
the number of its row, so that rows of an index in another order can be compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

TAG_COUNT = 64
GROUP_COUNT = 200
DENSITIES = (0.0001, 0.001, 0.01, 0.03, 0.06, 0.2, 0.5)
MAX_CLASS_TAGS = 16  # so that peers with a byte a device and tag fit into memory
DENSITY_CLASSES = ((0.0001, 0.001), (0.001, 0.01), (0.01, 0.1), (0.1, 1.0))
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
REAL_FILE = "census-income.parquet"
SYNTHETIC_LAYOUTS = ("random", "correlated")
ID_DIGITS = 8


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


def write_table(table: RegimeTable, file: Path, device_count: int) -> None:
    """Write *table* to *file*."""
    if table.layout in SYNTHETIC_LAYOUTS:
        masks = _random_masks if table.layout == "random" else _correlated_masks
        columns = dict(zip(_tag_names(), masks(device_count, table.density or 0), strict=True))
        pl.DataFrame({"registration_id": number_ids(device_count), **columns}).write_parquet(file)
    elif table.source is not None and table.source.is_dir():
        _read_integer_lists(table.source).write_parquet(file)
    else:
        people = pl.read_parquet(SHARED_DATA / REAL_FILE)
        people.with_columns(registration_id=number_ids(len(people))).write_parquet(file)


def number_ids(count: int) -> pl.Series:
    return pl.int_range(count, eager=True).cast(pl.String).str.zfill(ID_DIGITS)


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


def read_masks(table: RegimeTable, file: Path) -> dict[str, NDArray[np.bool_]]:
    """Return the devices that have each tag."""
    frame = pl.read_parquet(file).drop("registration_id")
    if "tags" not in frame.columns:
        return {column.name: column.to_numpy() for column in frame.iter_columns()}
    lists = frame.with_row_index("row").explode("tags").drop_nulls()
    masks = {}
    for (tag,), rows in lists.partition_by("tags", as_dict=True).items():
        masks[str(tag)] = mask = np.zeros(len(frame), dtype=np.bool_)
        mask[rows["row"].to_numpy()] = True
    return dict(sorted(masks.items()))


def classify_tags(table: RegimeTable, masks: dict[str, NDArray[np.bool_]]) -> list[TagClass]:
    """Return the classes of tags that questions are asked about; with real people one for each order of density."""
    if table.density is not None:
        return [TagClass(format_density(table.density), tuple(masks))]
    densities = {tag: float(mask.mean()) for tag, mask in masks.items()}
    classes = []
    for low, high in DENSITY_CLASSES:
        tags = [tag for tag, density in densities.items() if low < density <= high]
        classes.append(
            TagClass(f"{low * 100:g} to {high * 100:g} %", tuple(tags[:: -(-len(tags) // MAX_CLASS_TAGS) or 1]))
        )
    return [*classes, TagClass("all", tuple(tag for tag_class in classes for tag in tag_class.tags))]
