"""The vendors that are known."""

from audience.cli.options import Json
from audience.cli.output.vendors import vendors_table
from audience.vendors import vendor as vendor_record
from audience.vendors import vendors as vendor_names


def vendors(json: Json = False) -> None:
    """The vendors, what each can say, its limits, and the page they come from."""
    vendors_table([vendor_record(name) for name in vendor_names()], json)
