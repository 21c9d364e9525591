"""Endpoints about the vendors that audience knows: what each can do, and the problem codes that only one has."""

from typing_extensions import TypedDict

from audience.json_forms.vendors import VendorForm, list_method_names, vendor_json
from audience.language.ast import Ids, Tag
from audience.server.calls import Call, Endpoint
from audience.vendors import get_vendor, vendor_names
from audience.vendors.problem_codes import list_codes
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


class ProblemCodeForm(TypedDict):
    """Problem code of a vendor.

    Attributes:
        vendors: Names of the vendors that have the code: one vendor, or several interfaces of one.
        cause: What is wrong, or what is assumed.
        remedy: What to do.
        chinese: Sentence about it in Chinese, which the console shows.
    """

    vendors: list[str]
    cause: str
    remedy: str
    chinese: str


class ProblemCodesForm(TypedDict):
    """Problem codes that only one vendor has.

    Attributes:
        codes: The codes, each with what people read of it.
    """

    codes: dict[str, ProblemCodeForm]


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


def list_problem_codes(call: Call) -> ProblemCodesForm:
    """List the problem codes that only one vendor has: the cause, what to do, and a sentence in Chinese."""
    codes: dict[str, ProblemCodeForm] = {}
    for vendor in map(get_vendor, vendor_names()):
        for each in list_codes(vendor):
            texts = {"cause": each.cause, "remedy": each.remedy, "chinese": each.chinese}
            form = codes.setdefault(each.code, {"vendors": [], **texts})  # type: ignore[typeddict-item]
            form["vendors"].append(vendor.name)
    return {"codes": codes}


ENDPOINTS = (
    Endpoint("GET", "/v1/vendors", list_vendors, VendorsForm, "count"),
    Endpoint("GET", "/v1/problem-codes", list_problem_codes, ProblemCodesForm, "count"),
)
