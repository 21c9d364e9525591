"""Syntax tree of the expression language: frozen nodes.

Nodes compare by value; *span*, the position in the source text, is ignored. A tree deeper than MAX_DEPTH cannot
be built, so functions that walk a tree may recurse.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from audience.argument_types import check_arguments
from audience.errors import ExpressionError, Problem
from audience.language import validation
from audience.language.attribute_names import UNTYPED
from audience.language.platforms import PLATFORM_TYPE, canonical_platform
from audience.language.validation import require_nonempty, type_error
from audience.span import Span

MAX_DEPTH = 100
MAX_WITHIN_DAYS = 99_999
TOO_DEEP = Problem("too-deep", f"more than {MAX_DEPTH} levels of brackets and NOT", hint="flatten the expression")

IdKind: TypeAlias = Literal["registration_id", "alias", "account", "live_activity_id"]
ID_KINDS: tuple[IdKind, ...] = ("registration_id", "alias", "account", "live_activity_id")
CompareOp: TypeAlias = Literal["<", "<=", ">=", ">"]
COMPARE_OPS: tuple[CompareOp, ...] = ("<", "<=", ">=", ">")


class ExprNode:
    """Base class of all nodes, with the operators `&`, `|` and `~`."""

    __slots__ = ()

    def __and__(self: Any, other: "Expr") -> "Expr":
        return all_of([self, other])

    def __or__(self: Any, other: "Expr") -> "Expr":
        return any_of([self, other])

    def __invert__(self: Any) -> "Not":
        return Not(self)


class AtomNode(ExprNode):
    """Base class of nodes that describe devices directly: all but everyone, nobody, NOT, AND and OR."""

    __slots__ = ()


def _span_field() -> Any:
    return field(default=None, compare=False, repr=False, kw_only=True)


def _depth_field() -> Any:
    return field(init=False, compare=False, repr=False, default=1)


@dataclass(frozen=True, slots=True)
class Everyone(ExprNode):
    """All live devices."""


@dataclass(frozen=True, slots=True)
class Nobody(ExprNode):
    """Empty audience."""


@dataclass(frozen=True, slots=True)
class Tag(AtomNode):
    """Devices that have the tag *type*:*value*. An untyped tag such as `male` has the type `tag`.

    A platform has one name, however it is spelled.

    >>> Tag("province", "guangdong") & ~Tag("tag", "male")
    And(terms=(Tag(type='province', value='guangdong'), Not(term=Tag(type='tag', value='male'))))
    >>> Tag("platform", "HARMONY")
    Tag(type='platform', value='harmonyos')
    """

    type: str
    value: str
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        require_nonempty("tag type", self.type, self.span)
        require_nonempty("tag value", self.value, self.span)
        if self.type == PLATFORM_TYPE:
            object.__setattr__(self, "value", canonical_platform(self.value))


@dataclass(frozen=True, slots=True)
class Ids(AtomNode):
    """Devices listed by id: any of *values*, all ids of one *kind*."""

    kind: IdKind
    values: tuple[str, ...]
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        if self.kind not in ID_KINDS:
            raise ExpressionError(
                Problem(
                    "unknown-id",
                    f"unknown kind of id {self.kind!r}",
                    hint=f"use one of {', '.join(ID_KINDS)}",
                )
            )
        if not isinstance(self.values, tuple):
            raise type_error("ids", "a tuple of strings", self.values)
        if not self.values:
            raise ExpressionError(Problem("empty-list", f"{self.kind}() lists no id", self.span, hint="use nobody"))
        for value in self.values:
            require_nonempty("id", value, self.span)


@dataclass(frozen=True, slots=True)
class Compare(AtomNode):
    """Devices with a value of the ordered attribute *type* on the *operator* side of *value*."""

    type: str
    operator: CompareOp
    value: str
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        if self.operator not in COMPARE_OPS:
            raise ExpressionError(
                Problem(
                    "unknown-order",
                    f"unknown operator {self.operator!r}",
                    self.span,
                    hint=f"use {' '.join(COMPARE_OPS)}",
                )
            )
        require_nonempty("tag type", self.type, self.span)
        require_nonempty("value", self.value, self.span)


@dataclass(frozen=True, slots=True)
class Within(AtomNode):
    """Devices with a date of the attribute *type* in the *days* days that end with *day* (inclusive)."""

    type: str
    days: int
    day: str
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        if not isinstance(self.days, int) or not 1 <= self.days <= MAX_WITHIN_DAYS:
            raise ExpressionError(
                Problem(
                    "bad-days", f"invalid number of days {self.days!r}", self.span, hint=f"use 1 to {MAX_WITHIN_DAYS}"
                )
            )
        require_nonempty("tag type", self.type, self.span)
        require_nonempty("day", self.day, self.span)


@dataclass(frozen=True, slots=True)
class Has(AtomNode):
    """Devices with any value of the attribute *type*.

    Every tag, comparison and range of days of an attribute implies it.

    >>> Has("email") & ~Tag("city", "Rome")
    And(terms=(Has(type='email'), Not(term=Tag(type='city', value='Rome'))))
    """

    type: str
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        require_nonempty("attribute", self.type, self.span)


@dataclass(frozen=True, slots=True)
class Reference(AtomNode):
    """Devices that only one vendor can find: by a segment of its console, an uploaded file, a value that it computes.

    Nothing is known about them but what a catalog says, so a proof takes a reference as an unknown.

    Args:
        vendor: Name of the vendor.
        kind: What is referred to, in the vendor's words, such as `segment`.
        value: Its name at the vendor, or the part of a payload that describes it, as compact JSON.

    >>> Reference("onesignal", "segment", "Active Users").kind
    'segment'
    """

    vendor: str
    kind: str
    value: str
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        require_nonempty("vendor", self.vendor, self.span)
        require_nonempty("kind of reference", self.kind, self.span)
        require_nonempty("reference", self.value, self.span)


@dataclass(frozen=True, slots=True)
class Segment(AtomNode):
    """Devices of the expression that an index has saved as *name*."""

    name: str
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        require_nonempty("segment name", self.name, self.span)


@dataclass(frozen=True, slots=True)
class Sample(AtomNode):
    """Pseudo-random sample of all devices.

    Args:
        percent: Size of the sample, above 0 and at most 100, as a decimal string.
        seed: Selects the devices. A larger sample with the same seed contains a smaller one.

    >>> Sample("10.0", "summer")
    Sample(percent='10', seed='summer')
    """

    percent: str
    seed: str
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        object.__setattr__(self, "percent", validation.normalize_percent(self.percent, self.span))
        require_nonempty("seed", self.seed, self.span)


@dataclass(frozen=True, slots=True)
class Split(AtomNode):
    """Devices of one variant of an A/B split, or of any variant.

    Args:
        variants: Name and percent of each variant. Variants are disjoint.
        seed: Selects the devices of each variant.
        variant: Name of the variant that is selected. None selects the union of all variants.

    >>> Split((("a", "45"), ("b", "45")), "summer", variant="b").variant
    'b'
    """

    variants: tuple[tuple[str, str], ...]
    seed: str
    variant: str | None = None
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        object.__setattr__(self, "variants", validation.normalize_variants(self.variants, self.span))
        require_nonempty("seed", self.seed, self.span)
        if self.variant is not None:
            validation.require_variant(self.variant, self.variants, self.span)


@dataclass(frozen=True, slots=True)
class Not(ExprNode):
    """All devices except those of *term*."""

    term: "Expr"
    depth: int = _depth_field()

    def __post_init__(self) -> None:
        _set_depth(self, (self.term,))


@dataclass(frozen=True, slots=True)
class And(ExprNode):
    """Intersection of two or more *terms*."""

    terms: tuple["Expr", ...]
    depth: int = _depth_field()

    def __post_init__(self) -> None:
        _require_two_terms(self.terms)
        _set_depth(self, self.terms)


@dataclass(frozen=True, slots=True)
class Or(ExprNode):
    """Union of two or more *terms*."""

    terms: tuple["Expr", ...]
    depth: int = _depth_field()

    def __post_init__(self) -> None:
        _require_two_terms(self.terms)
        _set_depth(self, self.terms)


Atom: TypeAlias = Tag | Ids | Compare | Within | Has | Reference | Segment | Sample | Split
Expr: TypeAlias = Everyone | Nobody | Atom | Not | And | Or


def bare(name: str) -> Tag:
    """Return the untyped tag *name*."""
    return Tag(UNTYPED, name)


@check_arguments
def all_of(terms: Iterable[Expr]) -> Expr:
    """Return the intersection of *terms*, flattened; everyone if there are none.

    >>> all_of([bare("a")]), all_of([])
    (Tag(type='tag', value='a'), Everyone())
    """
    flat = tuple(operand for term in terms for operand in and_terms(term))
    return And(flat) if len(flat) > 1 else flat[0] if flat else Everyone()


@check_arguments
def any_of(terms: Iterable[Expr]) -> Expr:
    """Return the union of *terms*, flattened; nobody if there are none.

    >>> any_of([]), any_of([bare("a"), bare("b") | bare("c")])
    (Nobody(), Or(terms=(Tag(type='tag', value='a'), Tag(type='tag', value='b'), Tag(type='tag', value='c'))))
    """
    flat = tuple(operand for term in terms for operand in or_terms(term))
    return Or(flat) if len(flat) > 1 else flat[0] if flat else Nobody()


def and_terms(expr: Expr) -> tuple[Expr, ...]:
    """Return the terms of an intersection, or *expr* as the only term."""
    return expr.terms if isinstance(expr, And) else (expr,)


def or_terms(expr: Expr) -> tuple[Expr, ...]:
    """Return the terms of a union, or *expr* as the only term."""
    return expr.terms if isinstance(expr, Or) else (expr,)


def junction_terms(expr: Expr) -> tuple[Expr, ...]:
    """Return the terms of an intersection or a union, or *expr* as the only term."""
    return expr.terms if isinstance(expr, And | Or) else (expr,)


def negated_tag(expr: Expr) -> Tag | None:
    """Return the tag that *expr* negates, or None if it is not the NOT of a tag.

    >>> negated_tag(Not(bare("vip"))) == bare("vip"), negated_tag(bare("vip"))
    (True, None)
    """
    return expr.term if isinstance(expr, Not) and isinstance(expr.term, Tag) else None


def children(expr: Expr) -> tuple[Expr, ...]:
    """Return the direct child nodes of *expr*."""
    match expr:
        case Not(term=term):
            return (term,)
        case And(terms=terms) | Or(terms=terms):
            return terms
    return ()


def walk(expr: Expr) -> Iterator[Expr]:
    """Yield *expr* and all nodes below it in reading order."""
    stack = [expr]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))


def atoms(expr: Expr) -> dict[Atom, None]:
    """Return the distinct atoms of *expr* in reading order, as the keys of a dictionary.

    Atoms are tags, id lists, comparisons, day ranges, existence of values, references, segments, samples and splits.
    """
    return {node: None for node in walk(expr) if isinstance(node, AtomNode)}


def map_atoms(expr: Expr, fn: Callable[[Atom], Expr]) -> Expr:
    """Return *expr* with each atom replaced by *fn* of it.

    >>> map_atoms(bare("a") & ~bare("b"), lambda atom: bare("c"))
    And(terms=(Tag(type='tag', value='c'), Not(term=Tag(type='tag', value='c'))))
    """
    match expr:
        case Not(term=term):
            return Not(map_atoms(term, fn))
        case And(terms=terms):
            return all_of(map_atoms(term, fn) for term in terms)
        case Or(terms=terms):
            return any_of(map_atoms(term, fn) for term in terms)
        case Everyone() | Nobody():
            return expr
    return fn(expr)


def ensure_expr(value: object) -> Expr:
    """Return *value*, or raise ExpressionError if it is not an expression."""
    if not isinstance(value, ExprNode):
        raise type_error("expression", "a string or a node", value)
    return value  # type: ignore[return-value]


def _require_two_terms(terms: tuple[Expr, ...]) -> None:
    if not isinstance(terms, tuple):
        raise type_error("terms of AND and OR", "a tuple of expressions", terms)
    if len(terms) < 2:
        raise ExpressionError(
            Problem("too-few", f"AND and OR need at least two terms, got {len(terms)}", hint="use all_of() or any_of()")
        )


def _set_depth(node: Not | And | Or, terms: tuple[Expr, ...]) -> None:
    depth = 1 + max(getattr(ensure_expr(term), "depth", 1) for term in terms)
    if depth > MAX_DEPTH:
        raise ExpressionError(TOO_DEEP)
    object.__setattr__(node, "depth", depth)
