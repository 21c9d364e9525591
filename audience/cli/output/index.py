"""What commands print of an index: what it holds, what a change did to it, and counts."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from audience.cli.output.report import result
from audience.cli.output.widgets import table
from audience.index.changes.update import Change
from audience.index.device_index import DeviceIndex
from audience.index.query.attribute_stats import Known, known
from audience.index.query.explain import Line
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Segment
from audience.language.printer import render
from audience.language.validation import few


def info(index: DeviceIndex, json: bool) -> None:
    """Print what *index* holds."""
    snapshot, manifest = index.snapshot, index.snapshot.manifest
    attributes: list[dict[str, Any]] = [
        {"name": each.name, "kind": each.role, "values": each.distinct, "digits": each.digits, "most": _most(each)}
        for each in known(snapshot).values()
    ]
    shards: list[dict[str, Any]] = [
        {"name": shard.name, "devices": shard.devices, "rows": shard.rows, "bytes": sum(shard.files.sizes.values())}
        for shard in snapshot.shards
    ]
    if json:
        facts = {"devices": len(index), "snapshot": manifest.number, "made": manifest.made, "what": manifest.what}
        facts |= {"ids": snapshot.ids, "segments": manifest.segments}
        result({**facts, "attributes": attributes, "shards": shards}, json, "")
        return
    size = sum(shard["bytes"] for shard in shards)
    dead = sum(shard["rows"] - shard["devices"] for shard in shards)
    many = f" in {len(shards)} shards" if len(shards) > 1 else ""
    gone = f" with {dead:,} dead rows" if dead else ""
    ids = ", ".join(snapshot.ids)
    sys.stdout.write(f"{index.folder}: {len(index):,} devices{many}{gone}, {size / 1e6:,.1f} MB, ids {ids}\n")
    sys.stdout.write(f"snapshot {manifest.number} of {manifest.made}, {manifest.what}\n")
    if manifest.segments:
        sys.stdout.write(f"segments {few([render(Segment(name)) for name in manifest.segments])}\n")
    rows = [(a["name"], a["kind"], f"{a['values']:,}", ", ".join(a["most"]) or _digits(a)) for a in attributes]
    table(("attribute", "kind", "values", "most frequent"), rows)


def changed(change: Change, before: Snapshot, index: DeviceIndex, json: bool) -> None:
    """Print what *change* did to *index*, which was *before*."""
    facts = {**asdict(change), "devices": len(index)}
    if change.snapshot == before.manifest.number:
        result(facts, json, f"nothing to change: snapshot {change.snapshot} stays")
        return
    done = ((change.changed, "changed"), (change.added, "added"), (change.removed, "removed"))
    parts = [f"{many:,} {what}" for many, what in done if many]
    result(facts, json, f"snapshot {change.snapshot}: {', '.join([*parts, f'{len(index):,} devices'])}")


def _most(attribute: Known) -> list[str]:
    """The values that most devices have."""
    counts = attribute.counts().sort("devices", "value", descending=[True, False])
    return counts.filter(pl.col("devices") > 0)["value"].head(4).to_list()


def _digits(attribute: dict[str, Any]) -> str:
    return f"kept as {attribute['digits']} binary digits" if attribute["digits"] else ""


def counts_table(lines: Sequence[Line], devices: int) -> None:
    """Print the tree with the count and the share of every node, and what an AND leaves step by step."""
    rows = [
        ("  " * line.depth + line.text, f"{line.devices:,}", share(line.devices, devices), _left(line))
        for line in lines
    ]
    table(("expression", "devices", "share", "left"), rows, right=(1, 2, 3))


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _left(line: Line) -> str:
    return "" if line.left is None else f"{line.left:,}"
