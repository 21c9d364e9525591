"""Expression ⇄ payload: a vendor is one file or folder here, found by its name, or another package's entry point."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import Any

from audience.errors import AudienceError, DeliveryError, PlanError, Problem
from audience.language.ast import Expr, Node
from audience.language.suggest import did_you_mean
from audience.vendors.delivery_spec import Delivery
from audience.vendors.spec import Unsaid, Vendor

GROUP = "audience.vendors"  # entry points of other packages
SHARED = (
    "delivery_spec",
    "error_codes",
    "oem_channels",
    "payload_reader",
    "schema_check",
    "shared",
    "spec",
)  # no vendors
NAME = re.compile(r"[A-Za-z0-9_-]+")
WORDS = ("all", "text")  # what the command line says in the place of a vendor


def vendors() -> list[str]:
    """The names of all vendors, sorted.

    >>> {"emas", "tpns"} <= set(vendors())
    True
    """
    return sorted(_records())


def reachable() -> list[str]:
    """The names of the vendors that can be sent to: all but those that are only read from.

    >>> set(reachable()) <= set(vendors())
    True
    """
    return [name for name in vendors() if not _records()[name].reads_only]


def deliverable() -> list[str]:
    """The names of the vendors of which it is known how they are sent to.

    >>> set(deliverable()) <= set(reachable())
    True
    """
    return [name for name in reachable() if _records()[name].delivery is not None]


def vendor(name: str) -> Vendor:
    """The record of the vendor *name*; PlanError with a hint where there is none.

    >>> vendor("tpns").title
    'Tencent Push Notification Service'
    """
    return _one_of(name, vendors())


def sendable(name: str) -> Vendor:
    """The same for a vendor that is to be sent to; PlanError where it is only read from.

    >>> sendable("tpns").batch
    1000
    """
    found = _one_of(name, vendors() if name in vendors() else reachable())
    if found.reads_only:
        message = f"nothing is sent to {name}: {found.reads_only}"
        raise PlanError(Problem("reads-only", message, hint=f"translate from it: --from {name}"))
    return found


def delivery_of(to: Vendor) -> Delivery:
    """How *to* is sent to; DeliveryError where that is not known."""
    if to.delivery is None:
        hint = f"sent to are {', '.join(deliverable())}"
        raise DeliveryError(Problem("no-delivery", f"how {to.name} is sent to is not known", hint=hint))
    return to.delivery


def _one_of(name: str, known: list[str]) -> Vendor:
    if name not in known:
        hint = did_you_mean(str(name), known) or f"one of {', '.join(known)}"
        raise PlanError(Problem("unknown-vendor", f"no vendor is called {name!r}", hint=hint))
    return _records()[name]


@cache
def _records() -> dict[str, Vendor]:
    found = {record.name: record for record in _own()}
    for entry in entry_points(group=GROUP):
        record = _loaded(entry)
        if record.name in found or record.name in WORDS:
            raise _broken(entry, f"the name {record.name!r} is taken")
        found[record.name] = record
    return found


def _own() -> Iterator[Vendor]:
    for module in iter_modules(__path__):
        if module.name not in SHARED:
            home = import_module(f"{__name__}.{module.name}")
            yield from getattr(home, "VENDORS", None) or (home.VENDOR,)


def _loaded(entry: EntryPoint) -> Vendor:
    """The vendor of another package; PlanError that names the package where it has none."""
    try:
        record = entry.load()
    except (Exception, SystemExit) as error:  # whatever the other package raises
        raise _failed(entry, error) from error
    if not isinstance(record, Vendor):
        raise _broken(entry, f"{entry.value} is no audience.Vendor")
    if not isinstance(record.name, str) or not NAME.fullmatch(record.name):
        raise _broken(entry, f"{record.name!r} is no name of a vendor")
    return _watched(entry, record)


def _watched(entry: EntryPoint, record: Vendor) -> Vendor:
    """*record* with functions that fail by PlanError, where they fail otherwise than they may."""

    def watch(function: Callable[[Any], Any], made: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def watched(value: Any) -> Any:
            try:
                return made(function(value))
            except (AudienceError, Unsaid):
                raise
            except Exception as error:  # whatever the other package raises
                raise _failed(entry, error) from error

        return watched

    parse = watch(record.parse, _expression)
    if record.reads_only:
        return replace(record, parse=parse)
    return replace(
        record,
        parse=parse,
        emit=watch(record.emit, lambda payload: payload),
        unnamed=watch(record.unnamed, list),
        conditions=watch(record.conditions, list),
    )


def _expression(value: Any) -> Expr:
    if not isinstance(value, Node):
        raise TypeError(f"parse gives {value!r}, which is no expression")
    return value  # type: ignore[return-value]


def _failed(entry: EntryPoint, error: BaseException) -> PlanError:
    return _broken(entry, f"{type(error).__name__}: {error}")


def _broken(entry: EntryPoint, why: str) -> PlanError:
    package = entry.dist.name if entry.dist else entry.module
    hint = f"mend or uninstall {package}"
    return PlanError(Problem("broken-vendor", f"the vendor {entry.name!r} of the package {package}: {why}", hint=hint))
