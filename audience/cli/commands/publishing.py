"""Commands that publish an index in an object store, and copy one from there."""

from pathlib import Path
from typing import Annotated

from audience.cli.declarations import Argument, Option
from audience.cli.options import IndexArgument
from audience.cli.output.writer import Output
from audience.counts import format_count
from audience.errors import OutputError, Problem
from audience.index.changes.publishing import pull_index
from audience.index.device_index import DeviceIndex

UrlArgument = Annotated[str, Argument(metavar="URL", help="Place in an object store, as s3://bucket/devices.index.")]


def run_push(
    output: Output,
    index: IndexArgument,
    url: UrlArgument,
    replace: Annotated[
        bool, Option("--replace", help="Publish also if another index than the one this comes from is there.")
    ] = False,
) -> None:
    """Publish the current snapshot of an index in an object store, where other machines read it."""
    device_index = DeviceIndex.open(index)
    with output.show_progress() as progress:
        progress("reading files", 0, 0)
        result = device_index.push(url, replace=replace, progress=progress)
    facts = {
        "url": result.url,
        "snapshot": result.snapshot,
        "devices": result.devices,
        "files": result.files,
        "bytes": result.nbytes,
    }
    written = f"{format_count(result.files, 'file')} written, {result.nbytes / 1e6:,.1f} MB"
    devices = format_count(result.devices, "device")
    output.print_result(facts, f"{result.url}: snapshot {result.snapshot}, {devices}; {written}")


def run_pull(
    output: Output,
    url: UrlArgument,
    out: Annotated[Path, Option("-o", "--out", metavar="FOLDER", help="New folder of the copy.")],
) -> None:
    """Copy an index from an object store to a new folder and verify it."""
    if out.exists():
        raise OutputError(Problem("exists", f"{out} already exists", hint="choose a new folder"))
    with output.show_progress() as progress:
        progress("copying", 0, 0)
        number = pull_index(url, out)
    devices = len(DeviceIndex.open(out))
    facts = {"folder": str(out), "snapshot": number, "devices": devices}
    output.print_result(facts, f"{out}: snapshot {number}, {format_count(devices, 'device')}")
