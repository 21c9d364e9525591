"""JSON form of vendors: their capabilities and limits."""

from typing import NotRequired

from typing_extensions import TypedDict

from audience.vendors.spec import Vendor


class LimitForm(TypedDict):
    """Limit of a vendor.

    Attributes:
        maximum: Largest number; null if there is none.
        source: Page that documents it.
    """

    maximum: int | None
    source: str


class VendorForm(TypedDict):
    """Vendor.

    Attributes:
        name: Its name.
        title: Its name for people.
        fragment: What its targeting can express.
        builtins: Attributes that it has by itself, with what they are.
        read_only_reason: Why nothing is written for it.
        methods: Names of its send methods. This and the next three are present if audience can send to it.
        keys: Names of the keys of an application.
        hosts: URLs of its data centres by name.
        optional_keys: Names of optional keys with their values.
        page: Its documentation.
        read_on: Day on which it was read.
        limits: Its limits.
    """

    name: str
    title: str
    fragment: str
    builtins: dict[str, str]
    read_only_reason: str | None
    methods: NotRequired[list[str]]
    keys: NotRequired[list[str]]
    hosts: NotRequired[dict[str, str]]
    optional_keys: NotRequired[dict[str, list[str]]]
    page: str
    read_on: str
    limits: dict[str, LimitForm]


def vendor_json(vendor: Vendor) -> VendorForm:
    """Return the JSON form of *vendor*."""
    delivery = vendor.delivery
    sending = {}
    if delivery is not None:
        sending = {
            "methods": list_method_names(vendor),
            "keys": list(delivery.required_keys),
            "hosts": dict(delivery.base_urls),
            "optional_keys": {name: list(values) for name, values in delivery.optional_keys.items()},
        }
    return {
        "name": vendor.name,
        "title": vendor.title,
        "fragment": vendor.fragment,
        "builtins": dict(vendor.builtins),
        "read_only_reason": vendor.read_only_reason or None,
        **sending,  # type: ignore[typeddict-item]
        "page": vendor.docs_url,
        "read_on": vendor.docs_read_on,
        "limits": {key: {"maximum": limit.maximum, "source": limit.source} for key, limit in vendor.limits.items()},
    }


def list_method_names(vendor: Vendor) -> list[str]:
    """Return the names of the send methods of *vendor*."""
    if vendor.delivery is None:
        return []
    methods = (vendor.delivery.native_method, *vendor.delivery.send_methods)
    return list(dict.fromkeys(method.name for method in methods))
