"""Profile the devices of an audience: count the values of each attribute in all shards, and compare them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import isfinite

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.cluster.cluster import Cluster
from audience.errors import ExpressionError, Problem
from audience.index.query.attribute_rows import sorted_values
from audience.index.query.events.windows import to_date
from audience.index.query.insight.bins import Bin
from audience.index.query.insight.comparison import GroupCounts, GroupSizes, divide_counts, estimate_lifts
from audience.index.query.insight.counting import (
    HISTOGRAM_ROLES,
    BinnedShard,
    GroupCounter,
    ProfileCounter,
    ShardCounts,
    sum_counts,
)
from audience.index.query.insight.event_days import EventDays, join_event_days, list_earlier_days, query_day
from audience.index.query.insight.groups import resolve_groups
from audience.index.query.insight.histograms import choose_bins, has_whole_numbers, spread_of_values
from audience.index.query.insight.information import measure_evidence, measure_information
from audience.index.query.insight.profile import OtherValues, Profile, ProfiledAttribute, ProfiledValue, ProfileKind
from audience.index.schema.columns import Role
from audience.index.schema.value_types import SortKey, value_type_of
from audience.index.storage.polars_bridge import read_attribute_values
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf
from audience.language.ast import Expr, Tag
from audience.language.printer import render
from audience.language.suggest import did_you_mean

DEFAULT_VALUES = 10
EVIDENCE_DIGITS = 6  # after the point; values that differ in later ones only are equally surely different


def profile_devices(
    expr: Expr,
    against: Expr | None,
    snapshot: Snapshot,
    asked: AsOf,
    names: Iterable[str] | None = None,
    max_values: int | None = None,
    cluster: Cluster | None = None,
) -> Profile:
    """Compare the devices of *expr* with those of *against*, or with everybody.

    Args:
        expr: Audience.
        against: Audience to compare with; None is everybody.
        snapshot: Snapshot.
        asked: When and where the expressions are asked.
        names: Attributes and events; None is all.
        max_values: How many values of an attribute are listed, 10 by default.
        cluster: Processes that count, each in some shards; None is this one.

    Raises:
        ExpressionError: An expression refers to something that the index does not have, or a name is unknown.
        ClusterError: The cluster is lost, or its processes do not see the index.
    """
    attributes, events = choose_names(names, snapshot)
    counter = _open_counter(expr, against, snapshot, asked, attributes, events, cluster)
    profiled = _profile_attributes(attributes, counter, snapshot, asked, max_values or DEFAULT_VALUES)
    profiled += _profile_events(events, counter, snapshot, asked)
    profiled.sort(key=lambda each: -each.information)
    texts = (render(expr), None if against is None else render(against))
    sizes, number = counter.sizes, snapshot.manifest.number
    return Profile(*texts, sizes.members, sizes.base, number, asked.local_time.replace(microsecond=0), tuple(profiled))


def _open_counter(
    expr: Expr,
    against: Expr | None,
    snapshot: Snapshot,
    asked: AsOf,
    attributes: Sequence[str],
    events: Sequence[str],
    cluster: Cluster | None,
) -> ProfileCounter:
    if cluster is None:
        return GroupCounter(resolve_groups(expr, against, snapshot, asked), snapshot.evaluated_shards, snapshot.events)
    from audience.index.query.insight.shared_counting import count_on_cluster  # few profiles need it

    return count_on_cluster(expr, against, snapshot, asked, attributes, events, cluster)


def choose_names(names: Iterable[str] | None, snapshot: Snapshot) -> tuple[list[str], list[str]]:
    """Return the attributes and the events with these names, or all of them.

    Raises:
        ExpressionError: There is neither an attribute nor an event of a name.
    """
    known_events = snapshot.events.names()
    if names is None:
        return [*snapshot.roles], known_events
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in snapshot.roles and name not in known_events:
            known = [*snapshot.roles, *known_events]
            hint = did_you_mean(name, known) or f"it has {', '.join(known) or 'none'}"
            message = f"this index has no attribute or event {name!r:.80}"
            raise ExpressionError(Problem("unknown-attribute", message, hint=hint))
    return [name for name in wanted if name in snapshot.roles], [name for name in wanted if name in known_events]


def _profile_attributes(
    names: Sequence[str], counter: ProfileCounter, snapshot: Snapshot, asked: AsOf, max_values: int
) -> list[ProfiledAttribute]:
    found, sizes = counter.count_attributes(names), counter.sizes
    histograms = [name for name in names if snapshot.roles[name] in HISTOGRAM_ROLES]
    distinct = {name: _merge_counts(found[name], counter.counted_shards) for name in histograms}
    bins = {
        name: _choose_bins(name, snapshot.roles[name], found[name], distinct[name], counter.counted_shards, asked)
        for name in histograms
    }
    binned = _count_in_bins(bins, found, counter)
    profiled = []
    for name in names:
        role, counted = snapshot.roles[name], found[name]
        known = sum_counts([each.known for each in counted.values()], 1)
        if name in bins:
            histogram = _Histogram(bins[name], binned[name])
            values = distinct[name]
            profiled.append(_profile_histogram(name, role, known, counted, histogram, sizes, values, snapshot, asked))
        else:
            profiled.append(_profile_values(name, role, known, counted, sizes, counter.counted_shards, max_values))
    return profiled


def _count_in_bins(
    bins: Mapping[str, Sequence[Bin]], found: Mapping[str, Mapping[int, ShardCounts]], counter: ProfileCounter
) -> dict[str, GroupCounts]:
    """Return the devices in the bins of each attribute, in all shards together."""
    parts = [
        BinnedShard(number, counted, bins_of_name)
        for name, bins_of_name in bins.items()
        for number, counted in found[name].items()
    ]
    counts: dict[str, list[GroupCounts]] = {name: [] for name in bins}
    for part, each in zip(parts, counter.count_bins(parts), strict=True):
        counts[part.counted.attribute.name].append(each)
    return {name: sum_counts(counts[name], len(bins[name])) for name in bins}


def _profile_values(
    name: str,
    role: Role,
    known: GroupCounts,
    counted: Mapping[int, ShardCounts],
    sizes: GroupSizes,
    shards: Sequence[Shard],
    max_values: int,
) -> ProfiledAttribute:
    """Return the values that say most about the audience; versions in the order of versions."""
    texts, counts = _merge_values(role, counted, shards)
    is_single = all(each.attribute.is_single_valued for each in counted.values())
    evidence = np.round(measure_evidence(counts, sizes), EVIDENCE_DIGITS)
    by_evidence = np.lexsort((np.arange(len(texts)), -counts.members, -evidence, -np.abs(evidence)))
    listed, others = by_evidence[:max_values], by_evidence[max_values:]
    chosen = texts.gather(listed).to_list()
    if role == "version":
        in_order = sorted(range(len(chosen)), key=lambda at: (value_type_of(role).parse(chosen[at]), chosen[at]))
        listed, chosen = listed[in_order], [chosen[at] for at in in_order]
    queries = [Tag(name, text) for text in chosen]
    return ProfiledAttribute(
        name,
        "tag" if role == "tags" else _kind_of(role),
        "values",
        not is_single,
        int(known.members[0]),
        int(known.base[0]),
        len(texts),
        measure_information(counts, sizes, is_single_valued=is_single),
        None,
        _compare_values(
            [(text, None, None, query) for text, query in zip(chosen, queries, strict=True)],
            counts.select(listed),
            sizes,
        ),
        _sum_others(counts, others),
    )


def _kind_of(role: Role) -> ProfileKind:
    match role:
        case "string" | "number" | "date" | "time" | "version":
            return role
    return "tag"


def _merge_values(
    role: Role, counted: Mapping[int, ShardCounts], shards: Sequence[Shard]
) -> tuple[pl.Series, GroupCounts]:
    """Return the values that any device of the groups has, in the order of their texts, and their counts."""
    parts = []
    for number, each in counted.items():
        assert each.by_rank is not None
        texts = read_attribute_values(shards[number], each.attribute)
        columns = {"members": each.by_rank.members, "base": each.by_rank.base, "shared": each.by_rank.shared}
        parts.append(pl.DataFrame({"value": texts, **columns}))
    empty = pl.DataFrame(schema={"value": pl.String, "members": pl.Int64, "base": pl.Int64, "shared": pl.Int64})
    table = pl.concat([empty, *parts])
    if len(parts) > 1:
        table = table.group_by("value").agg(pl.col("members", "base", "shared").sum())
    if len(parts) > 1 or value_type_of(role).is_ordered:
        table = table.sort("value")
    table = table.filter((pl.col("members") > 0) | (pl.col("base") > 0))
    return table["value"], GroupCounts(*(table[name].to_numpy() for name in ("members", "base", "shared")))


@dataclass(frozen=True, slots=True)
class _Histogram:
    """Ranges of values in their order, and the devices in each of them."""

    bins: Sequence[Bin]
    counts: GroupCounts


def _choose_bins(
    name: str,
    role: Role,
    counted: Mapping[int, ShardCounts],
    distinct: Mapping[SortKey, int] | None,
    shards: Sequence[Shard],
    asked: AsOf,
) -> list[Bin]:
    stored = [(shards[number], each) for number, each in counted.items()]
    is_whole = role == "number" and all(has_whole_numbers(each.attribute, shard) for shard, each in stored)
    if distinct is None:
        spreads = [each.spread for _, each in sorted(stored, key=_count_devices)]
    else:
        spreads = [spread_of_values(distinct)]
    known = [spread for spread in spreads if spread is not None]
    return choose_bins(name, role, known, asked.zone, is_whole=is_whole)


def _profile_histogram(
    name: str,
    role: Role,
    known: GroupCounts,
    counted: Mapping[int, ShardCounts],
    histogram: _Histogram,
    sizes: GroupSizes,
    distinct: Mapping[SortKey, int] | None,
    snapshot: Snapshot,
    asked: AsOf,
) -> ProfiledAttribute:
    """Return ranges of numbers, days or moments in their order, all values among them."""
    bins, counts = histogram.bins, histogram.counts
    is_single = all(each.attribute.is_single_valued for each in counted.values())
    zone = {"date": snapshot.timezone if name in snapshot.cut_attributes else None, "time": asked.timezone}
    return ProfiledAttribute(
        name,
        _kind_of(role),
        "histogram",
        not is_single,
        int(known.members[0]),
        int(known.base[0]),
        None if distinct is None else len(distinct),
        measure_information(counts, sizes, is_single_valued=is_single),
        zone.get(role),
        _compare_values([(each.label, each.start, each.stop, each.query) for each in bins], counts, sizes),
        None,
    )


def _count_devices(stored: tuple[Shard, ShardCounts]) -> int:
    """Return the order of a shard, that with most devices first."""
    return -int(stored[1].known.base[0])


def _merge_counts(counted: Mapping[int, ShardCounts], shards: Sequence[Shard]) -> dict[SortKey, int] | None:
    """Return how many devices of the groups have each value; None if bit-sliced numbers are not distinguished."""
    merged: dict[SortKey, int] = {}
    for number, each in counted.items():
        if each.by_rank is None:
            return None
        values = sorted_values(each.attribute, shards[number])
        counts = each.by_rank.base + each.by_rank.members - each.by_rank.shared
        for rank, count in zip(np.flatnonzero(counts).tolist(), counts[counts > 0].tolist(), strict=True):
            key = values.key_at(rank)
            merged[key] = merged.get(key, 0) + count
    return merged


def _profile_events(
    events: Sequence[str], counter: ProfileCounter, snapshot: Snapshot, asked: AsOf
) -> list[ProfiledAttribute]:
    if not events:
        return []
    by_day = counter.count_days(events)
    unions = counter.count_unions({event: list_earlier_days(by_day[event]) for event in events})
    return [
        _profile_event(event, join_event_days(by_day[event], unions[event]), counter.sizes, snapshot, asked)
        for event in events
    ]


def _profile_event(
    event: str, found: EventDays, sizes: GroupSizes, snapshot: Snapshot, asked: AsOf
) -> ProfiledAttribute:
    """Return the devices on each of the last days of an event; the days are those of the index's zone."""
    is_own_zone = asked.timezone == snapshot.timezone
    texts = [to_date(day).isoformat() for day in found.days]
    rows = [
        (text, text, _next_day(day), query_day(event, day) if is_own_zone else None)
        for text, day in zip(texts, found.days, strict=True)
    ]
    earlier = OtherValues(found.earlier_days, int(found.earlier.members[0]), int(found.earlier.base[0]))
    return ProfiledAttribute(
        event,
        "event",
        "days",
        True,
        int(found.known.members[0]),
        int(found.known.base[0]),
        found.event_days,
        measure_information(found.counts, sizes, is_single_valued=False),
        snapshot.timezone,
        _compare_values(rows, found.counts, sizes),
        earlier if found.earlier_days else None,
    )


