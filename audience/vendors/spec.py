"""Vendor record: the facts and functions of one push vendor, built in the vendor's own module."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import EMPTY_SHAPE, RequestShape
from audience.algebra.simplification import simplify
from audience.algebra.thresholds import expand_thresholds
from audience.errors import ComplexityError, ExpressionError, Problem
from audience.language.ast import (
    ID_KINDS,
    And,
    Anniversary,
    Atom,
    Between,
    Compare,
    Everyone,
    Expr,
    Has,
    Ids,
    Limit,
    Matches,
    Nobody,
    Not,
    Or,
    Reference,
    Relative,
    Sample,
    Segment,
    Split,
    Tag,
    Top,
    Within,
    all_of,
    and_terms,
    atoms,
    walk,
)
from audience.language.call_reader import unknown_call_problem
from audience.language.printer import render
from audience.language.references import reference_problem
from audience.vendors.delivery_spec import DeliverySpec
from audience.vendors.delivery_spec import Payload as Payload
from audience.vendors.platform_field import (
    PlatformField,
    PlatformTerms,
    common_platforms,
    is_platform_tag,
    platform_problems,
    platform_tags,
    split_platform_terms,
)
from audience.vendors.value_names import ValueNames

WHITESPACE = " \t\r\n\u00a0\u3000"  # stripped from ids between commas
TAGS_AND_IDS: frozenset[type[Atom]] = frozenset({Tag, Ids})  # what most vendors can express
COMPARISONS: frozenset[type[Atom]] = frozenset({Compare, Within})


class Unsupported(Exception):
    """Raised if a vendor cannot express an audience in one request; `problems` lists every reason."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        super().__init__(*self.problems)


@dataclass(frozen=True, slots=True)
class VendorLimit:
    """Limit set by a vendor.

    Attributes:
        maximum: Largest number allowed; None if no page documents one.
        source: URL of the page that documents it.
    """

    maximum: int | None
    source: str

    def is_exceeded_by(self, count: int) -> bool:
        """Return whether *count* is more than the maximum."""
        return self.maximum is not None and count > self.maximum


@dataclass(frozen=True, slots=True)
class Restated:
    """Targeting of a payload, restated for its own vendor.

    Attributes:
        payload: Targeting object, as it is sent.
        assumptions: What its reading takes for granted, beside `Vendor.assumptions`.
    """

    payload: Payload
    assumptions: tuple[Problem, ...] = ()


def read_only_emit(expr: Expr) -> Payload:
    """Refuse any expression: the `emit` of a read-only vendor."""
    raise Unsupported([Problem("reads-only", f"cannot send {_quote_expr(expr)}: the vendor is read-only")])


def _quote_expr(expr: Expr) -> str:
    """Return the text of *expr* in quotes, or its Python representation if the language has no text for it."""
    try:
        return repr(render(expr))
    except ExpressionError:
        return repr(expr)


