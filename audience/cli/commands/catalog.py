"""Catalogs: check one, draft one."""

from pathlib import Path
from typing import Annotated

import typer

from audience._fs.atomic import write_new
from audience.cli.options import IndexPath, Json
from audience.cli.output.report import result
from audience.index.device_index import DeviceIndex
from audience.planning.catalog.check import load_catalog
from audience.planning.catalog.draft import draft


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
