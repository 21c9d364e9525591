"""Catalogs: check one, draft one."""

from pathlib import Path
from typing import Annotated

import typer

from audience._fs.atomic import write_new_file
from audience.cli.options import IndexArgument, JsonOption
from audience.cli.output.report import print_result
from audience.index.device_index import DeviceIndex
from audience.planning.catalog.check import load_catalog
from audience.planning.catalog.draft import draft_catalog


def run_catalog_check(file: Annotated[Path, typer.Argument(metavar="FILE")], json: JsonOption = False) -> None:
    """Whether a catalog is sound: every name legal at its vendor, and none for two tags."""
    names = list(load_catalog(file).attributes)
    print_result(names, json, f"sound: {', '.join(names) or 'no attribute'}")


def run_catalog_init(
    index: IndexArgument,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="A file that is not there yet.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Draft a catalog from what an index holds."""
    text = draft_catalog(DeviceIndex.open(index))
    if out is not None:
        write_new_file(out, text.encode())
        text = f"{out}: confirm each line, it is believed"
    print_result({"catalog": text}, json, text.rstrip("\n"))
