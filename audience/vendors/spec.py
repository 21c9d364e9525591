"""What a vendor is: one frozen record of facts and functions, made in the vendor's own file."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import NOTHING, Shape
from audience.algebra.simplify import simplify
from audience.errors import Problem
from audience.language.ast import Atom, Expr, Ids, Nobody, Sample, Segment, Split, Tag, atoms
from audience.language.printer import render
from audience.vendors.delivery_spec import Delivery
from audience.vendors.delivery_spec import Payload as Payload

SPACE = " \t\r\n\u00a0\u3000"  # white space around an id between commas, which is no part of it


class Unsaid(Exception):
    """A vendor cannot say an expression in one request; *problems* has every reason."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        super().__init__(*self.problems)


@dataclass(frozen=True, slots=True)
class Limit:
    """A number that the vendor sets, and the page that says so; None where no page does."""

    most: int | None
    source: str

    def exceeded_by(self, count: int) -> bool:
        return self.most is not None and count > self.most


def says_nothing(expr: Expr) -> Payload:
    """The `emit` of a vendor that is only read from."""
    raise Unsaid([Problem("reads-only", f"{render(expr)!r} cannot be said to a vendor that is only read from")])


def lists_nothing(ids: Sequence[str]) -> Payload:
    """The `listing` of a vendor that is only read from."""
    raise Unsaid([Problem("reads-only", f"{len(ids)} ids cannot be told to a vendor that is only read from")])


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

    >>> facts = {"page": "https://example.com", "read_on": "2026-11-21", "fragment": "all", "limits": {}}
    >>> pager = Vendor(name="pager", title="Pager", known_by=("pager",), parse=Tag, reads_only="it is no more", **facts)
    >>> pager.shape, pager.batch
    (Operator(names=0, lone_not=False), 0)
    """

    name: str
    title: str
    page: str
    read_on: str
    fragment: str
    limits: dict[str, Limit]
    known_by: tuple[str, ...]
    parse: Callable[[Any], Expr]
    reads_only: str = ""
    shape: Shape = NOTHING
    unnamed: Callable[[Tag], Iterable[Problem]] = lambda tag: ()
    conditions: Callable[[Expr], Iterable[Problem]] = lambda expr: ()
    emit: Callable[[Expr], Payload] = says_nothing
    listing: Callable[[Sequence[str]], Payload] = lists_nothing
    batch: int = 0
    id_length: int | None = None
    id_forbids: str = ""
    types: Mapping[str, str] = field(default_factory=dict)
    any_type: bool = False
    days: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery | None = None

    def __post_init__(self) -> None:
        speaks = {self.shape != NOTHING, self.emit != says_nothing, self.listing != lists_nothing, self.batch > 0}
        if len(speaks) > 1 or speaks == {bool(self.reads_only)}:
            raise TypeError(f"{self.name}: either reads_only, or all of shape, emit, listing and batch")
        if not self.reads_only:
            object.__setattr__(self, "emit", _guarded(self.emit, self.title))

    def uncarriable(self, identifier: str) -> Problem | None:
        """Why *identifier* cannot stand in this vendor's lists, or None."""
        return uncarriable(identifier, self.id_length, self.id_forbids)


def uncarriable(identifier: str, length: int | None, forbids: str = "") -> Problem | None:
    """Why *identifier* cannot stand in lists of ids of at most *length* characters, without any of *forbids*."""
    if length is not None and len(identifier) > length:
        return Problem("id-too-long", f"{identifier!r} has {len(identifier)} characters; {length} is the most")
    if forbids and identifier != identifier.strip(SPACE):
        return Problem("id-outer-space", f"{identifier!r} begins or ends with white space, which its lists lose")
    for char in forbids:
        if char in identifier:
            return Problem(
                "id-forbidden-character", f"{identifier!r} contains {char!r}, which cannot stand in its lists"
            )
    return None


def one_list(ids: Ids, most: int | None, problems: Iterable[Problem] = ()) -> list[str]:
    """What *ids* lists; Unsaid with *problems*, those of the ids, and where they are more than *most*."""
    found = list(problems)
    if most is not None and len(ids.values) > most:
        found.append(Problem("too-many", f"{len(ids.values)} ids; {most} is the most", ids.span))
    if found:
        raise Unsaid(found)
    return list(ids.values)


def _guarded(emit: Callable[[Expr], Payload], title: str) -> Callable[[Expr], Payload]:
    """*emit* for every expression: a vendor's own one might say a part of one that it cannot say, or everyone."""

    def said(expr: Expr) -> Payload:
        expr = simplify(nnf(expr))
        if expr == Nobody():
            raise Unsaid([Problem("nobody", "a request to nobody cannot be written", hint="send nothing")])
        if any(isinstance(atom, Segment | Sample | Split) for atom in atoms(expr)):
            raise Unsaid(problem for atom in atoms(expr) for problem in _alone(atom, emit, title))
        return emit(expr)

    return said


def _alone(atom: Atom, emit: Callable[[Expr], Payload], title: str) -> Iterable[Problem]:
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
    except Unsaid as unsaid:
        return unsaid.problems
    return []
