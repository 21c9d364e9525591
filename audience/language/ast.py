"""Who is meant: a tree of frozen nodes.

Two nodes are equal when they are written alike; the place in the text (*span*) does not count. A tree deeper
than MAX_DEPTH cannot be built, so every function that walks one may recurse.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from audience.errors import ExpressionError, Problem
from audience.language import validation
from audience.language.attribute_names import UNTYPED
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
    """What all nodes share: the operators `&`, `|` and `~`."""

    __slots__ = ()

    def __and__(self: Any, other: "Expr") -> "Expr":
        return all_of([self, other])

    def __or__(self: Any, other: "Expr") -> "Expr":
        return any_of([self, other])

    def __invert__(self: Any) -> "Not":
        return Not(self)


def _span_field() -> Any:
    return field(default=None, compare=False, repr=False, kw_only=True)


def _depth_field() -> Any:
    return field(init=False, compare=False, repr=False, default=1)


@dataclass(frozen=True, slots=True)
class Everyone(ExprNode):
    """The whole universe."""


@dataclass(frozen=True, slots=True)
class Nobody(ExprNode):
    """The empty audience."""


@dataclass(frozen=True, slots=True)
class Tag(ExprNode):
    """Devices that have the tag *type*:*value*; a bare `male` has the type `tag`.

    >>> Tag("province", "guangdong") & ~Tag("tag", "male")
    And(terms=(Tag(type='province', value='guangdong'), Not(term=Tag(type='tag', value='male'))))
    """

    type: str
    value: str
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        require_nonempty("a type", self.type, self.span)
        require_nonempty("a tag", self.value, self.span)


@dataclass(frozen=True, slots=True)
class Ids(ExprNode):
    """Devices named one by one: any of *values*, each a *kind* of id."""

    kind: IdKind
    values: tuple[str, ...]
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        if self.kind not in ID_KINDS:
            raise ExpressionError(
                Problem(
                    "unknown-id",
                    f"no kind of id is called {self.kind!r}",
                    hint=f"one of {', '.join(ID_KINDS)}",
                )
            )
        if not isinstance(self.values, tuple):
            raise type_error("ids", "a tuple of texts", self.values)
        if not self.values:
            raise ExpressionError(Problem("empty-list", f"{self.kind}() names no id", self.span, hint="write nobody"))
        for value in self.values:
            require_nonempty("an id", value, self.span)


@dataclass(frozen=True, slots=True)
class Compare(ExprNode):
    """Devices with a value of the ordered attribute *type* that lies on that side of *value*."""

    type: str
    operator: CompareOp
    value: str
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        if self.operator not in COMPARE_OPS:
            raise ExpressionError(
                Problem("unknown-order", f"{self.operator!r} is none of {' '.join(COMPARE_OPS)}", self.span)
            )
        require_nonempty("a type", self.type, self.span)
        require_nonempty("a value", self.value, self.span)


@dataclass(frozen=True, slots=True)
class Within(ExprNode):
    """Devices with a day of the attribute *type* among the *days* days that end with *day*."""

    type: str
    days: int
    day: str
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        if not isinstance(self.days, int) or not 1 <= self.days <= MAX_WITHIN_DAYS:
            raise ExpressionError(
                Problem("bad-days", f"{self.days!r} is no number of days", self.span, hint=f"1 to {MAX_WITHIN_DAYS}")
            )
        require_nonempty("a type", self.type, self.span)
        require_nonempty("a day", self.day, self.span)


@dataclass(frozen=True, slots=True)
class Segment(ExprNode):
    """Devices of the expression that an index has saved as *name*."""

    name: str
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        require_nonempty("a segment", self.name, self.span)


@dataclass(frozen=True, slots=True)
class Sample(ExprNode):
    """A *share* of all devices, in percent; the *seed* decides which, and a larger share has those of a smaller.

    >>> Sample("10.0", "summer")
    Sample(percent='10', seed='summer')
    """

    percent: str
    seed: str
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        object.__setattr__(self, "percent", validation.normalize_percent(self.percent, self.span))
        require_nonempty("a seed", self.seed, self.span)


@dataclass(frozen=True, slots=True)
class Split(ExprNode):
    """Devices on one *side* of a split, or on any; *sides* are names and shares in percent, and share no device.

    >>> Split((("a", "45"), ("b", "45")), "summer", variant="b").variant
    'b'
    """

    variants: tuple[tuple[str, str], ...]
    seed: str
    variant: str | None = None
    span: Span | None = _span_field()

    def __post_init__(self) -> None:
        object.__setattr__(self, "variants", validation.normalize_variants(self.variants, self.span))
        require_nonempty("a seed", self.seed, self.span)
        if self.variant is not None:
            validation.require_variant(self.variant, self.variants, self.span)


@dataclass(frozen=True, slots=True)
class Not(ExprNode):
    """The universe without *term*."""

    term: "Expr"
    depth: int = _depth_field()

    def __post_init__(self) -> None:
        _set_depth(self, (self.term,))


@dataclass(frozen=True, slots=True)
class And(ExprNode):
    """Devices inside all of two or more *terms*."""

    terms: tuple["Expr", ...]
    depth: int = _depth_field()

    def __post_init__(self) -> None:
        _require_two_terms(self.terms)
        _set_depth(self, self.terms)


@dataclass(frozen=True, slots=True)
class Or(ExprNode):
    """Devices inside any of two or more *terms*."""

    terms: tuple["Expr", ...]
    depth: int = _depth_field()

    def __post_init__(self) -> None:
        _require_two_terms(self.terms)
        _set_depth(self, self.terms)


Atom: TypeAlias = Tag | Ids | Compare | Within | Segment | Sample | Split
Expr: TypeAlias = Everyone | Nobody | Atom | Not | And | Or


def bare(name: str) -> Tag:
    """The tag *name* without a type of its own."""
    return Tag(UNTYPED, name)


def all_of(terms: Iterable[Expr]) -> Expr:
    """The intersection of *terms*; of none of them, everyone.

    >>> all_of([bare("a")]), all_of([])
    (Tag(type='tag', value='a'), Everyone())
    """
    flat = tuple(inner for term in terms for inner in (term.terms if isinstance(term, And) else (term,)))
    return And(flat) if len(flat) > 1 else flat[0] if flat else Everyone()


def any_of(terms: Iterable[Expr]) -> Expr:
    """The union of *terms*; of none of them, nobody.

    >>> any_of([]), any_of([bare("a"), bare("b") | bare("c")])
    (Nobody(), Or(terms=(Tag(type='tag', value='a'), Tag(type='tag', value='b'), Tag(type='tag', value='c'))))
    """
    flat = tuple(inner for term in terms for inner in (term.terms if isinstance(term, Or) else (term,)))
    return Or(flat) if len(flat) > 1 else flat[0] if flat else Nobody()


def children(expr: Expr) -> tuple[Expr, ...]:
    """The nodes right below *expr*."""
    match expr:
        case Not(term=term):
            return (term,)
        case And(terms=terms) | Or(terms=terms):
            return terms
    return ()


def walk(expr: Expr) -> Iterator[Expr]:
    """*expr* and every node below it, in the order they are read."""
    stack = [expr]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))


def atoms(expr: Expr) -> dict[Atom, None]:
    """Every tag, id list, comparison, segment and share of *expr*, each once, in the order they are read."""
    return {node: None for node in walk(expr) if isinstance(node, Atom)}


def map_atoms(expr: Expr, fn: Callable[[Atom], Expr]) -> Expr:
    """*expr* with what *change* makes of each of its atoms in their place.

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
    """*value* if it is an expression, or ExpressionError."""
    if not isinstance(value, ExprNode):
        raise type_error("an expression", "a text or a node", value)
    return value  # type: ignore[return-value]


def _require_two_terms(terms: tuple[Expr, ...]) -> None:
    if not isinstance(terms, tuple):
        raise type_error("AND and OR", "a tuple of expressions", terms)
    if len(terms) < 2:
        raise ExpressionError(
            Problem("too-few", f"AND and OR join two or more, not {len(terms)}", hint="use all_of() or any_of()")
        )


def _set_depth(node: Not | And | Or, terms: tuple[Expr, ...]) -> None:
    depth = 1 + max(getattr(ensure_expr(term), "depth", 1) for term in terms)
    if depth > MAX_DEPTH:
        raise ExpressionError(TOO_DEEP)
    object.__setattr__(node, "depth", depth)
