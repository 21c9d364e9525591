"""Commands that change the devices of an index; each change is a new snapshot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import polars as pl

from audience.cli.declarations import Option
from audience.cli.id_arguments import collect_ids, unknown_id_warnings
from audience.cli.options import (
    DelimiterOption,
    EncodingOption,
    IdColumnOption,
    IdFilesOption,
    IdsArgument,
    IgnoreOption,
    IndexArgument,
    TablesArgument,
    WaitOption,
)
from audience.cli.output.index import print_update_result
from audience.cli.output.writer import Output
from audience.cli.process_title import hide_passwords
from audience.cli.reading_options import ReadingOptions
from audience.errors import Problem, TableError
from audience.index.changes.session import UpdateResult
from audience.index.device_index import DeviceIndex
from audience.index.ingest.read_options import ReadOptions
from audience.index.storage.snapshot import Snapshot
from audience.language.attribute_names import UNTYPED

FromRunOption = Annotated[
    Path | None,
    Option(
        "--from-run",
        metavar="FOLDER",
        exists=True,
        help="Take the ids that the vendors did not know in the runs of FOLDER.",
    ),
]


def run_update(
    output: Output,
    index: IndexArgument,
    tables: TablesArgument,
    *,
    new: Annotated[
        list[str] | None, Option("--new", metavar="COLUMN", help="Add this column to the index. Repeatable.")
    ] = None,
    ignore: IgnoreOption = None,
    reading: ReadingOptions,
    wait: WaitOption = 0,
) -> None:
    """Update devices from tables: known devices get the new values, other devices are added."""
    hide_passwords(tables)
    device_index = DeviceIndex.open(index)
    before = device_index.snapshot
    with output.show_progress() as progress:
        progress("reading the table", 0, 0)
        result = device_index.update(
            tables,
            new=new or (),
            ignore=ignore or (),
            wait=wait,
            progress=progress,
            **reading.to_arguments(),
        )
    print_update_result(result, before, device_index, output)


def run_tag(
    output: Output,
    index: IndexArgument,
    ids: IdsArgument = None,
    add: Annotated[
        list[str] | None, Option("--add", metavar="TAG", help="Tag to add to the devices. Repeatable.")
    ] = None,
    remove: Annotated[
        list[str] | None, Option("--remove", metavar="TAG", help="Tag to remove from the devices. Repeatable.")
    ] = None,
    tag_column: Annotated[
        str | None,
        Option(
            "--tag-column",
            metavar="COLUMN",
            help="Column for the added tags; no update changes one that no table has.",
        ),
    ] = None,
    files: IdFilesOption = None,
    column: IdColumnOption = None,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
    from_run: FromRunOption = None,
    unknown: Annotated[
        str | None, Option("--unknown", metavar="TAG", help="Tag to add to the devices of --from-run.")
    ] = None,
    wait: WaitOption = 0,
) -> None:
    """Add untyped tags to devices and remove others."""
    device_index = DeviceIndex.open(index)
    before = device_index.snapshot
    if (from_run is None) != (unknown is None) or (unknown is not None and (add or remove)):
        raise TableError(Problem("bad-option", "--from-run and --unknown go together, without --add and --remove"))
    add = add if unknown is None else [unknown]
    for name in (*(add or ()), *(remove or ())):
        _require_untyped_tag(name, device_index)
    options = ReadOptions(encoding=encoding, delimiter=delimiter)
    device_ids = _collect_ids(from_run, ids or (), files or (), column, device_index, options)
    with output.show_progress() as progress:
        result = device_index.tag(
            device_ids,
            add=add or (),
            remove=remove or (),
            column=tag_column or unknown,  # of its own: an update from a table does not know it
            wait=wait,
            progress=progress,
        )
    output.print_warnings(_id_warnings(from_run, device_ids, result, before))
    print_update_result(result, before, device_index, output)


def _id_warnings(from_run: Path | None, ids: pl.Series, result: UpdateResult, before: Snapshot) -> list[Problem]:
    """Return a warning if there are no ids, of a run with the reason, or if some belong to no device."""
    if from_run is None or len(ids):
        return unknown_id_warnings(ids, result.unknown, before)
    from audience.delivery.unknown_ids import explain_no_unknown_ids  # slow to import

    return [explain_no_unknown_ids(from_run)]


def _collect_ids(
    from_run: Path | None,
    arguments: Sequence[str],
    files: Sequence[str],
    column: str | None,
    index: DeviceIndex,
    options: ReadOptions,
) -> pl.Series:
    """Return the ids of the arguments and files, or those that the vendors of a run did not know."""
    if from_run is None:
        return collect_ids(arguments, files, column, index.snapshot.manifest.columns, options)
    if arguments or files or column is not None:
        raise TableError(Problem("bad-option", "--from-run has the ids itself", hint="pass no ids beside it"))
    from audience.delivery.unknown_ids import load_unknown_ids  # slow to import

    return pl.Series("id", load_unknown_ids(from_run), dtype=pl.String)


def _require_untyped_tag(name: str, index: DeviceIndex) -> None:
    """Reject a name such as `province:hunan`, which would not change the column `province`."""
    type_, colon, value = name.partition(":")
    if colon and type_ in index.attributes:
        hint = f"write {value}" if type_ == UNTYPED else f"change column {type_} with `audience index update`"
        message = f"{name!r} is a tag of the type {type_!r}, expected an untyped tag"
        raise TableError(Problem("not-bare", message, hint=hint))


def run_remove(
    output: Output,
    index: IndexArgument,
    ids: IdsArgument = None,
    files: IdFilesOption = None,
    column: IdColumnOption = None,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
    from_run: FromRunOption = None,
    wait: WaitOption = 0,
) -> None:
    """Remove devices from an index."""
    device_index = DeviceIndex.open(index)
    before = device_index.snapshot
    options = ReadOptions(encoding=encoding, delimiter=delimiter)
    device_ids = _collect_ids(from_run, ids or (), files or (), column, device_index, options)
    with output.show_progress() as progress:
        result = device_index.remove(device_ids, wait=wait, progress=progress)
    output.print_warnings(_id_warnings(from_run, device_ids, result, before))
    print_update_result(result, before, device_index, output)
