"""Commands that check and draft a catalog."""

from pathlib import Path
from typing import Annotated

from audience._fs.atomic import write_new_file
from audience._fs.private_files import PUBLIC_FILE_MODE
from audience.cli.declarations import Argument, Option
from audience.cli.options import IndexArgument
from audience.cli.output.writer import Output
from audience.index.device_index import DeviceIndex
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.draft import draft_catalog
from audience.planning.catalog.loader import name_file, read_catalog


def run_catalog_check(output: Output, file: Annotated[Path, Argument(metavar="FILE", help="Catalog in TOML.")]) -> None:
    """Check a catalog: every name is legal at its vendor and maps to one tag."""
    catalog = read_catalog(file)
    with name_file(file):
        names = list(validate_catalog(catalog).attributes)
    output.print_result(names, f"{file}: valid, attributes: {', '.join(names) or 'none'}")


def run_catalog_init(
    output: Output,
    index: IndexArgument,
    out: Annotated[
        Path | None, Option("-o", "--out", metavar="FILE", show_default="standard output", help="New file.")
    ] = None,
) -> None:
    """Draft a catalog from the attributes of an index."""
    text = draft_catalog(DeviceIndex.open(index))
    if out is not None:
        write_new_file(out, text.encode(), PUBLIC_FILE_MODE)
        text = f"{out}: review every line; plans rely on the catalog"
    output.print_result({"catalog": text}, text.rstrip("\n"))
