"""Commands that exchange an index with other programs as bitmaps."""

from pathlib import Path
from typing import Annotated

from audience.cli.declarations import Argument, Option
from audience.cli.options import IndexArgument, OutOption
from audience.cli.output.writer import Output
from audience.counts import format_count
from audience.index.changes.interchange.bitmap_export import export_bitmaps
from audience.index.device_index import DeviceIndex
from audience.index.storage.published import open_storage
from audience.index.storage.snapshot import open_snapshot


def run_export_bitmaps(
    output: Output,
    index: IndexArgument,
    out: OutOption,
    bitmap_format: Annotated[
        str, Option("--format", metavar="NAME", help="Format of the bitmaps: parquet or clickhouse.")
    ] = "parquet",
    without: Annotated[
        list[str] | None,
        Option("--without", metavar="PART,…", help="Leave out events, segments or policies. Repeatable."),
    ] = None,
) -> None:
    """Write the attributes of an index as roaring bitmaps, and its devices with their positions, for other programs."""
    snapshot = open_snapshot(open_storage(index))
    parts = [part.strip() for option in without or () for part in option.split(",")]
    with output.show_progress() as progress:
        content = export_bitmaps(snapshot, out, bitmap_format, parts, progress)
    devices = sum(content.devices)
    facts = {"folder": str(out), "format": content.bitmaps, "devices": devices, "shards": len(content.devices)}
    shards = format_count(len(content.devices), "shard")
    output.print_result(facts, f"{out}: {format_count(devices, 'device')} in {shards}, bitmaps as {content.bitmaps}")


def run_import_bitmaps(
    output: Output,
    folder: Annotated[Path, Argument(metavar="FOLDER", help="Folder of bitmaps and devices.")],
    out: OutOption,
) -> None:
    """Build an index from a folder of roaring bitmaps, which this or another program has written."""
    with output.show_progress() as progress:
        index = DeviceIndex.import_bitmaps(folder, out, progress=progress)
    facts = {"index": str(out), "devices": len(index)}
    output.print_result(facts, f"{out}: {format_count(len(index), 'device')}")
