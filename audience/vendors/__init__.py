"""Expression ⇄ payload: a vendor is one file or folder here, found by its name, or another package's entry point."""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules

from audience.errors import PlanError, Problem
from audience.language.suggest import did_you_mean
from audience.vendors.base import Vendor

GROUP = "audience.vendors"  # entry points of other packages
SHARED = ("base", "codes", "fields", "wire")  # what is no vendor here


def vendors() -> list[str]:
    """The names of all vendors, sorted.

    >>> vendors()
    ['emas', 'emas_v2', 'engagelab', 'tpns']
    """
    return sorted(_records())


def vendor(name: str) -> Vendor:
    """The record of the vendor *name*; PlanError with a hint where there is none.

    >>> vendor("tpns").title
    'Tencent Push Notification Service'
    """
    records = _records()
    if name not in records:
        hint = did_you_mean(str(name), records) or f"one of {', '.join(sorted(records))}"
        raise PlanError(Problem("unknown-vendor", f"no vendor is called {name!r}", hint=hint))
    return records[name]


@cache
def _records() -> dict[str, Vendor]:
    own = [module.name for module in iter_modules(__path__) if module.name not in SHARED and module.name[0] != "_"]
    found = [import_module(f"{__name__}.{name}").VENDOR for name in own]
    found += [entry.load() for entry in entry_points(group=GROUP)]
    return {record.name: record for record in found}
