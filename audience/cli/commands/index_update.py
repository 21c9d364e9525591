"""Changes of an index: its devices updated, tagged, removed; each is a new snapshot."""

from typing import Annotated

import typer

from audience.cli.id_arguments import collect_ids, unknown_id_warnings
from audience.cli.options import (
    IdColumnOption,
    IdFilesOption,
    IdsArgument,
    IgnoreOption,
    IndexArgument,
    JsonOption,
    TablesArgument,
    WaitOption,
)
from audience.cli.output.index import print_update_result
from audience.cli.output.report import print_warnings
from audience.cli.output.widgets import progress_bar
from audience.errors import Problem, TableError
from audience.index.device_index import DeviceIndex
from audience.language.attribute_names import UNTYPED


def run_update(
    index: IndexArgument,
    tables: TablesArgument,
    new: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="The index gets this column too; may be said again.")
    ] = None,
    ignore: IgnoreOption = None,
    wait: WaitOption = 0,
    json: JsonOption = False,
) -> None:
    """Write what a table says of devices: those that are known change in its columns, others are added."""
    opened = DeviceIndex.open(index)
    before = opened.snapshot
    with progress_bar() as progress:
        progress("reading the table", 0, 0)
        change = opened.update(tables, new=new or (), ignore=ignore or (), wait=wait, progress=progress)
    print_update_result(change, before, opened, json)


def run_tag(
    index: IndexArgument,
    ids: IdsArgument = None,
    add: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="They get this tag; may be said again, as --remove.")
    ] = None,
    remove: Annotated[list[str] | None, typer.Option(metavar="TAG", help="They lose this tag.")] = None,
    files: IdFilesOption = None,
    column: IdColumnOption = None,
    wait: WaitOption = 0,
    json: JsonOption = False,
) -> None:
    """Give devices bare tags, and take others from them."""
    opened = DeviceIndex.open(index)
    before = opened.snapshot
    for name in (*(add or ()), *(remove or ())):
        _require_untyped_tag(name, opened)
    wanted = collect_ids(ids or (), files or (), column, before.manifest.columns)
    with progress_bar() as progress:
        change = opened.tag(wanted, add=add or (), remove=remove or (), wait=wait, progress=progress)
    print_warnings(unknown_id_warnings(wanted, change.unknown, before), json)
    print_update_result(change, before, opened, json)


def _require_untyped_tag(name: str, index: DeviceIndex) -> None:
    """Refuse a tag that is written like one with a type: `province:hunan` asks for another thing than it would add."""
    type_, colon, value = name.partition(":")
    if colon and type_ in index.attributes:
        hint = f"write {value}" if type_ == UNTYPED else f"change the column {type_} by a table: audience index update"
        raise TableError(Problem("not-bare", f"{name!r} is a tag of the type {type_!r}, not a bare one", hint=hint))


def run_remove(
    index: IndexArgument,
    ids: IdsArgument = None,
    files: IdFilesOption = None,
    column: IdColumnOption = None,
    wait: WaitOption = 0,
    json: JsonOption = False,
) -> None:
    """Take devices out of an index."""
    opened = DeviceIndex.open(index)
    before = opened.snapshot
    wanted = collect_ids(ids or (), files or (), column, before.manifest.columns)
    with progress_bar() as progress:
        change = opened.remove(wanted, wait=wait, progress=progress)
    print_warnings(unknown_id_warnings(wanted, change.unknown, before), json)
    print_update_result(change, before, opened, json)