def _compare_values(
    rows: Sequence[tuple[str, str | None, str | None, Expr | None]], counts: GroupCounts, sizes: GroupSizes
) -> tuple[ProfiledValue, ...]:
    """Return values with their text, start, stop and expression, and how the groups compare in them."""
    lifts = estimate_lifts(counts, sizes)
    shares, base_shares = divide_counts(counts.members, sizes.members), divide_counts(counts.base, sizes.base)
    ratios = [[value if isfinite(value) else None for value in each.tolist()] for each in lifts]
    columns = (counts.members.tolist(), shares.tolist(), counts.base.tolist(), base_shares.tolist(), *ratios)
    return tuple(
        ProfiledValue(text, count, share, base_count, base_share, lift, low, high, start, stop, query)
        for (text, start, stop, query), count, share, base_count, base_share, lift, low, high in zip(
            rows, *columns, strict=True
        )
    )


def _sum_others(counts: GroupCounts, positions: NDArray[np.int64]) -> OtherValues | None:
    others = counts.select(positions)
    return OtherValues(len(positions), int(others.members.sum()), int(others.base.sum())) if len(positions) else None


def _next_day(day: int) -> str | None:
    """Return the day after *day*, which is given as days since 1970; None after the last one."""
    return None if to_date(day) == date.max else to_date(day + 1).isoformat()
