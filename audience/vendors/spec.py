"""What a vendor is: one frozen record of facts and functions, made in the vendor's own file."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import EMPTY_SHAPE, RequestShape
from audience.algebra.simplify import simplify
from audience.errors import Problem
from audience.language.ast import Atom, Expr, Ids, Nobody, Sample, Segment, Split, Tag, atoms
from audience.language.printer import render
from audience.vendors.delivery_spec import DeliverySpec
from audience.vendors.delivery_spec import Payload as Payload

WHITESPACE = " \t\r\n\u00a0\u3000"  # white space around an id between commas, which is no part of it


class Unsupported(Exception):
    """A vendor cannot say an expression in one request; *problems* has every reason."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        super().__init__(*self.problems)


@dataclass(frozen=True, slots=True)
class Limit:
    """A number that the vendor sets, and the page that says so; None where no page does."""

    maximum: int | None
    source: str

    def is_exceeded_by(self, count: int) -> bool:
        return self.maximum is not None and count > self.maximum


def read_only_emit(expr: Expr) -> Payload:
    """The `emit` of a vendor that is only read from."""
    raise Unsupported([Problem("reads-only", f"{render(expr)!r} cannot be said to a vendor that is only read from")])


def read_only_target_ids(ids: Sequence[str]) -> Payload:
    """The `listing` of a vendor that is only read from."""
    raise Unsupported([Problem("reads-only", f"{len(ids)} ids cannot be told to a vendor that is only read from")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One push vendor: where it is described, what it can say, and how its payloads are read and written.

    *reads_only* is why nothing is sent there: its payloads are read, to be said to others. Such a vendor has no
    *shape*, *emit*, *listing* or *batch*, any other has all of them.

    *shape* is what one request can say of tags, and *unnamed* why a tag has no name here; *conditions* are what a
    payload takes for granted where it says an expression.
    *emit* says an expression in one request or raises Unsaid. It is handed expressions simplified, with NOT over atoms
    alone, and never what no vendor says: nobody, shares and segments are refused before. *parse* is its inverse and
    raises PayloadError;
    *listing* is the targeting object of at most *batch* ids; *uncarriable* tells why an id cannot be listed.
    *types* are its own words for types of tags, and *days* is how it writes the days of attributes of its own, both in
    the patterns of a catalog. *any_type* tells that its tags have types as ours do: there a catalog writes TYPE:VALUE.
    *delivery* is how it is sent to, where that is known.
    *known_by* are the columns of a device table that hold this vendor's ids, best first.

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
    limits: dict[str, Limit]
    id_columns: tuple[str, ...]
    parse: Callable[[Any], Expr]
    read_only_reason: str = ""
    shape: RequestShape = EMPTY_SHAPE
    tag_problems: Callable[[Tag], Iterable[Problem]] = lambda tag: ()
    assumptions: Callable[[Expr], Iterable[Problem]] = lambda expr: ()
    emit: Callable[[Expr], Payload] = read_only_emit
    target_ids: Callable[[Sequence[str]], Payload] = read_only_target_ids
    max_ids: int = 0
    max_id_length: int | None = None
    forbidden_id_chars: str = ""
    type_aliases: Mapping[str, str] = field(default_factory=dict)
    has_typed_tags: bool = False
    date_formats: Mapping[str, str] = field(default_factory=dict)
    delivery: DeliverySpec | None = None

    def __post_init__(self) -> None:
        speaks = {
            self.shape != EMPTY_SHAPE,
            self.emit != read_only_emit,
            self.target_ids != read_only_target_ids,
            self.max_ids > 0,
        }
        if len(speaks) > 1 or speaks == {bool(self.read_only_reason)}:
            raise TypeError(f"{self.name}: either reads_only, or all of shape, emit, listing and batch")
        if not self.read_only_reason:
            object.__setattr__(self, "emit", _guard_emit(self.emit, self.title))

    def id_problem(self, identifier: str) -> Problem | None:
        """Why *identifier* cannot stand in this vendor's lists, or None."""
        return find_id_problem(identifier, self.max_id_length, self.forbidden_id_chars)


def find_id_problem(identifier: str, max_length: int | None, forbidden_chars: str = "") -> Problem | None:
    """Why *identifier* cannot stand in lists of ids of at most *length* characters, without any of *forbids*."""
    if max_length is not None and len(identifier) > max_length:
        return Problem("id-too-long", f"{identifier!r} has {len(identifier)} characters; {max_length} is the most")
    if forbidden_chars and identifier != identifier.strip(WHITESPACE):
        return Problem("id-outer-space", f"{identifier!r} begins or ends with white space, which its lists lose")
    for char in forbidden_chars:
        if char in identifier:
            return Problem(
                "id-forbidden-character", f"{identifier!r} contains {char!r}, which cannot stand in its lists"
            )
    return None


def require_single_list(ids: Ids, max_ids: int | None, problems: Iterable[Problem] = ()) -> list[str]:
    """What *ids* lists; Unsaid with *problems*, those of the ids, and where they are more than *most*."""
    found = list(problems)
    if max_ids is not None and len(ids.values) > max_ids:
        found.append(Problem("too-many", f"{len(ids.values)} ids; {max_ids} is the most", ids.span))
    if found:
        raise Unsupported(found)
    return list(ids.values)


def _guard_emit(emit: Callable[[Expr], Payload], title: str) -> Callable[[Expr], Payload]:
    """*emit* for every expression: a vendor's own one might say a part of one that it cannot say, or everyone."""

    def emit_guarded(expr: Expr) -> Payload:
        expr = simplify(nnf(expr))
        if expr == Nobody():
            raise Unsupported([Problem("nobody", "a request to nobody cannot be written", hint="send nothing")])
        if any(isinstance(atom, Segment | Sample | Split) for atom in atoms(expr)):
            raise Unsupported(problem for atom in atoms(expr) for problem in _atom_problems(atom, emit, title))
        return emit(expr)

    return emit_guarded


def _atom_problems(atom: Atom, emit: Callable[[Expr], Payload], title: str) -> Iterable[Problem]:
    """Why a vendor cannot say *atom*, with nothing beside it."""
    match atom:
        case Segment():
            message = f"{title} does not know what is saved as {render(atom)}"
            return [Problem("no-segment", message, atom.span, hint="give the index that it is saved in")]
        case Sample() | Split():
            message = f"{render(atom)!r}: {title} cannot take a share of devices by their ids"
            return [Problem("no-sample", message, atom.span)]
    try:
        emit(atom)
    except Unsupported as unsaid:
        return unsaid.problems
    return []
