"""Push vendors: each is a module or package here, or an entry point of another package."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import Any, Literal, TypeAlias, overload

from audience.argument_types import check_arguments
from audience.errors import AudienceError, DeliveryError, PlanError, Problem
from audience.language.ast import Expr, ExprNode
from audience.language.suggest import did_you_mean
from audience.vendors.delivery_spec import DeliverySpec
from audience.vendors.spec import Unsupported, Vendor
from audience.vendors.wrapping import wrap_functions

Capability: TypeAlias = Literal["emit", "send"]

ENTRY_POINT_GROUP = "audience.vendors"  # entry points of other packages
SHARED_MODULES = (
    "abilities",
    "delivery_spec",
    "error_codes",
    "oem_channels",
    "payload_reader",
    "platform_field",
    "problem_codes",
    "relative_times",
    "reply_checks",
    "schema_check",
    "shared",
    "spec",
    "tag_spec",
    "value_names",
    "vendor_limit",
    "wrapping",
)  # modules here that are not vendors
NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]+")
RESERVED_NAMES = ("all", "text")  # the command line takes these in the place of a vendor


def vendor_names(can: Capability | None = None) -> list[str]:
    """Return the names of all vendors, sorted, or of those that *can* be written for ("emit") or sent to ("send").

    >>> "pinpoint" in vendor_names(), "pinpoint" in vendor_names(can="emit"), "pinpoint" in vendor_names(can="send")
    (True, False, False)
    """
    return sorted(name for name, vendor in _load_records().items() if _is_capable(vendor, can))


class VendorNames(Sequence[str]):
    """Names of all vendors, sorted, for which the vendors are loaded when the first name is asked for.

    >>> list(VendorNames()) == vendor_names(), VendorNames()[-1]
    (True, 'xiaomi')
    """

    def __len__(self) -> int:
        return len(vendor_names())

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        return vendor_names()[place]


@check_arguments
def get_vendor(name: str, can: Capability | None = None) -> Vendor:
    """Return the vendor called *name*.

    Raises PlanError if there is none, or if it cannot do what *can* names.

    >>> get_vendor("tpns", can="emit").max_ids
    1000
    """
    records = _load_records()
    if name not in records:
        hint = did_you_mean(str(name), sorted(records)) or f"one of {', '.join(vendor_names(can))}"
        raise PlanError(Problem("unknown-vendor", f"no vendor is called {name!r:.80}", hint=hint))
    vendor = records[name]
    if can is not None and vendor.read_only_reason:
        message = f"{name} is read-only: {vendor.read_only_reason}"
        raise PlanError(Problem("reads-only", message, hint=f"translate from it: --from {name}"))
    if can == "send":
        require_delivery(vendor)
    return vendor


def _is_capable(vendor: Vendor, can: Capability | None) -> bool:
    match can:
        case None:
            return True
        case "emit":
            return not vendor.read_only_reason
        case "send":
            return vendor.delivery is not None


def require_delivery(vendor: Vendor) -> DeliverySpec:
    """Return the delivery specification of *vendor*, or raise DeliveryError if it has none."""
    if vendor.delivery is None:
        names = ", ".join(vendor_names(can="send"))
        message = f"cannot send to {vendor.name}: its API calls are not implemented"
        raise DeliveryError(Problem("no-delivery", message, hint=f"vendors that can be sent to: {names}"))
    return vendor.delivery


def register_vendors(*vendors: Vendor) -> Callable[[], None]:
    """Add *vendors*, or replace those of the same name, until the returned function is called.

    For tests, and for programs that define a vendor themselves. A package declares its vendor as an entry point of the
    group `audience.vendors` instead.
    """
    before = dict(_registered)
    _registered.update({vendor.name: wrap_functions(vendor) for vendor in vendors})

    def unregister() -> None:
        _registered.clear()
        _registered.update(before)

    return unregister


_registered: dict[str, Vendor] = {}


def _load_records() -> dict[str, Vendor]:
    return {**_load_installed_vendors(), **_registered}


@cache
def _load_installed_vendors() -> dict[str, Vendor]:
    records = {record.name: wrap_functions(record) for record in _iter_builtin_vendors()}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        record = _load_entry_point(entry)
        if record.name in records or record.name in RESERVED_NAMES:
            raise _broken_vendor_error(entry, f"the name {record.name!r} is taken")
        records[record.name] = wrap_functions(record)
    return records


def _iter_builtin_vendors() -> Iterator[Vendor]:
    for module in iter_modules(__path__):
        if module.name not in SHARED_MODULES:
            home = import_module(f"{__name__}.{module.name}")
            yield from getattr(home, "VENDORS", None) or (home.VENDOR,)


def _load_entry_point(entry: EntryPoint) -> Vendor:
    """Load the vendor of another package, or raise PlanError with the name of the package."""
    try:
        record = entry.load()
    except (Exception, SystemExit) as error:  # the other package may raise anything
        raise _crash_error(entry, error) from error
    if not isinstance(record, Vendor):
        raise _broken_vendor_error(entry, f"{entry.value} is not an audience.Vendor")
    if not isinstance(record.name, str) or not NAME_PATTERN.fullmatch(record.name):
        raise _broken_vendor_error(entry, f"{record.name!r} is not a valid name of a vendor")
    return _wrap_errors(entry, record)


def _wrap_errors(entry: EntryPoint, record: Vendor) -> Vendor:
    """Wrap the functions of *record*: an error that they may not raise becomes a PlanError."""

    def wrap(function: Callable[[Any], Any], convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call_wrapped(value: Any) -> Any:
            try:
                return convert(function(value))
            except (AudienceError, Unsupported):
                raise
            except Exception as error:  # the other package may raise anything
                raise _crash_error(entry, error) from error

        return call_wrapped

    parse = wrap(record.parse, _require_expr)
    if record.read_only_reason:
        return replace(record, parse=parse)
    return replace(
        record,
        parse=parse,
        emit=wrap(record.emit, lambda payload: payload),
        tag_problems=wrap(record.tag_problems, list),
        assumptions=wrap(record.assumptions, list),
    )


def _require_expr(value: Any) -> Expr:
    if not isinstance(value, ExprNode):
        raise TypeError(f"parse returned {value!r}, which is not an expression")
    return value  # type: ignore[return-value]


def _crash_error(entry: EntryPoint, error: BaseException) -> PlanError:
    return _broken_vendor_error(entry, f"{type(error).__name__}: {error}")


def _broken_vendor_error(entry: EntryPoint, reason: str) -> PlanError:
    package = entry.dist.name if entry.dist else entry.module
    hint = f"repair or uninstall {package}"
    return PlanError(
        Problem("broken-vendor", f"the vendor {entry.name!r} of the package {package}: {reason}", hint=hint)
    )
