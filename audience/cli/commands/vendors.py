"""Command that lists vendors."""

from typing import Annotated

from audience.cli.declarations import Argument
from audience.cli.output.vendors import format_vendors
from audience.cli.output.writer import Output
from audience.json_forms.vendors import vendor_json
from audience.vendors import get_vendor, vendor_names


def run_vendors(
    output: Output,
    names: Annotated[
        list[str] | None, Argument(metavar="[VENDOR]...", help="Vendors to list.", show_default="all")
    ] = None,
) -> None:
    """List the vendors with their capabilities, limits and documentation."""
    vendors = [get_vendor(name) for name in dict.fromkeys(names or vendor_names())]
    output.print_result([vendor_json(vendor) for vendor in vendors], lambda: format_vendors(vendors))
