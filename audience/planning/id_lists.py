"""Split a list of ids that is longer than a request takes, where a device has at most one of them at the vendor."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from audience.algebra.cover import Cover
from audience.errors import Problem
from audience.language.ast import Expr, IdKind, Ids, Nobody, Not, all_of, and_terms, atoms
from audience.vendors.spec import Unsupported, Vendor

MAX_LISTS = 100  # the proof that no device is in two takes seconds for more


def find_id_list_cover(expr: Expr, vendor: Vendor, max_parts: int) -> Cover | None:
    """Split *expr* into requests of the ids of its only list; None if that is not allowed or takes too many.

    >>> from audience.vendors import get_vendor
    >>> accounts = Ids("account", tuple(f"a{number}" for number in range(2_500)))
    >>> [len(part.values) for part in find_id_list_cover(accounts, get_vendor("emas"), 16).parts]
    [1000, 1000, 500]
    >>> find_id_list_cover(replace(accounts, kind="alias"), get_vendor("emas"), 16)
    """
    terms = and_terms(expr)
    match [term for term in terms if isinstance(term, Ids)]:
        case [Ids() as ids] if ids.kind in vendor.exclusive_ids and vendor.max_ids < len(ids.values):
            others = [term for term in terms if term != ids]
            parts = tuple(all_of([part, *others]) for part in _split_list(ids, vendor.max_ids))
            if len(parts) <= min(max_parts, MAX_LISTS) and _can_emit_all(parts, vendor):
                return Cover(parts, Nobody(), is_minimal=True)
    return None


def _can_emit_all(parts: Iterable[Expr], vendor: Vendor) -> bool:
    try:
        return all(vendor.emit(part) for part in parts)
    except Unsupported:
        return False


def exclusive_lists(vendor: Vendor, exprs: Sequence[Expr]) -> list[Expr]:
    """Return what a vendor guarantees of the lists in *exprs*: no device is in two that share no id."""
    lists = dict.fromkeys(atom for expr in exprs for atom in atoms(expr) if isinstance(atom, Ids))
    return [Not(all_of(pair)) for pair in combinations(lists, 2) if _are_exclusive(vendor, *pair)]


def single_id_facts(vendor: Vendor, parts: Sequence[Expr]) -> Iterator[Problem]:
    """Yield what several requests of ids of one kind take for granted."""
    lists = dict.fromkeys(atom for part in parts for atom in atoms(part) if isinstance(atom, Ids))
    kinds = [pair[0].kind for pair in combinations(lists, 2) if _are_exclusive(vendor, *pair)]
    for kind in dict.fromkeys(kinds):
        yield single_id_fact(vendor, kind)


def single_id_fact(vendor: Vendor, kind: IdKind) -> Problem:
    """Return that no device has two ids of *kind*, which several requests of them take for granted."""
    return Problem("single-id", f"a device has at most one {kind} at {vendor.title}, as its page says")


def _are_exclusive(vendor: Vendor, left: Ids, right: Ids) -> bool:
    return left.kind == right.kind and left.kind in vendor.exclusive_ids and not {*left.values} & {*right.values}


def _split_list(ids: Ids, max_ids: int) -> list[Ids]:
    starts = range(0, len(ids.values), max_ids)
    return [replace(ids, values=ids.values[start : start + max_ids], files=()) for start in starts]
