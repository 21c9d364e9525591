"""Vendor record: the facts and functions of one push vendor, built in the vendor's own module."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audience.algebra.request_shape import EMPTY_SHAPE, RequestShape
from audience.counts import format_count
from audience.errors import ExpressionError, Problem
from audience.language.ast import Atom, Compare, Expr, IdKind, Ids, Reference, Tag, Within
from audience.language.printer import render
from audience.vendors.delivery_spec import DeliverySpec
from audience.vendors.delivery_spec import Payload as Payload
from audience.vendors.platform_field import PlatformField
from audience.vendors.tag_spec import TagSpec
from audience.vendors.value_names import ValueNames
from audience.vendors.vendor_limit import VendorLimit as VendorLimit

WHITESPACE = " \t\r\n\u00a0\u3000"  # stripped from ids between commas
TAGS_AND_IDS: frozenset[type[Atom]] = frozenset({Tag, Ids})  # what most vendors can express
COMPARISONS: frozenset[type[Atom]] = frozenset({Compare, Within})


class Unsupported(Exception):
    """Raised if a vendor cannot express an audience in one request; `problems` lists every reason."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        super().__init__(*self.problems)


@dataclass(frozen=True, slots=True)
class Restated:
    """Targeting of a payload, restated for its own vendor.

    Attributes:
        payload: Targeting object, as it is sent.
        assumptions: What its reading takes for granted, beside `Vendor.assumptions`.
    """

    payload: Payload
    assumptions: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class VendorEvents:
    """Conditions of the events that a vendor counts itself, which are references to the vendor.

    Attributes:
        write: Returns the reference of the devices that did an event of some name at least so many times.
        read: Returns the name of the event and the number of times, or None if a reference is about anything else.
    """

    write: Callable[[str, int], Reference]
    read: Callable[[Reference], tuple[str, int] | None]


def read_only_emit(expr: Expr) -> Payload:
    """Refuse any expression: the `emit` of a read-only vendor."""
    raise Unsupported([Problem("reads-only", f"cannot send {quote_expr(expr)}: the vendor is read-only")])


def quote_expr(expr: Expr) -> str:
    """Return the text of *expr* in quotes, or its Python representation if the language has no text for it."""
    try:
        return repr(render(expr))
    except ExpressionError:
        return repr(expr)


def read_only_target_ids(ids: Sequence[str]) -> Payload:
    """Refuse any ids: the `target_ids` of a read-only vendor."""
    raise Unsupported(
        [Problem("reads-only", f"cannot send to {format_count(len(ids), 'id')}: the vendor is read-only")]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One push vendor: its documentation, what it can express, and how its payloads are read and written.

    A read-only vendor has a `read_only_reason` and none of `shape`, `emit`, `target_ids` and `max_ids`. Every other
    vendor has all of them and no reason. Where a record is loaded or registered, `emit`, `tag_problems` and
    `assumptions` are wrapped: see `audience.vendors.wrapping`.

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
        events: Writes and reads conditions of the vendor's own events, which a plan asks for if the catalog names the
            events there. Without it, conditions of events go by ids.
        restate: Restates the targeting of a payload that `parse` accepts, with its own operators: a plan sends it back
            to its vendor so. It returns None for a payload that `emit` writes as well, and is None if that is all.
        target_ids: Writes the targeting of at most `max_ids` ids.
        max_ids: Largest number of ids in one request.
        max_id_length: Largest number of characters of an id.
        exclusive_ids: Kinds of ids of which a device has at most one at the vendor, so that a long list can be split.
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
        tags: How tags of devices are set and removed; None if that cannot be done. Its keys are those of *delivery*.
        sandbox: Dotted name of the module with the emulated endpoints; None if there is none.
        problem_codes: File with the problem codes that only this vendor has, which `audience.vendors.problem_codes`
            reads; None if it has none.

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
    restate: Callable[[Any], Restated | None] | None = None
    events: VendorEvents | None = None
    target_ids: Callable[[Sequence[str]], Payload] = read_only_target_ids
    max_ids: int = 0
    max_id_length: int | None = None
    exclusive_ids: frozenset[IdKind] = frozenset()
    forbidden_id_chars: str = ""
    type_aliases: Mapping[str, str] = field(default_factory=dict)
    has_typed_tags: bool = False
    builtins: Mapping[str, str] = field(default_factory=dict)
    value_names: Mapping[str, ValueNames] = field(default_factory=dict)
    undocumented_nots: frozenset[str] = frozenset()
    date_formats: Mapping[str, str] = field(default_factory=dict)
    platforms: PlatformField | None = None
    delivery: DeliverySpec | None = None
    tags: TagSpec | None = None
    sandbox: str | None = None
    problem_codes: Path | None = None

    def __post_init__(self) -> None:
        writable = {
            self.shape != EMPTY_SHAPE,
            self.emit != read_only_emit,
            self.target_ids != read_only_target_ids,
            self.max_ids > 0,
        }
        if len(writable) > 1 or writable == {bool(self.read_only_reason)}:
            raise TypeError(f"{self.name}: give either read_only_reason, or all of shape, emit, target_ids and max_ids")

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
