"""Command that removes a person from indexes, request folders, ledgers and logs."""

from pathlib import Path
from typing import Annotated

from audience.cli.declarations import Option
from audience.cli.id_arguments import collect_ids
from audience.cli.options import IdFilesOption, IdsArgument, WaitOption
from audience.cli.output.widgets import format_table
from audience.cli.output.writer import Output
from audience.delivery.forgetting import (
    Finding,
    forget_in_folders,
    forget_in_logs,
    forget_in_syncs,
    forget_in_unfinished_jobs,
    list_request_folders,
    require_idle,
    require_plain_logs,
)
from audience.errors import Problem, TableError
from audience.index.changes.forgetting import ForgottenInIndex
from audience.index.device_index import DeviceIndex
from audience.index.storage.published import require_local


def run_forget(
    output: Output,
    ids: IdsArgument = None,
    files: IdFilesOption = None,
    column: Annotated[
        str | None,
        Option("--column", metavar="NAME", help="Id column of the indexes that the ids are of.", show_default="any"),
    ] = None,
    index: Annotated[
        list[Path] | None, Option("--index", metavar="INDEX", help="Index to look in. Repeatable.")
    ] = None,
    runs: Annotated[
        list[Path] | None,
        Option("--runs", metavar="DIR", exists=True, help="Folder of requests, or above such folders. Repeatable."),
    ] = None,
    log: Annotated[
        list[Path] | None, Option("--log", metavar="FILE", exists=True, help="Log to look in. Repeatable.")
    ] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Only show what would be removed.")] = False,
    wait: WaitOption = 0,
) -> None:
    """Forget persons: remove their ids from indexes, request folders, ledgers and logs.

    Devices with an id are removed with their events and other device ids, from kept snapshots too. A salted hash stays,
    so that nothing is sent to the ids if they come back.
    """
    if not (index or runs or log):
        hint = "for example: audience forget ID --index INDEX --runs DIR"
        raise TableError(Problem("bad-option", "expected --index, --runs or --log", hint=hint))
    indexes = [DeviceIndex.open(path) for path in index or ()]
    for each in indexes:
        require_local(each.snapshot.storage)
    wanted = collect_ids(ids or (), files or (), None, []).to_list()
    folders = {root: list_request_folders(root) for root in runs or ()}
    logs = log or []
    require_idle([folder for found in folders.values() for folder in found])
    require_plain_logs(logs)
    looked = [each.forget(wanted, column=column, dry_run=True) for each in indexes]
    all_ids = list(dict.fromkeys([*wanted, *(identifier for found in looked for identifier in found.ids)]))
    with output.show_progress() as progress:
        snapshots = [each.snapshot for each in indexes]
        findings = forget_in_unfinished_jobs(runs or (), snapshots, dry_run=dry_run, wait=wait)
        findings += forget_in_logs(logs, all_ids, dry_run=dry_run)
        for root, found in folders.items():
            findings += forget_in_folders(root, found, all_ids, dry_run=dry_run)
        in_indexes = [
            (each, each.forget(wanted, column=column, dry_run=dry_run, wait=wait, progress=progress))
            for each in indexes
        ]
    findings += [row for each, found in in_indexes for row in _list_findings(str(each.folder), found)]
    for each in indexes:
        findings += forget_in_syncs(each.snapshot, all_ids, dry_run=dry_run, wait=wait)
    facts = {
        "ids": all_ids,
        "dry_run": dry_run,
        "found": [
            {"place": each.place, "kind": each.kind, "found": each.found, "done": each.done} for each in findings
        ],
    }
    output.print_result(facts, lambda: _format_findings(findings, dry_run=dry_run))


def _list_findings(place: str, found: ForgottenInIndex) -> list[Finding]:
    """Return what an index had of the ids."""
    snapshots = ", ".join(map(str, found.dropped_snapshots))
    rows = [Finding(place, "devices", found.devices, "removed with their rows in all snapshots")]
    rows += [Finding(place, f"event {name}", count, "removed") for name, count in found.events.items()]
    rows += [Finding(place, f"segment {name}", 1, "ids removed from its list") for name in found.segments]
    rows += [Finding(place, f"policy {name}", 1, "ids replaced by salted hashes") for name in found.policies]
    rows += [Finding(place, "snapshots", len(found.dropped_snapshots), f"dropped: {snapshots}")] if snapshots else []
    return [row for row in rows if row.found]


def _format_findings(findings: list[Finding], *, dry_run: bool) -> str:
    if not findings:
        return "nothing was found" + ("" if dry_run else "; salted hashes suppress the ids in the indexes")
    rows = [(each.place, each.kind, f"{each.found:,}", each.done) for each in findings]
    return format_table(("place", "what", "found", "would be done" if dry_run else "done"), rows, right_aligned=(2,))
