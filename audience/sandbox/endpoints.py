"""Registry of emulated vendors: `Vendor.sandbox` names the module with a vendor's endpoints.

This module alone of the sandbox reads the vendors' records, and of them nothing but that name.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from audience.sandbox.http_types import HttpCall, HttpReply, VendorRefusal
from audience.vendors import get_vendor, vendor_names

if TYPE_CHECKING:  # its population asks for the names of the vendors
    from audience.sandbox.vendor_state import VendorState


class Endpoints(Protocol):
    """Module with the endpoints of one emulated vendor.

    Attributes:
        NAME: The vendor's name in the sandbox; several versions of one vendor can share it.
        PATHS: The paths that it serves; `/v4/tags/*` serves all below `/v4/tags/`.
        DEFAULT_REFUSAL_CODE: Error code of the fault `refuse`.
        RATE_LIMIT_CODE: Error code of the fault `fast`.

    One that has names for keys with values besides tags also has FURTHER_TAG_PATTERN.
    """

    NAME: str
    PATHS: tuple[str, ...]
    DEFAULT_REFUSAL_CODE: str
    RATE_LIMIT_CODE: str

    def endpoint_name(self, call: HttpCall) -> str:
        """Return the endpoint's name in faults and in the log; "" if only the body of *call* has it."""

    def handle_call(self, call: HttpCall, state: "VendorState") -> HttpReply:
        """Check the call, deliver its message, and reply.

        Raises:
            VendorRefusal: The vendor rejects the call.
        """

    def build_refusal(self, exc: VendorRefusal, call: HttpCall) -> HttpReply:
        """Return the reply to a rejected call."""

    def build_failure(self, status: int, call: HttpCall) -> HttpReply:
        """Return the reply of a failing server with HTTP status *status*."""


def load_endpoints() -> dict[str, Endpoints]:
    """Return the endpoints of every emulated vendor by the vendor's name; versions that share them repeat them.

    >>> endpoints = load_endpoints()
    >>> endpoints["emas_v2"].NAME, "pinpoint" in endpoints
    ('emas', False)
    """
    modules = {name: get_vendor(name).sandbox for name in vendor_names()}
    return {name: cast(Endpoints, import_module(module)) for name, module in modules.items() if module}


def further_tag_pattern(vendor: str) -> str:
    """Return the name that the documents of *vendor* give to a key with a value, besides tags; "" if there are none.

    >>> further_tag_pattern("tpns"), further_tag_pattern("jpush")
    ('{type}:{value}', '')
    """
    return getattr(emulated_vendors().get(vendor), "FURTHER_TAG_PATTERN", "")


def emulated_vendors() -> dict[str, Endpoints]:
    """Return the endpoints by their names in the sandbox.

    >>> {'emas', 'jpush'} <= set(emulated_vendors()), 'emas_v2' in emulated_vendors()
    (True, False)
    """
    return {endpoints.NAME: endpoints for endpoints in load_endpoints().values()}
