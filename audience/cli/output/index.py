"""What commands print of an index: what it holds, what a change did to it, and counts."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from audience.cli.output.report import print_result
from audience.cli.output.widgets import print_table
from audience.index.changes.session import UpdateResult
from audience.index.device_index import DeviceIndex
from audience.index.query.attribute_stats import AttributeStats, collect_attribute_stats
from audience.index.query.explain import ExplainLine
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Segment
from audience.language.printer import render
from audience.language.validation import join_some


def print_index_info(index: DeviceIndex, json: bool) -> None:
    """Print what *index* holds."""
    snapshot, manifest = index.snapshot, index.snapshot.manifest
    attributes: list[dict[str, Any]] = [
        {
            "name": each.name,
            "role": each.role,
            "values": each.distinct_count,
            "bit_slices": each.bit_depth,
            "most_frequent": _most_frequent_values(each),
        }
        for each in collect_attribute_stats(snapshot).values()
    ]
    shards: list[dict[str, Any]] = [
        {
            "name": shard.name,
            "devices": shard.device_count,
            "rows": shard.row_count,
            "bytes": sum(shard.files.file_sizes.values()),
        }
        for shard in snapshot.shards
    ]
    if json:
        facts = {
            "devices": len(index),
            "snapshot": manifest.number,
            "created": manifest.created,
            "description": manifest.description,
        }
        facts |= {"ids": snapshot.id_column_names, "segments": manifest.segments}
        print_result({**facts, "attributes": attributes, "shards": shards}, json, "")
        return
    size = sum(shard["bytes"] for shard in shards)
    dead = sum(shard["rows"] - shard["devices"] for shard in shards)
    many = f" in {len(shards)} shards" if len(shards) > 1 else ""
    gone = f" with {dead:,} dead rows" if dead else ""
    ids = ", ".join(snapshot.id_column_names)
    sys.stdout.write(f"{index.folder}: {len(index):,} devices{many}{gone}, {size / 1e6:,.1f} MB, ids {ids}\n")
    sys.stdout.write(f"snapshot {manifest.number} of {manifest.created}, {manifest.description}\n")
    if manifest.segments:
        sys.stdout.write(f"segments {join_some([render(Segment(name)) for name in manifest.segments])}\n")
    rows = [
        (a["name"], a["role"], f"{a['values']:,}", ", ".join(a["most_frequent"]) or _bit_slices_note(a))
        for a in attributes
    ]
    print_table(("attribute", "role", "values", "most frequent"), rows)


def print_update_result(update_result: UpdateResult, before: Snapshot, index: DeviceIndex, json: bool) -> None:
    """Print what *change* did to *index*, which was *before*."""
    facts = {**asdict(update_result), "devices": len(index)}
    if update_result.snapshot == before.manifest.number:
        print_result(facts, json, f"nothing to change: snapshot {update_result.snapshot} stays")
        return
    done = ((update_result.changed, "changed"), (update_result.added, "added"), (update_result.removed, "removed"))
    parts = [f"{many:,} {what}" for many, what in done if many]
    print_result(facts, json, f"snapshot {update_result.snapshot}: {', '.join([*parts, f'{len(index):,} devices'])}")


def _most_frequent_values(attribute: AttributeStats) -> list[str]:
    """The values that most devices have."""
    counts = attribute.count_by_value().sort("devices", "value", descending=[True, False])
    return counts.filter(pl.col("devices") > 0)["value"].head(4).to_list()


def _bit_slices_note(attribute: dict[str, Any]) -> str:
    return f"kept as {attribute['bit_slices']} binary digits" if attribute["bit_slices"] else ""


def print_counts_table(lines: Sequence[ExplainLine], total_devices: int) -> None:
    """Print the tree with the count and the share of every node, and what an AND leaves step by step."""
    rows = [
        (
            "  " * line.depth + line.text,
            f"{line.device_count:,}",
            format_share(line.device_count, total_devices),
            _format_remaining(line),
        )
        for line in lines
    ]
    print_table(("expression", "devices", "share", "remaining"), rows, right_aligned=(1, 2, 3))


def format_share(part: int, total: int) -> str:
    return f"{part / total:.1%}" if total else "-"


def _format_remaining(line: ExplainLine) -> str:
    return "" if line.remaining is None else f"{line.remaining:,}"
