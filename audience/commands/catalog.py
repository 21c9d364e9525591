"""Catalogs: check one, draft one."""

from pathlib import Path
from typing import Annotated

import typer

from audience.catalog.check import load_catalog
from audience.catalog.draft import draft
from audience.commands.options import IndexPath, Json
from audience.files import write_new
from audience.index.device_index import DeviceIndex
from audience.terminal.report import result


def check(file: Annotated[Path, typer.Argument(metavar="FILE")], json: Json = False) -> None:
    """Whether a catalog is sound: every name legal at its vendor, and none for two tags."""
    names = list(load_catalog(file).attributes)
    result(names, json, f"sound: {', '.join(names) or 'no attribute'}")


def init(
    index: IndexPath,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="A file that is not there yet.")
    ] = None,
    json: Json = False,
) -> None:
    """Draft a catalog from what an index holds."""
    text = draft(DeviceIndex.open(index))
    if out is not None:
        write_new(out, text.encode())
        text = f"{out}: confirm each line, it is believed"
    result({"catalog": text}, json, text.rstrip("\n"))
