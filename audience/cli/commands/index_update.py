"""Changes of an index: its devices updated, tagged, removed; each is a new snapshot."""

from typing import Annotated

import typer

from audience.cli.id_arguments import given, unknown
from audience.cli.options import IdColumn, IdFiles, IdList, Ignored, IndexPath, Json, Tables, Wait
from audience.cli.output.index import changed
from audience.cli.output.report import warn
from audience.cli.output.widgets import bar
from audience.errors import Problem, TableError
from audience.index.device_index import DeviceIndex
from audience.language.attribute_names import BARE


def update(
    index: IndexPath,
    tables: Tables,
    new: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="The index gets this column too; may be said again.")
    ] = None,
    ignore: Ignored = None,
    wait: Wait = 0,
    json: Json = False,
) -> None:
    """Write what a table says of devices: those that are known change in its columns, others are added."""
    opened = DeviceIndex.open(index)
    before = opened.snapshot
    with bar() as progress:
        progress("reading the table", 0, 0)
        change = opened.update(tables, new=new or (), ignore=ignore or (), wait=wait, progress=progress)
    changed(change, before, opened, json)


def tag(
    index: IndexPath,
    ids: IdList = None,
    add: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="They get this tag; may be said again, as --remove.")
    ] = None,
    remove: Annotated[list[str] | None, typer.Option(metavar="TAG", help="They lose this tag.")] = None,
    files: IdFiles = None,
    column: IdColumn = None,
    wait: Wait = 0,
    json: Json = False,
) -> None:
    """Give devices bare tags, and take others from them."""
    opened = DeviceIndex.open(index)
    before = opened.snapshot
    for name in (*(add or ()), *(remove or ())):
        _check_bare(name, opened)
    wanted = given(ids or (), files or (), column, before.manifest.columns)
    with bar() as progress:
        change = opened.tag(wanted, add=add or (), remove=remove or (), wait=wait, progress=progress)
    warn(unknown(wanted, change.unknown, before), json)
    changed(change, before, opened, json)


def _check_bare(name: str, index: DeviceIndex) -> None:
    """Refuse a tag that is written like one with a type: `province:hunan` asks for another thing than it would add."""
    type_, colon, value = name.partition(":")
    if colon and type_ in index.attributes:
        hint = f"write {value}" if type_ == BARE else f"change the column {type_} by a table: audience index update"
        raise TableError(Problem("not-bare", f"{name!r} is a tag of the type {type_!r}, not a bare one", hint=hint))


def remove(
    index: IndexPath,
    ids: IdList = None,
    files: IdFiles = None,
    column: IdColumn = None,
    wait: Wait = 0,
    json: Json = False,
) -> None:
    """Take devices out of an index."""
    opened = DeviceIndex.open(index)
    before = opened.snapshot
    wanted = given(ids or (), files or (), column, before.manifest.columns)
    with bar() as progress:
        change = opened.remove(wanted, wait=wait, progress=progress)
    warn(unknown(wanted, change.unknown, before), json)
    changed(change, before, opened, json)
