"""What is kept of an index: its history, older snapshots restored, copies, and room that is not needed any more."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from audience.cli.options import IndexPath, Json, Wait
from audience.cli.output.index import changed
from audience.cli.output.report import result
from audience.cli.output.widgets import bar, table
from audience.errors import OutputError, Problem
from audience.index.device_index import DeviceIndex


def compact(index: IndexPath, wait: Wait = 0, json: Json = False) -> None:
    """Write anew what questions have to go around since devices changed: they are answered faster."""
    opened = DeviceIndex.open(index)
    before = opened.snapshot
    with bar() as progress:
        change = opened.compact(wait=wait, progress=progress)
    changed(change, before, opened, json)


def history(index: IndexPath, json: Json = False) -> None:
    """The snapshots that are kept, the oldest first; the last one is current."""
    moments = DeviceIndex.open(index).history()
    if json:
        result([asdict(each) for each in moments], json, "")
        return
    rows = [(str(each.number), each.made, f"{each.devices:,}", each.what) for each in moments]
    table(("snapshot", "made", "devices", "what"), rows, right=(0, 2))


def restore(
    index: IndexPath,
    snapshot: Annotated[int, typer.Argument(metavar="SNAPSHOT", help="Its number, see history.")],
    wait: Wait = 0,
    json: Json = False,
) -> None:
    """Make an older snapshot current again, as a new one."""
    opened = DeviceIndex.open(index)
    with bar() as progress:
        progress("checking files", 0, 0)
        opened.restore(snapshot, wait=wait)
    number, devices = opened.snapshot.manifest.number, len(opened)
    facts = {"snapshot": number, "restored": snapshot, "devices": devices}
    result(facts, json, f"snapshot {number} is what {snapshot} was: {devices:,} devices")


def backup(
    index: IndexPath,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="A folder that is not there yet.")],
    json: Json = False,
) -> None:
    """Copy the current snapshot, checked, to a folder that is an index itself; writers may go on meanwhile."""
    opened = DeviceIndex.open(index)
    if out.exists():
        raise OutputError(Problem("exists", f"{out} exists already", hint="each copy is a new folder"))
    with bar() as progress:
        progress("copying", 0, 0)
        opened.backup(out)
    copy = DeviceIndex.open(out)
    number, devices = copy.snapshot.manifest.number, len(copy)
    facts = {"folder": str(out), "snapshot": number, "devices": devices}
    result(facts, json, f"{out}: snapshot {number}, {devices:,} devices")


def vacuum(
    index: IndexPath,
    keep: Annotated[int, typer.Option(metavar="N", help="So many snapshots, the current one among them.")],
    wait: Wait = 0,
    json: Json = False,
) -> None:
    """Forget all snapshots but the last, and remove the files that no other needs."""
    opened = DeviceIndex.open(index)
    with bar() as progress:
        progress("removing files", 0, 0)
        gone = opened.vacuum(keep, wait=wait)
    kept = [each.number for each in opened.history()]
    numbers = ", ".join(map(str, kept))
    result({"removed": gone, "kept": kept}, json, f"{len(gone):,} files removed; snapshots kept: {numbers}")
