"""Endpoint about the vendors that audience knows."""

from typing_extensions import TypedDict

from audience.json_forms.vendors import VendorForm, list_method_names, vendor_json
from audience.language.ast import Ids, Tag
from audience.server.calls import Call, Endpoint
from audience.vendors import get_vendor, vendor_names
from audience.vendors.spec import COMPARISONS, Vendor

OPERAND_NAMES = {Tag: "tags", Ids: "ids", **dict.fromkeys(COMPARISONS, "comparisons")}


class ServedVendorForm(VendorForm):
    """Vendor, and what can be done with it.

    Attributes:
        sendable: Whether audience can send to it.
        emulated: Whether the sandbox has it.
        supports: Kinds of operands that its targeting can express.
    """

    sendable: bool
    emulated: bool
    supports: list[str]


class VendorsForm(TypedDict):
    """Vendors.

    Attributes:
        vendors: The vendors, by name.
    """

    vendors: list[ServedVendorForm]


def list_vendors(call: Call) -> VendorsForm:
    """List the vendors: what their targeting can express, their limits, and whether audience can send to them."""
    return {"vendors": [_served_vendor_json(get_vendor(name)) for name in vendor_names()]}


def _served_vendor_json(vendor: Vendor) -> ServedVendorForm:
    return {
        **vendor_json(vendor),
        "methods": list_method_names(vendor),
        "sendable": vendor.delivery is not None,
        "emulated": vendor.sandbox is not None,
        "supports": sorted({OPERAND_NAMES.get(kind, kind.__name__.lower()) for kind in vendor.supported}),
    }


ENDPOINTS = (Endpoint("GET", "/v1/vendors", list_vendors, VendorsForm, "count"),)
