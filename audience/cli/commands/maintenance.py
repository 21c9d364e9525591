"""What is kept of an index: its history, older snapshots restored, copies, and room that is not needed any more."""

from pathlib import Path
from typing import Annotated

import typer

from audience.cli.options import IndexArgument, JsonOption, WaitOption
from audience.cli.output.index import print_update_result
from audience.cli.output.report import print_result
from audience.cli.output.widgets import print_table, progress_bar
from audience.errors import OutputError, Problem
from audience.index.device_index import DeviceIndex


def run_compact(index: IndexArgument, wait: WaitOption = 0, json: JsonOption = False) -> None:
    """Write anew what questions have to go around since devices changed: they are answered faster."""
    opened = DeviceIndex.open(index)
    before = opened.snapshot
    with progress_bar() as progress:
        change = opened.compact(wait=wait, progress=progress)
    print_update_result(change, before, opened, json)


def run_history(index: IndexArgument, json: JsonOption = False) -> None:
    """The snapshots that are kept, the oldest first; the last one is current."""
    moments = DeviceIndex.open(index).history()
    if json:
        facts = [
            {
                "number": each.number,
                "created": each.created,
                "devices": each.device_count,
                "description": each.description,
            }
            for each in moments
        ]
        print_result(facts, json, "")
        return
    rows = [(str(each.number), each.created, f"{each.device_count:,}", each.description) for each in moments]
    print_table(("snapshot", "created", "devices", "description"), rows, right_aligned=(0, 2))


def run_restore(
    index: IndexArgument,
    snapshot: Annotated[int, typer.Argument(metavar="SNAPSHOT", help="Its number, see history.")],
    wait: WaitOption = 0,
    json: JsonOption = False,
) -> None:
    """Make an older snapshot current again, as a new one."""
    opened = DeviceIndex.open(index)
    with progress_bar() as progress:
        progress("checking files", 0, 0)
        opened.restore(snapshot, wait=wait)
    number, devices = opened.snapshot.manifest.number, len(opened)
    facts = {"snapshot": number, "restored": snapshot, "devices": devices}
    print_result(facts, json, f"snapshot {number} is what {snapshot} was: {devices:,} devices")


def run_backup(
    index: IndexArgument,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="A folder that is not there yet.")],
    json: JsonOption = False,
) -> None:
    """Copy the current snapshot, checked, to a folder that is an index itself; writers may go on meanwhile."""
    opened = DeviceIndex.open(index)
    if out.exists():
        raise OutputError(Problem("exists", f"{out} exists already", hint="each copy is a new folder"))
    with progress_bar() as progress:
        progress("copying", 0, 0)
        opened.backup(out)
    copy = DeviceIndex.open(out)
    number, devices = copy.snapshot.manifest.number, len(copy)
    facts = {"folder": str(out), "snapshot": number, "devices": devices}
    print_result(facts, json, f"{out}: snapshot {number}, {devices:,} devices")


def run_vacuum(
    index: IndexArgument,
    keep: Annotated[int, typer.Option(metavar="N", help="So many snapshots, the current one among them.")],
    wait: WaitOption = 0,
    json: JsonOption = False,
) -> None:
    """Forget all snapshots but the last, and remove the files that no other needs."""
    opened = DeviceIndex.open(index)
    with progress_bar() as progress:
        progress("removing files", 0, 0)
        gone = opened.vacuum(keep, wait=wait)
    kept = [each.number for each in opened.history()]
    numbers = ", ".join(map(str, kept))
    print_result({"removed": gone, "kept": kept}, json, f"{len(gone):,} files removed; snapshots kept: {numbers}")
