"""The vendors that are known."""

from audience.cli.options import JsonOption
from audience.cli.output.vendors import print_vendors_table
from audience.vendors import get_vendor, vendor_names


def run_vendors(json: JsonOption = False) -> None:
    """The vendors, what each can say, its limits, and the page they come from."""
    print_vendors_table([get_vendor(name) for name in vendor_names()], json)
