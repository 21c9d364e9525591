"""Text and JSON of an index: its contents, the result of a change, and counts."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from audience.cli.output.widgets import format_table
from audience.cli.output.writer import Output
from audience.counts import format_count
from audience.errors import Problem
from audience.index.changes.session import UpdateResult
from audience.index.device_index import DeviceIndex
from audience.index.ingest.replacement import describe_lost_tags
from audience.index.ingest.table_reading import TableReading
from audience.index.query.attribute_stats import AttributeStats, collect_attribute_stats
from audience.index.query.explain import ExplainLine
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.json_forms.leave_one_out import LeftOutForm
from audience.language.ast import Segment
from audience.language.printer import render
from audience.language.validation import join_some

MAX_FREQUENT_VALUES = 4


def print_index_info(index: DeviceIndex, output: Output) -> None:
    """Print the contents of *index*: devices, ids, snapshot, segments, attributes, shards, and how it was built."""
    snapshot, manifest = index.snapshot, index.snapshot.manifest
    attributes = [_attribute_json(stats) for stats in collect_attribute_stats(snapshot).values()]
    facts = {
        "devices": len(index),
        "snapshot": manifest.number,
        "created": manifest.created,
        "description": manifest.description,
        "timezone": snapshot.timezone,
        "ids": [column.stored_name for column in snapshot.id_columns],
        "segments": manifest.segments,
        "events": snapshot.events.names(),
        "attributes": attributes,
        "shards": [_shard_json(shard) for shard in snapshot.shards],
    }
    if index.reading is not None:
        facts["reading"] = index.reading.to_json()
        print_reading(index.reading, output)
        output.print_warnings(_list_loss_warnings(index.reading))
    output.print_result(facts, lambda: "\n".join([*_summary_lines(index, facts), _attributes_table(attributes)]))


def _list_loss_warnings(reading: TableReading) -> list[Problem]:
    """Return a warning of the tags that were lost with the replaced index, if there are any."""
    if not reading.lost_tags:
        return []
    message = f"no device has these tags of the replaced index: {join_some(describe_lost_tags(reading.lost_tags))}"
    return [Problem("lost-tags", message, hint="tags that `index tag` has added are to be added again")]


def print_reading(reading: TableReading, output: Output) -> None:
    """Print the decisions about a table that may surprise; JSON has them all in the result."""
    if not output.as_json:
        output.print_notes([Problem("table", note) for note in reading.notes()])


def _attribute_json(stats: AttributeStats) -> dict[str, Any]:
    return {
        "name": stats.name,
        "role": stats.role,
        "values": stats.distinct_count,
        "bit_slices": stats.bit_depth,
        "most_frequent": _most_frequent_values(stats),
    }


def _shard_json(shard: Shard) -> dict[str, Any]:
    size = sum(shard.files.file_sizes.values())
    return {"name": shard.name, "devices": shard.device_count, "rows": shard.row_count, "bytes": size}


def _summary_lines(index: DeviceIndex, facts: dict[str, Any]) -> list[str]:
    shards = facts["shards"]
    deleted = sum(shard["rows"] - shard["devices"] for shard in shards)
    counts = format_count(len(index), "device") + (f" in {len(shards)} shards" if len(shards) > 1 else "")
    counts += f", {format_count(deleted, 'deleted row')}" if deleted else ""
    size = sum(shard["bytes"] for shard in shards)
    lines = [
        f"{index.snapshot.storage.location}: {counts}, {size / 1e6:,.1f} MB",
        f"ids        {', '.join(facts['ids'])}",
        f"timezone   {facts['timezone']}",
        f"snapshot   {facts['snapshot']}, {facts['created']}, {facts['description']}",
    ]
    if facts["segments"]:
        lines.append(f"segments   {join_some([render(Segment(name)) for name in facts['segments']])}")
    if facts["events"]:
        lines.append(f"events     {join_some(facts['events'])}")
    return [*lines, ""]


def _attributes_table(attributes: Sequence[dict[str, Any]]) -> str:
    rows = [
        (each["name"], each["role"], f"{each['values']:,}", ", ".join(each["most_frequent"]) or _bit_slices_note(each))
        for each in attributes
    ]
    return format_table(("attribute", "role", "values", "most frequent"), rows, right_aligned=(2,))


def _most_frequent_values(stats: AttributeStats) -> list[str]:
    counts = stats.count_by_value().sort("devices", "value", descending=[True, False])
    return counts.filter(pl.col("devices") > 0)["value"].head(MAX_FREQUENT_VALUES).to_list()


def _bit_slices_note(attribute: dict[str, Any]) -> str:
    return f"stored as {attribute['bit_slices']} bit slices" if attribute["bit_slices"] else ""


def print_update_result(result: UpdateResult, before: Snapshot, index: DeviceIndex, output: Output) -> None:
    """Print the result of a change to *index*, whose snapshot was *before*."""
    names = ("snapshot", "changed", "added", "removed", "unknown")
    facts: dict[str, Any] = {name: getattr(result, name) for name in names} | {"devices": len(index)}
    if result.reading is not None:
        facts["reading"] = result.reading.to_json()
        print_reading(result.reading, output)
    if result.snapshot == before.manifest.number:
        output.print_result(facts, f"no changes: snapshot {result.snapshot} is still current")
        return
    counts = ((result.changed, "changed"), (result.added, "added"), (result.removed, "removed"))
    parts = [f"{count:,} {verb}" for count, verb in counts if count]
    output.print_result(facts, f"snapshot {result.snapshot}: {', '.join([*parts, format_count(len(index), 'device')])}")


def format_counts(
    lines: Sequence[ExplainLine], total_devices: int, without: Mapping[tuple[int, ...], LeftOutForm] | None = None
) -> str:
    """Return the expression tree with the count of every node and the devices that remain after each AND operand.

    Args:
        lines: Nodes of the tree.
        total_devices: Number of all devices.
        without: What the audience is without a node, by its path, for one more column.
    """
    rows = [
        (
            "  " * line.depth + _label(line),
            f"{line.device_count:,}",
            f"{line.device_count / total_devices:.1%}" if total_devices else "-",
            "" if line.remaining is None else f"{line.remaining:,}",
            *([] if without is None else [f"{without[line.path]['count']:,}" if line.path in without else ""]),
        )
        for line in lines
    ]
    titles = ("expression", "devices", "% of devices", "remaining", *([] if without is None else ["without it"]))
    return format_table(titles, rows, right_aligned=range(1, len(titles)))


def _label(line: ExplainLine) -> str:
    """Return the text of a node, and how many values it matches if it is a pattern."""
    return line.text if line.value_count is None else f"{line.text}  ({format_count(line.value_count, 'value')})"
