"""Pigeon Post, which does not exist: a list of flights, each the marks that a pigeon has, or has not (`!`)."""

from collections.abc import Iterator, Sequence
from typing import Any

from audience import And, Everyone, Expr, Ids, Limit, Not, Or, Problem, Tag, Unsaid, Vendor, all_of, any_of
from audience.algebra.fitting import fit
from audience.algebra.request_shape import Flat
from audience.language.ast import atoms
from audience.vendors.payload_reader import mapping, only, refuse, strings
from audience.vendors.spec import Payload

PAGE = "https://example.com/pigeon-post"
LIMITS = {"entries": Limit(12, PAGE), "rings": Limit(30, PAGE), "mark_characters": Limit(20, PAGE)}
SHAPE = Flat(entries=12)


def parse(payload: Any) -> Expr:
    """Read `{"flights": [["grey", "!old"]]}`, `{"rings": ["7"]}` or `{"flights": "all"}`."""
    letter = mapping(payload, "$")
    only(letter, ("flights", "rings"), "$")
    match letter:
        case {"flights": "all", **rest} if not rest:
            return Everyone()
        case {"flights": list(flights), **rest} if flights and not rest:
            return any_of(_flight(flight, f"$.flights[{at}]") for at, flight in enumerate(flights))
        case {"rings": rings, **rest} if not rest:
            names = strings(rings, "$.rings")
            if not 0 < len(names) <= 30:
                refuse("too-many", f"{len(names)} rings; from 1 to 30", "$.rings")
            return Ids("registration_id", tuple(names))
    refuse("empty-target", "expected flights or rings, not both", "$")


def _flight(flight: Any, path: str) -> Expr:
    marks = strings(flight, path)
    if not marks or "!" in marks:
        refuse("empty-target", "a flight has marks", path)
    return all_of(Not(Tag("tag", mark[1:])) if mark[0] == "!" else Tag("tag", mark) for mark in marks)


def emit(expr: Expr) -> Payload:
    """Say *expr* in one letter, or raise Unsaid with every reason."""
    if expr == Everyone():
        return {"flights": "all"}
    if isinstance(expr, Ids) and expr.kind == "registration_id" and len(expr.values) <= 30:
        return {"rings": list(expr.values)}
    problems = [problem for atom in atoms(expr) for problem in _problems(atom)]
    form = None if problems else fit(expr, SHAPE)
    if form is None:
        raise Unsaid(problems or [Problem("too-many", "no list of flights of at most 12 entries says it")])
    clauses = form.terms if isinstance(form, Or) else (form,)
    return {"flights": [list(map(_mark, clause.terms if isinstance(clause, And) else (clause,))) for clause in clauses]}


def _mark(leaf: Expr) -> str:
    return f"!{leaf.term.value}" if isinstance(leaf, Not) else leaf.value


def _problems(atom: Expr) -> Iterator[Problem]:
    if isinstance(atom, Tag):
        yield from unnamed(atom)
    else:
        yield Problem("no-such-id", "a flight has marks only, and a letter has at most 30 rings")


def unnamed(tag: Tag) -> Iterator[Problem]:
    """Why there is no mark for *tag*."""
    if tag.type != "tag" or tag.value.startswith("!") or len(tag.value) > 20:
        yield Problem("illegal-name", f"{tag.value!r} is no mark", tag.span)


def listing(ids: Sequence[str]) -> Payload:
    """A letter to at most 30 rings."""
    return {"rings": list(ids)}


VENDOR = Vendor(
    name="pigeon",
    title="Pigeon Post",
    page=PAGE,
    read_on="2026-11-21",
    fragment="any of several flights of marks and NOTs of marks; or rings",
    limits=LIMITS,
    known_by=("pigeon", "ring"),
    shape=SHAPE,
    unnamed=unnamed,
    parse=parse,
    emit=emit,
    listing=listing,
    batch=30,
)

CLOSED = Vendor(
    name="dovecote",
    title="Dovecote",
    page=PAGE,
    read_on="2026-11-21",
    fragment="the letters of Pigeon Post",
    limits=LIMITS,
    known_by=("dovecote",),
    parse=parse,
    reads_only="it was closed in 2019",
)