def read_only_target_ids(ids: Sequence[str]) -> Payload:
    """Refuse any ids: the `target_ids` of a read-only vendor."""
    raise Unsupported([Problem("reads-only", f"cannot send to {len(ids)} ids: the vendor is read-only")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One push vendor: its documentation, what it can express, and how its payloads are read and written.

    A read-only vendor has a `read_only_reason` and none of `shape`, `emit`, `target_ids` and `max_ids`. Every other
    vendor has all of them and no reason.

    Attributes:
        name: Name on the command line and in files.
        title: Name in messages.
        docs_url: Page of the vendor's documentation that `parse` and `emit` follow.
        docs_read_on: Date on which that page was read, `YYYY-MM-DD`.
        fragment: One line that describes the expressions one request can hold.
        limits: Limits of one request by name.
        id_columns: Columns of a device table that hold this vendor's ids, best first.
        parse: Reads a payload as an expression, or raises PayloadError. It is the inverse of `emit`.
        read_only_reason: Why payloads of this vendor are read but never written.
        supported: Kinds of atoms that `emit` can express. An atom of another kind never gets into a payload: it is
            refused with the code `not-supported`.
        explained: Kinds of atoms that `emit` refuses itself, because it gives a better reason.
        shape: Combinations of tags that one request can express.
        tag_problems: Finds why the vendor cannot have a tag of that type and value.
        assumptions: Finds what a payload of that expression takes for granted.
        emit: Writes an expression as the targeting of one request, or raises Unsupported. It gets simplified
            expressions in which NOT applies to atoms only, and never Nobody or an atom of an unknown kind.
        view: Returns an atom as the conditions that the vendor has in its place. Expressions are compared in this view
            when a plan is verified. `assumptions` names what it rests on.
        has_single_values: Whether a device has at most one value of each type, so that two of them are nobody.
        restate: Restates the targeting of a payload that `parse` accepts, with its own operators: a plan sends it back
            to its vendor so. None if `emit` writes it as well.
        target_ids: Writes the targeting of at most `max_ids` ids.
        max_ids: Largest number of ids in one request.
        max_id_length: Largest number of characters of an id.
        forbidden_id_chars: Characters that an id must not contain.
        type_aliases: The vendor's names of tag types, for the patterns of a catalog.
        has_typed_tags: Whether tags have a type as ours do. A catalog then writes `TYPE:VALUE`.
        builtins: Attributes that the vendor keeps of each device by itself, with its names for them. Their types are in
            `BUILTIN_TYPES`.
        value_names: Documented words for the values of its `builtins`. Outside of `parse` and `emit`, every value has
            the spelling that all vendors share.
        undocumented_nots: Types of tags of which no page says whether NOT matches a device without any value.
        date_formats: How the vendor writes the days of its own attributes, for the patterns of a catalog.
        platforms: Field that narrows a request to platforms; None if requests have none. `emit`, `tag_problems` and
            `assumptions` never get a tag of a platform, unless the field leaves it to `emit` to write them.
        delivery: How messages are delivered; None if the vendor can only be written for.
        sandbox: Dotted name of the module with the emulated endpoints; None if there is none.

    >>> facts = {"docs_url": "https://example.com", "docs_read_on": "2026-11-21", "fragment": "all", "limits": {}}
    >>> pager = Vendor(
    ...     name="pager", title="Pager", id_columns=("pager",), parse=Tag, read_only_reason="discontinued", **facts
    ... )
    >>> pager.shape, pager.max_ids
    (SingleOperator(max_tags=0, allows_unbounded_not=False), 0)
    """

    name: str
    title: str
    docs_url: str
    docs_read_on: str
    fragment: str
    limits: dict[str, VendorLimit]
    id_columns: tuple[str, ...]
    parse: Callable[[Any], Expr]
    read_only_reason: str = ""
    supported: frozenset[type[Atom]] = frozenset()
    explained: frozenset[type[Atom]] = frozenset()
    shape: RequestShape = EMPTY_SHAPE
    tag_problems: Callable[[Tag], Iterable[Problem]] = lambda tag: ()
    assumptions: Callable[[Expr], Iterable[Problem]] = lambda expr: ()
    emit: Callable[[Expr], Payload] = read_only_emit
    view: Callable[[Atom], Expr] = lambda atom: atom
    has_single_values: bool = False
    restate: Callable[[Any], Restated] | None = None
    target_ids: Callable[[Sequence[str]], Payload] = read_only_target_ids
    max_ids: int = 0
    max_id_length: int | None = None
    forbidden_id_chars: str = ""
    type_aliases: Mapping[str, str] = field(default_factory=dict)
    has_typed_tags: bool = False
    builtins: Mapping[str, str] = field(default_factory=dict)
    value_names: Mapping[str, ValueNames] = field(default_factory=dict)
    undocumented_nots: frozenset[str] = frozenset()
    date_formats: Mapping[str, str] = field(default_factory=dict)
    platforms: PlatformField | None = None
    delivery: DeliverySpec | None = None
    sandbox: str | None = None

    def __post_init__(self) -> None:
        writable = {
            self.shape != EMPTY_SHAPE,
            self.emit != read_only_emit,
            self.target_ids != read_only_target_ids,
            self.max_ids > 0,
        }
        if len(writable) > 1 or writable == {bool(self.read_only_reason)}:
            raise TypeError(f"{self.name}: give either read_only_reason, or all of shape, emit, target_ids and max_ids")
        if self.read_only_reason:
            return
        emit = self.emit
        if self.platforms is not None:
            emit = _narrow_emit(emit, self.platforms, self.title)
            object.__setattr__(self, "tag_problems", _name_platforms(self.tag_problems, self.platforms, self.title))
            object.__setattr__(self, "assumptions", _assume_platforms(self.assumptions, self.platforms, self.title))
        guarded = _guard_emit(emit, self.name, self.title, self.supported, self.explained)
        object.__setattr__(self, "emit", guarded)

    def id_problem(self, identifier: str) -> Problem | None:
        """Return why *identifier* cannot be in a list of ids of this vendor, or None."""
        return find_id_problem(identifier, self.max_id_length, self.forbidden_id_chars)


def find_id_problem(identifier: str, max_length: int | None, forbidden_chars: str = "") -> Problem | None:
    """Return why an id is longer than *max_length* or contains one of *forbidden_chars*, or None."""
    if max_length is not None and len(identifier) > max_length:
        message = f"{identifier!r} has {len(identifier)} characters; the maximum is {max_length}"
        return Problem("id-too-long", message)
    if forbidden_chars and identifier != identifier.strip(WHITESPACE):
        return Problem("id-outer-space", f"{identifier!r} begins or ends with white space, which the vendor strips")
    for char in forbidden_chars:
        if char in identifier:
            return Problem("id-forbidden-character", f"{identifier!r} contains {char!r}, which the vendor forbids")
    return None


def require_single_list(ids: Ids, max_ids: int | None, problems: Iterable[Problem] = ()) -> list[str]:
    """Return the values of *ids*; raise Unsupported if there are *problems* or more than *max_ids* values."""
    problems = list(problems)
    if max_ids is not None and len(ids.values) > max_ids:
        problems.append(Problem("too-many", f"{len(ids.values)} ids; the maximum is {max_ids}", ids.span))
    if problems:
        raise Unsupported(problems)
    return list(ids.values)


def _guard_emit(
    emit: Callable[[Expr], Payload], name: str, title: str, supported: Collection[type], explained: Collection[type]
) -> Callable[[Expr], Payload]:
    """Wrap *emit*: normalize the expression and refuse every atom of a kind that is not supported.

    References to another vendor are refused too.
    """

    def is_unsupported(leaf: Expr) -> bool:
        is_foreign = isinstance(leaf, Reference) and leaf.vendor != name
        is_column = isinstance(leaf, Ids) and leaf.kind not in ID_KINDS
        return type(leaf) not in supported or is_foreign or is_column

    def is_explained(leaf: Expr) -> bool:
        return type(leaf) in explained and not isinstance(leaf, Reference | Ids)

    def emit_guarded(expr: Expr) -> Payload:
        expr = simplify(nnf(_write_out_thresholds(expr, title)))
        if expr == Nobody():
            raise Unsupported([Problem("nobody", "a request cannot have an empty audience", hint="send nothing")])
        unsupported = [leaf for leaf in _leaves(expr) if is_unsupported(leaf)]
        if not all(map(is_explained, unsupported)):
            raise Unsupported(problem for leaf in _leaves(expr) for problem in _leaf_problems(leaf))
        payload = emit(expr)
        if unsupported:  # emit should have explained why, and dropped them instead
            raise Unsupported(_unsupported_problem(leaf, title) for leaf in unsupported)
        return payload

    def _leaf_problems(leaf: Expr) -> Iterable[Problem]:
        """Find why the vendor cannot express *leaf* alone."""
        if is_unsupported(leaf) and not is_explained(leaf):
            return [_unsupported_problem(leaf, title)]
        try:
            emit_guarded(leaf)
        except Unsupported as error:
            return error.problems
        return ()

    return emit_guarded


def _narrow_emit(emit: Callable[[Expr], Payload], platforms: PlatformField, title: str) -> Callable[[Expr], Payload]:
    """Wrap *emit*: write the platforms that narrow the whole expression into their field, the rest by *emit*."""

    def emit_narrowed(expr: Expr) -> Payload:
        if platforms.write is None or not platform_tags(expr):
            return _emit_conditions(expr)
        terms = split_platform_terms(expr)
        problems = [*platform_problems(terms, platforms, title), *_rest_problems(terms)]
        if problems:
            raise Unsupported(problems)
        words = [platforms.names[name] for name in common_platforms(terms.platforms)]
        return platforms.write(emit(terms.rest), words)

    def _emit_conditions(expr: Expr) -> Payload:
        """Write *expr*, whose platforms are conditions beside others, if the vendor has all of them."""
        tags = platform_tags(expr)
        problems = [problem for tag in tags for problem in platforms.tag_problems(tag, title)]
        if not problems:
            return emit(expr)
        others = [atom for atom in atoms(expr) if atom not in tags]
        raise Unsupported([*problems, *_find_problems(others)])

    def _rest_problems(terms: PlatformTerms) -> Iterable[Problem]:
        """Find why the terms that name no platform cannot be written, nor the atoms beside a platform in others."""
        mixed = [term for term in and_terms(terms.rest) if platform_tags(term)]
        others = all_of(term for term in and_terms(terms.rest) if term not in mixed)
        beside = [atom for term in mixed for atom in atoms(term) if not is_platform_tag(atom)]
        return _find_problems([others, *beside])

    def _find_problems(exprs: Iterable[Expr]) -> Iterable[Problem]:
        """Find why none of *exprs* can be written alone."""
        for expr in exprs:
            try:
                emit(expr)
            except Unsupported as error:
                yield from error.problems

    return emit_narrowed


def _name_platforms(
    tag_problems: Callable[[Tag], Iterable[Problem]], platforms: PlatformField, title: str
) -> Callable[[Tag], Iterable[Problem]]:
    """Wrap *tag_problems*: a tag of a platform has the problems of the field."""
    return lambda tag: platforms.tag_problems(tag, title) if is_platform_tag(tag) else tag_problems(tag)


def _assume_platforms(
    assumptions: Callable[[Expr], Iterable[Problem]], platforms: PlatformField, title: str
) -> Callable[[Expr], Iterable[Problem]]:
    """Wrap *assumptions*: a platform is taken to be the one that the vendor knows."""

    def assume(expr: Expr) -> Iterable[Problem]:
        yield from assumptions(expr if platforms.write is None else split_platform_terms(expr).rest)
        yield from platforms.assumptions(expr, title)

    return assume


def _write_out_thresholds(expr: Expr, title: str) -> Expr:
    """Return *expr* with its thresholds as AND and OR, or raise Unsupported if one has too many clauses."""
    try:
        return expand_thresholds(simplify(nnf(expr)))
    except ComplexityError as error:
        message = f"{title} has no thresholds, and {error.problems[0].message}"
        hint = "use an index to resolve it to ids"
        raise Unsupported([replace(error.problems[0], message=message, hint=hint)]) from None


def _leaves(expr: Expr) -> list[Expr]:
    """Return the atoms of *expr*, each once, including nodes of classes that `Atom` does not list."""
    return list(dict.fromkeys(node for node in walk(expr) if not isinstance(node, And | Or | Not | Everyone | Nobody)))


def _unsupported_problem(leaf: Expr, title: str) -> Problem:
    """Explain that no payload of the vendor can express *leaf*."""
    span = getattr(leaf, "span", None)
    match leaf:
        case Segment():
            hint = "pass the index that has the segment"
            return Problem("no-segment", f"{title} does not know the saved segment {render(leaf)}", span, hint=hint)
        case Reference():
            return reference_problem(leaf)
        case Has():
            message = f"{render(leaf)!r}: {title} cannot ask whether a device has any value"
            return Problem("no-existence", message, span, hint="use an index to resolve it to ids")
        case Ids() if leaf.kind not in ID_KINDS:
            return unknown_call_problem(leaf.kind, span)
        case Relative() | Anniversary():
            return Problem("no-time", f"{render(leaf)!r}: {title} cannot ask for relative days", span)
        case Matches():
            return Problem("no-pattern", f"{render(leaf)!r}: {title} cannot search a text", span)
        case Between():
            return Problem("no-ranges", f"{render(leaf)!r}: {title} cannot compare values", span)
        case Limit() | Top():
            return Problem("no-limit", f"{render(leaf)!r:.60}: {title} cannot send to a number of devices", span)
        case Sample() | Split():
            return Problem("no-sample", f"{render(leaf)!r}: {title} cannot select a share of devices", span)
    return Problem("not-supported", f"{_quote_expr(leaf)}: {title} cannot express {type(leaf).__name__}", span)
