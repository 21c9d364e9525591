"""An index: build it, look at it, check it."""

from pathlib import Path
from typing import Annotated

import typer

from audience.cli.options import (
    IgnoreOption,
    IndexArgument,
    JsonOption,
    TablesArgument,
    parse_pair,
    parse_token_options,
)
from audience.cli.output.index import print_index_info as print_info
from audience.cli.output.report import print_result
from audience.cli.output.widgets import progress_bar
from audience.index.device_index import DeviceIndex


def run_build(
    tables: TablesArgument,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="Where the index goes.")],
    token: Annotated[
        list[str] | None, typer.Option(metavar="[VENDOR=]COLUMN", help="The ids, of one vendor or of all.")
    ] = None,
    alias: Annotated[str | None, typer.Option(metavar="COLUMN", help="Holds aliases.")] = None,
    account: Annotated[str | None, typer.Option(metavar="COLUMN", help="Holds accounts.")] = None,
    tags: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Holds bare tags; may be said again, as all below.")
    ] = None,
    typed: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Text: typed tags, COLUMN:value.")] = None,
    number: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Holds numbers, also as text.")] = None,
    date: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Holds days: 2020-04-08 or 20200408.")
    ] = None,
    version: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Holds versions.")] = None,
    split: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN=SIGN", help="Tags in one text, SIGN between them.")
    ] = None,
    ignore: IgnoreOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an index that is there.")] = False,
    json: JsonOption = False,
) -> None:
    """Build an index of a table of devices; columns find their role by name and type."""
    with progress_bar() as progress:
        index = DeviceIndex.build(
            tables,
            out,
            tokens=parse_token_options(token or []),
            alias=alias,
            account=account,
            tags=tags or (),
            typed=typed or (),
            numbers=number or (),
            dates=date or (),
            versions=version or (),
            split=dict(parse_pair(each, None) for each in split or []),
            ignore=ignore or (),
            replace=replace,
            progress=progress,
        )
    print_info(index, json)


def run_info(index: IndexArgument, json: JsonOption = False) -> None:
    """What an index holds: devices, ids, attributes and their values, segments, and its snapshot."""
    print_info(DeviceIndex.open(index), json)


def run_check(index: IndexArgument, json: JsonOption = False) -> None:
    """Read every file of the current snapshot whole and compare it with its checksum."""
    opened = DeviceIndex.open(index)
    with progress_bar() as progress:
        progress("reading files", 0, 0)
        names = opened.verify()
    number = opened.snapshot.manifest.number
    print_result({"snapshot": number, "files": names}, json, f"sound: snapshot {number} in {len(names)} files")
