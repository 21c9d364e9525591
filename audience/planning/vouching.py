"""Types of tags that the user vouches for: the vendor has them, although no catalog says so."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from audience.errors import PlanError, Problem
from audience.language.ast import Expr, Tag, walk_operands
from audience.language.attribute_names import BUILTIN_TYPES, UNTYPED, canonical_type
from audience.language.suggest import did_you_mean

ALL_TYPES = "all"

VendorHas: TypeAlias = Literal["all"] | Collection[str] | None


@dataclass(frozen=True, slots=True)
class Vouched:
    """Types of tags that a vendor has; with *is_all* every type.

    >>> "province" in Vouched(frozenset({"tag"})), "province" in Vouched(is_all=True)
    (False, True)
    """

    types: frozenset[str] = frozenset()
    is_all: bool = False

    def __contains__(self, type_: str) -> bool:
        return self.is_all or type_ in self.types


def resolve_vendor_has(vendor_has: VendorHas, expr: Expr, known_types: Iterable[str]) -> Vouched:
    """Return the types of *vendor_has*: "all", or a list of types that *expr*, *known_types* or a vendor has.

    Raises:
        PlanError: A type is unknown, or *vendor_has* is neither "all" nor a list of types.
    """
    if vendor_has is None:
        return Vouched()
    if vendor_has == ALL_TYPES:
        return Vouched(is_all=True)
    is_list = isinstance(vendor_has, Collection) and not isinstance(vendor_has, str | bytes)
    if not is_list or not all(isinstance(type_, str) for type_ in vendor_has):
        message = f"vendor_has: expected {ALL_TYPES!r} or a list of types, got {vendor_has!r:.60}"
        raise PlanError(Problem("wrong-type", message, hint="for example ['tag', 'province']"))
    used = {type_ for node in walk_operands(expr) if (type_ := getattr(node, "type", None))}
    known = sorted({*used, *known_types, UNTYPED})
    unknown = [type_ for type_ in vendor_has if canonical_type(type_) not in {*known, *BUILTIN_TYPES}]
    problems = [_unknown_type_problem(type_, expr, known) for type_ in unknown]
    if problems:
        raise PlanError(*problems)
    return Vouched(frozenset(map(canonical_type, vendor_has)))


def _unknown_type_problem(type_: str, expr: Expr, known: Collection[str]) -> Problem:
    is_untyped_tag = any(isinstance(node, Tag) and node == Tag(UNTYPED, type_) for node in walk_operands(expr))
    hint = f"{type_} is an untyped tag: write {UNTYPED}" if is_untyped_tag else did_you_mean(type_, known)
    hint = hint or f"use {ALL_TYPES}, or some of {', '.join(known)}"
    return Problem("unknown-attribute", f"vendor_has: no attribute is called {type_!r}", hint=hint)


def parse_vendor_has(text: str | None) -> VendorHas:
    """Parse the option `--vendor-has`: `all`, or types with commas between them.

    >>> parse_vendor_has("tag, province"), parse_vendor_has("all"), parse_vendor_has(None)
    (['tag', 'province'], 'all', None)
    """
    if text is None or text.strip() == ALL_TYPES:
        return None if text is None else ALL_TYPES
    types = [type_.strip() for type_ in text.split(",")]
    if not all(types):
        raise PlanError(Problem("bad-option", f"--vendor-has {text!r} names no type", hint="write tag,province or all"))
    return types
