"""Expression ⇄ payload: a vendor is one file or folder here, found by its name, or another package's entry point."""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules

from audience.errors import PlanError, Problem
from audience.language.suggest import did_you_mean
from audience.vendors.base import Vendor

GROUP = "audience.vendors"  # entry points of other packages
SHARED = ("base", "channels", "codes", "fields", "wire")  # what is no vendor here; nor is what begins with _
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
        if module.name not in SHARED and module.name[0] != "_":
            yield import_module(f"{__name__}.{module.name}").VENDOR


def _loaded(entry: EntryPoint) -> Vendor:
    """The vendor of another package; PlanError that names the package where it has none."""
    try:
        record = entry.load()
    except Exception as error:  # whatever the other package raises
        raise _broken(entry, f"{type(error).__name__}: {error}") from error
    if not isinstance(record, Vendor):
        raise _broken(entry, f"{entry.value} is no audience.Vendor")
    return record


def _broken(entry: EntryPoint, why: str) -> PlanError:
    package = entry.dist.name if entry.dist else entry.module
    hint = f"mend or uninstall {package}"
    return PlanError(Problem("broken-vendor", f"the vendor {entry.name!r} of the package {package}: {why}", hint=hint))
