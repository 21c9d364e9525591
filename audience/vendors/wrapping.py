"""Wrap the functions of a vendor: its own ones only get simplified expressions of what it supports, without platforms.

Records are wrapped where they are loaded or registered, and not again when another record is made of them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from audience.algebra.normal_forms import nnf, write_out_thresholds
from audience.algebra.simplification import simplify
from audience.errors import ComplexityError, Problem
from audience.language.ast import (
    ID_KINDS,
    Aggregate,
    And,
    Anniversary,
    Between,
    Did,
    EventMoment,
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
    all_of,
    and_terms,
    atoms,
    walk,
)
from audience.language.call_reader import unknown_call_problem
from audience.language.printer import render
from audience.language.references import reference_problem
from audience.vendors.delivery_spec import Payload
from audience.vendors.platform_field import (
    PlatformField,
    PlatformTerms,
    common_platforms,
    is_platform_tag,
    platform_problems,
    platform_tags,
    split_platform_terms,
)
from audience.vendors.spec import Unsupported, Vendor, quote_expr

Argument = TypeVar("Argument")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Wrapped(Generic[Argument, Result]):
    """Function of a vendor, and the wrapper that is called in its place."""

    own: Callable[[Argument], Result]
    wrapper: Callable[[Argument], Result]

    def __call__(self, argument: Argument) -> Result:
        """Call the wrapper."""
        return self.wrapper(argument)


def wrap_functions(vendor: Vendor) -> Vendor:
    """Return *vendor* with its own functions wrapped once, by its present facts."""
    if vendor.read_only_reason:
        return vendor
    own_emit = emit = find_own_function(vendor.emit)
    own_problems = tag_problems = find_own_function(vendor.tag_problems)
    own_assumptions = assumptions = find_own_function(vendor.assumptions)
    if vendor.platforms is not None:
        emit = _narrow_emit(emit, vendor.platforms, vendor.title)
        tag_problems = _name_platforms(tag_problems, vendor.platforms, vendor.title)
        assumptions = _assume_platforms(assumptions, vendor.platforms, vendor.title)
    return replace(
        vendor,
        emit=Wrapped(own_emit, guard_emit(emit, vendor)),
        tag_problems=Wrapped(own_problems, tag_problems),
        assumptions=Wrapped(own_assumptions, assumptions),
    )


def find_own_function(function: Callable[[Argument], Result]) -> Callable[[Argument], Result]:
    """Return the function of the vendor that *function* wraps, or *function* itself if it wraps none."""
    return function.own if isinstance(function, Wrapped) else function


def guard_emit(emit: Callable[[Expr], Payload], vendor: Vendor) -> Callable[[Expr], Payload]:
    """Wrap *emit* of *vendor*: normalize the expression and refuse every atom of a kind that is not supported.

    References to another vendor are refused too, and patterns of values that the vendor may write in other words.
    """

    def is_unsupported(leaf: Expr) -> bool:
        is_foreign = isinstance(leaf, Reference) and leaf.vendor != vendor.name
        is_column = isinstance(leaf, Ids) and leaf.kind not in ID_KINDS
        is_respelled = isinstance(leaf, Matches) and leaf.type in vendor.value_names
        return type(leaf) not in vendor.supported or is_foreign or is_column or is_respelled

    def is_explained(leaf: Expr) -> bool:
        return type(leaf) in vendor.explained and not isinstance(leaf, Reference | Ids)

    def emit_guarded(expr: Expr) -> Payload:
        expr = _normalize(expr, vendor.title)
        if expr == Nobody():
            raise Unsupported([Problem("nobody", "a request cannot have an empty audience", hint="send nothing")])
        unsupported = [leaf for leaf in _leaves(expr) if is_unsupported(leaf)]
        if not all(map(is_explained, unsupported)):
            raise Unsupported(problem for leaf in _leaves(expr) for problem in _leaf_problems(leaf))
        payload = emit(expr)
        if unsupported:  # emit should have explained why, and dropped them instead
            raise Unsupported(_unsupported_problem(leaf, vendor.title) for leaf in unsupported)
        return payload

    def _leaf_problems(leaf: Expr) -> Iterable[Problem]:
        """Find why the vendor cannot express *leaf* alone."""
        if is_unsupported(leaf) and not is_explained(leaf):
            return [_unsupported_problem(leaf, vendor.title)]
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


def _normalize(expr: Expr, title: str) -> Expr:
    """Return *expr* simplified and without thresholds, or raise Unsupported if one has too many clauses."""
    try:
        return write_out_thresholds(simplify(nnf(expr)))
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
            problem = unknown_call_problem(leaf.kind, span)
            return replace(problem, hint=f"{problem.hint}; or pass the index that has a column of these ids")
        case Relative() | Anniversary():
            return Problem("no-time", f"{render(leaf)!r}: {title} cannot ask for relative days", span)
        case Matches():
            return Problem("no-pattern", f"{render(leaf)!r}: {title} cannot search a text", span)
        case Between():
            return Problem("no-ranges", f"{render(leaf)!r}: {title} cannot compare values", span)
        case Limit() | Top():
            return Problem("no-limit", f"{render(leaf)!r:.60}: {title} cannot send to a number of devices", span)
        case Did() | Aggregate() | EventMoment():
            return Problem("no-events", f"{quote_expr(leaf)}: {title} does not have the events of an index", span)
        case Sample() | Split():
            return Problem("no-sample", f"{render(leaf)!r}: {title} cannot select a share of devices", span)
    return Problem("not-supported", f"{quote_expr(leaf)}: {title} cannot express {type(leaf).__name__}", span)
