"""Find what a request to OneSignal takes for granted."""

from collections.abc import Iterable, Iterator

from audience.algebra.fitting import is_bounded
from audience.algebra.normal_forms import nnf
from audience.errors import Problem
from audience.language.ast import Atom, Between, Compare, Everyone, Expr, Ids, Tag, atoms
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.vendors.onesignal.fields import (
    SESSION_TYPES,
    VERSION_TYPE,
    canonical_value,
    field_of,
)
from audience.vendors.relative_times import assume_times, counts_from_now


def assumptions(expr: Expr) -> Iterator[Problem]:
    """Yield what a request for *expr* takes for granted."""
    yield from _universe_assumptions(expr)
    tags = [atom for atom in atoms(expr) if isinstance(atom, Tag)]
    if any(isinstance(atom, Ids) and atom.kind == "alias" for atom in atoms(expr)):
        yield Problem("account", "an alias is an external id and matches every device of that user at OneSignal")
    if any(tag.type == UNTYPED for tag in tags):
        yield Problem("keys", "a device has an untyped tag exactly if it has a key of that name at OneSignal")
    if types := _list_types(expr, Tag, Compare, Between):
        yield Problem("one-value", f"a device has at most one value of {types}, as it has at OneSignal")
    yield from _spelling_assumptions(expr)
    yield from _comparison_assumptions(expr)


def _universe_assumptions(expr: Expr) -> Iterator[Problem]:
    if expr == Everyone():
        yield Problem(
            "universe", "everyone refers to all subscribed devices at OneSignal; no segment there is called All"
        )
    elif not is_bounded(nnf(expr)):
        yield Problem("universe", "NOT refers to all devices registered with OneSignal, not to your table")


def _spelling_assumptions(expr: Expr) -> Iterator[Problem]:
    """Yield which values are written otherwise than in *expr*."""
    for tag in (atom for atom in atoms(expr) if isinstance(atom, Tag)):
        value = canonical_value(tag.type, tag.value)
        if value != tag.value:
            yield Problem("value-spelling", f"{render(tag)} is {value} at OneSignal")


def _comparison_assumptions(expr: Expr) -> Iterator[Problem]:
    """Yield how OneSignal compares the values of *expr*."""
    compared = [atom for atom in atoms(expr) if isinstance(atom, Compare | Between) and field_of(atom.type) is None]
    if keys := _join_types(atom for atom in compared if not counts_from_now(atom)):
        yield Problem("numbers", f"every value of {keys} is a number, which OneSignal compares as one")
    if keys := _join_types(filter(counts_from_now, compared)):
        message = f"every value of {keys} is Unix time in whole seconds, and none is the very second of sending"
        yield Problem("unix-time", message)
    yield from assume_times(expr, "OneSignal", counts_from_now)
    if VERSION_TYPE in {atom.type for atom in atoms(expr) if isinstance(atom, Tag | Compare | Between)}:
        message = "app_version is the version name on iOS; on Android OneSignal compares the versionCode, an integer"
        yield Problem("version-code", message)


def _list_types(expr: Expr, *kinds: type) -> str:
    return _join_types(atom for atom in atoms(expr) if isinstance(atom, kinds))


def _join_types(typed: Iterable[Atom]) -> str:
    types = {atom.type for atom in typed if isinstance(atom, Tag | Compare | Between)}
    return ", ".join(sorted(types - {UNTYPED, *SESSION_TYPES}))
