"""Commands that maintain an index: compact, history, restore, backup, vacuum."""

from pathlib import Path
from typing import Annotated

from audience.cli.declarations import Argument, Option
from audience.cli.login_name import find_login_name
from audience.cli.options import IndexArgument, WaitOption
from audience.cli.output.index import print_update_result
from audience.cli.output.widgets import format_table
from audience.cli.output.writer import Output
from audience.counts import format_count
from audience.errors import OutputError, Problem
from audience.index.device_index import DeviceIndex


def run_compact(output: Output, index: IndexArgument, wait: WaitOption = 0) -> None:
    """Rewrite shards to drop deleted rows and speed up queries."""
    device_index = DeviceIndex.open(index)
    before = device_index.snapshot
    with output.show_progress() as progress:
        result = device_index.compact(wait=wait, progress=progress)
    print_update_result(result, before, device_index, output)


def run_history(output: Output, index: IndexArgument) -> None:
    """List the snapshots, oldest first; the last one is current."""
    snapshots = DeviceIndex.open(index).history()
    facts = [
        {
            "number": snapshot.number,
            "created": snapshot.created,
            "devices": snapshot.device_count,
            "description": snapshot.description,
        }
        for snapshot in snapshots
    ]
    titles = ("snapshot", "created", "devices", "description")
    rows = [(str(each.number), each.created, f"{each.device_count:,}", each.description) for each in snapshots]
    output.print_result(facts, lambda: format_table(titles, rows, right_aligned=(0, 2)))


def run_restore(
    output: Output,
    index: IndexArgument,
    snapshot: Annotated[
        int, Argument(metavar="SNAPSHOT", help="Number of the snapshot, see `audience index history`.")
    ],
    wait: WaitOption = 0,
) -> None:
    """Restore an older snapshot as a new current snapshot."""
    device_index = DeviceIndex.open(index)
    with output.show_progress() as progress:
        progress("checking files", 0, 0)
        device_index.restore(snapshot, find_login_name(), wait=wait)
    number, devices = device_index.snapshot.manifest.number, len(device_index)
    facts = {"snapshot": number, "restored": snapshot, "devices": devices}
    output.print_result(facts, f"snapshot {number} restores snapshot {snapshot}: {format_count(devices, 'device')}")


def run_backup(
    output: Output,
    index: IndexArgument,
    out: Annotated[Path, Option("-o", "--out", metavar="FOLDER", help="New folder of the copy.")],
) -> None:
    """Copy the current snapshot to a new index and verify it; writers are not blocked."""
    device_index = DeviceIndex.open(index)
    if out.exists():
        raise OutputError(Problem("exists", f"{out} already exists", hint="choose a new folder"))
    with output.show_progress() as progress:
        progress("copying", 0, 0)
        device_index.backup(out)
    copy = DeviceIndex.open(out)
    number, devices = copy.snapshot.manifest.number, len(copy)
    facts = {"folder": str(out), "snapshot": number, "devices": devices}
    output.print_result(facts, f"{out}: snapshot {number}, {format_count(devices, 'device')}")


def run_vacuum(
    output: Output,
    index: IndexArgument,
    keep: Annotated[int, Option("--keep", metavar="N", help="Number of snapshots to keep, including the current one.")],
    wait: WaitOption = 0,
) -> None:
    """Delete all but the last snapshots, and the files that no snapshot needs."""
    device_index = DeviceIndex.open(index)
    with output.show_progress() as progress:
        progress("removing files", 0, 0)
        removed = device_index.vacuum(keep, wait=wait)
    kept = [snapshot.number for snapshot in device_index.history()]
    text = f"{format_count(len(removed), 'file')} removed; snapshots kept: {', '.join(map(str, kept))}"
    output.print_result({"removed": removed, "kept": kept}, text)
