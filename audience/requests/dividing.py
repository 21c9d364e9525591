"""Devices divided into parts, which are disjoint and together all devices.

In each shard, a row gets one number from its variant, its language and its zone; rows with the same number are a part.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from audience.errors import PlanError, Problem
from audience.index.query.device_set import DeviceSet
from audience.index.query.row_values import NO_VALUE, RowValues, read_row_values
from audience.index.query.sampling import sample_rows
from audience.index.schema.columns import Column
from audience.index.storage.bitmaps import BitMap, RowNumbers, bitmap_to_rows, rows_to_bitmap
from audience.index.storage.packed_words import bitmap_to_mask
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.language_tags import match_language, normalize_language
from audience.language.suggest import did_you_mean
from audience.language.zone_names import normalize_zone_name
from audience.requests.division import Division
from audience.requests.unknown_values import UnknownValues, ValueCounts, sum_unknown

PartKey: TypeAlias = tuple[str | None, str | None, str | None]  # variant, language, zone
Codes: TypeAlias = NDArray[np.int64]


class DevicePart(NamedTuple):
    """Devices that get the same message in the same window."""

    variant: str | None
    language: str | None
    zone: str | None
    devices: DeviceSet


@dataclass(frozen=True, slots=True)
class DividedDevices:
    """Parts of an audience.

    Attributes:
        division: How it was divided.
        parts: The parts that have any device: by variant, then language, then zone.
        notes: What becomes of devices whose language or zone is not known.
    """

    division: Division
    parts: tuple[DevicePart, ...]
    notes: tuple[Problem, ...] = ()

    def among(self, devices: DeviceSet) -> "DividedDevices":
        """Return the parts that any of *devices* is in, with those devices alone."""
        parts = (part._replace(devices=part.devices & devices) for part in self.parts)
        return replace(self, parts=tuple(part for part in parts if part.devices))


def select_with_variant(devices: DeviceSet, division: Division) -> DeviceSet:
    """Return the devices that have a variant: all of them, if there is no split."""
    if (split := division.split) is None:
        return devices
    pairs = zip(devices.snapshot.shards, devices.bitmaps, strict=True)
    return DeviceSet([rows & sample_rows(split, shard) if rows else rows for shard, rows in pairs], devices.snapshot)


def divide_devices(devices: DeviceSet, division: Division) -> DividedDevices:
    """Divide *devices*, all of which have a variant.

    Raises:
        PlanError: There is no such attribute, a device has several values of it, or no time zone is known for it.
    """
    snapshot, divided = devices.snapshot, list[dict[PartKey, BitMap]]()
    divider = _Divider(
        division,
        _find_column("language_of", division.language_of, snapshot),
        _find_column("timezone_of", division.timezone_of, snapshot),
    )
    unknown = list[UnknownValues]()
    for shard, bitmap in zip(snapshot.shards, devices.bitmaps, strict=True):
        rows_by_part, unknown_in_shard = divider.divide_rows(shard, bitmap) if bitmap else ({}, UnknownValues())
        divided.append(rows_by_part)
        unknown.append(unknown_in_shard)
    total = sum_unknown(unknown)
    total.require_zones(division)
    keys = sorted({key for rows_by_part in divided for key in rows_by_part}, key=division.rank_part)
    parts = (DevicePart(*key, DeviceSet([rows.get(key, BitMap()) for rows in divided], snapshot)) for key in keys)
    return DividedDevices(division, tuple(parts), tuple(total.notes(division)))


def _find_column(option: str, name: str | None, snapshot: Snapshot) -> Column | None:
    """Return the attribute called *name*; raise PlanError if there is none, or it does not hold text."""
    if name is None:
        return None
    columns = {
        column.name: column for column in snapshot.manifest.columns if not column.is_id and column.role != "tags"
    }
    if name not in columns:
        hint = did_you_mean(name, columns) or f"it has {', '.join(columns) or 'none'}"
        message = f"{option}: this index has no attribute {name!r:.80}"
        raise PlanError(Problem("unknown-attribute", message, hint=hint))
    if columns[name].role != "string":
        message = f"{option}: {name} is of type {columns[name].role}, not text"
        raise PlanError(Problem("wrong-type", message, hint=f"build the index with --typed {name}"))
    return columns[name]


@dataclass(frozen=True, slots=True)
class _Divider:
    """Division of the rows of any shard, by the attributes of languages and of zones."""

    division: Division
    language_column: Column | None
    zone_column: Column | None

    def divide_rows(self, shard: Shard, bitmap: BitMap) -> tuple[dict[PartKey, BitMap], UnknownValues]:
        """Return the rows of *bitmap* by part, and how many have no known value."""
        rows = bitmap_to_rows(bitmap)
        variants = self._find_variants(shard, rows)
        languages, language_names, unknown_languages = self._find_languages(shard, rows, variants)
        zones, zone_names, unknown_zones = self._find_zones(shard, rows)
        shape = (len(self.division.variants), len(language_names), len(zone_names))
        groups = _group_rows(rows, np.ravel_multi_index((variants, languages, zones), shape))
        keys = (
            (self.division.variants[variant], language_names[language], zone_names[zone])
            for variant, language, zone in (np.unravel_index(number, shape) for number in groups)
        )
        unknown = UnknownValues(devices=len(rows)) + unknown_languages + unknown_zones
        return dict(zip(keys, groups.values(), strict=True)), unknown

    def _find_variants(self, shard: Shard, rows: RowNumbers) -> Codes:
        """Return the position of the variant of each row; each has the first that its ids are in."""
        codes = np.zeros(shard.row_count, dtype=np.int64)
        if (split := self.division.split) is not None:
            for number, variant in reversed([*enumerate(self.division.variants)]):
                in_variant = sample_rows(replace(split, variant=variant), shard)
                codes[bitmap_to_mask(in_variant, shard.row_count)] = number
        return codes[rows]

    def _find_languages(
        self, shard: Shard, rows: RowNumbers, variants: Codes
    ) -> tuple[Codes, list[str | None], UnknownValues]:
        """Return the position of the language of each row, all languages, and how many rows have what is none."""
        if self.language_column is None:
            return np.zeros_like(variants), [None], UnknownValues()
        values = read_row_values(shard, rows, self.language_column)
        tags = [normalize_language(value) for value in values.values]
        languages = self.division.languages
        names = [None, *dict.fromkeys(name for of_variant in languages.values() for name in of_variant)]
        table = np.zeros((len(self.division.variants), len(tags) + 1), dtype=np.int64)  # the last is that of no value
        for number, variant in enumerate(self.division.variants):
            matches = [None if tag is None else match_language(tag, languages[variant]) for tag in tags]
            table[number, :-1] = list(map(names.index, matches))
        bad = _count_values(values, [tag is None for tag in tags])
        unknown = UnknownValues(several=_count_several(values, self.language_column), bad_languages=bad)
        return table[variants, values.codes], names, unknown

    def _find_zones(self, shard: Shard, rows: RowNumbers) -> tuple[Codes, list[str | None], UnknownValues]:
        """Return the position of the zone of each row, all zones, and how many rows have none."""
        if self.zone_column is None:
            return np.zeros(len(rows), dtype=np.int64), [None], UnknownValues()
        values = read_row_values(shard, rows, self.zone_column)
        zones = [normalize_zone_name(value) for value in values.values]
        names = [*dict.fromkeys((self.division.timezone_default, *filter(None, zones)))]
        table = np.array([*(0 if zone is None else names.index(zone) for zone in zones), 0], dtype=np.int64)
        unknown = UnknownValues(
            several=_count_several(values, self.zone_column),
            no_zone=int(np.count_nonzero(values.codes == NO_VALUE)),
            bad_zones=_count_values(values, [zone is None for zone in zones]),
        )
        return table[values.codes], names, unknown


def _group_rows(rows: RowNumbers, numbers: Codes) -> dict[int, BitMap]:
    """Return the *rows*, which rise, of each number."""
    order = np.argsort(numbers, kind="stable")
    present, starts = np.unique(numbers[order], return_index=True)
    groups = np.split(rows[order], starts[1:])
    return dict(zip(present.tolist(), map(rows_to_bitmap, groups), strict=True))


def _count_several(values: RowValues, column: Column) -> ValueCounts:
    count = int(np.count_nonzero(values.has_several))
    return Counter({column.name: count} if count else {})


def _count_values(values: RowValues, is_bad: Sequence[bool]) -> ValueCounts:
    """Return the number of rows with each bad value."""
    counts = np.bincount(values.codes[values.codes != NO_VALUE], minlength=len(values.values)).tolist()
    return Counter(
        {value: count for value, count, bad in zip(values.values, counts, is_bad, strict=True) if bad and count}
    )
