"""Pigeon Post, a made-up vendor: a list of flights, each with marks that its pigeons have, or do not have (`!`)."""

from collections.abc import Iterator, Sequence
from typing import Any

from audience import Everyone, Expr, Ids, Not, Problem, Tag, Unsupported, Vendor, VendorLimit, all_of, any_of
from audience.algebra.fitting import fit_to_shape
from audience.algebra.request_shape import FlatDnf
from audience.language.ast import and_terms, atoms, or_terms
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.spec import Payload

PAGE = "https://example.com/pigeon-post"
LIMITS = {"entries": VendorLimit(12, PAGE), "rings": VendorLimit(30, PAGE), "mark_characters": VendorLimit(20, PAGE)}
SHAPE = FlatDnf(max_entries=12)


def parse(payload: Any) -> Expr:
    """Read `{"flights": [["grey", "!old"]]}`, `{"rings": ["7"]}` or `{"flights": "all"}`."""
    letter = PayloadCursor(payload).only(("flights", "rings"))
    match letter.object():
        case {"flights": "all", **others} if not others:
            return Everyone()
        case {"flights": list(flights), **others} if flights and not others:
            return any_of(map(_parse_flight, letter["flights"].items()))
        case {"rings": _, **others} if not others:
            names = letter["rings"].strings()
            if not 0 < len(names) <= 30:
                letter["rings"].fail("too-many", f"expected 1 to 30 rings, found {len(names)}")
            return Ids("registration_id", tuple(names))
    letter.fail("empty-target", "expected flights or rings, not both")


def _parse_flight(flight: PayloadCursor) -> Expr:
    marks = flight.strings()
    if not marks or "!" in marks:
        flight.fail("empty-target", "a flight has marks")
    return all_of(Not(Tag("tag", mark[1:])) if mark[0] == "!" else Tag("tag", mark) for mark in marks)


def emit(expr: Expr) -> Payload:
    """Write *expr* as one letter, or raise Unsupported with every reason."""
    if expr == Everyone():
        return {"flights": "all"}
    if isinstance(expr, Ids) and expr.kind == "registration_id" and len(expr.values) <= 30:
        return {"rings": list(expr.values)}
    problems = [problem for atom in atoms(expr) for problem in _atom_problems(atom)]
    form = None if problems else fit_to_shape(expr, SHAPE)
    if form is None:
        raise Unsupported(problems or [Problem("too-many", "it takes more than 12 entries of flights")])
    clauses = or_terms(form)
    return {"flights": [list(map(_format_mark, and_terms(clause))) for clause in clauses]}


def _format_mark(leaf: Expr) -> str:
    return f"!{leaf.term.value}" if isinstance(leaf, Not) else leaf.value


def _atom_problems(atom: Expr) -> Iterator[Problem]:
    if isinstance(atom, Tag):
        yield from tag_problems(atom)
    else:
        yield Problem("no-such-id", "a flight has marks only, and a letter at most 30 rings")


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Find why there is no mark for *tag*."""
    if tag.type != "tag" or tag.value.startswith("!") or len(tag.value) > 20:
        yield Problem("illegal-name", f"{tag.value!r} is not a legal mark", tag.span)


def target_ids(ids: Sequence[str]) -> Payload:
    """Write a letter to at most 30 rings."""
    return {"rings": list(ids)}


VENDOR = Vendor(
    name="pigeon",
    title="Pigeon Post",
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    fragment="any of several flights of marks and NOTs of marks; or rings",
    limits=LIMITS,
    id_columns=("pigeon", "ring"),
    supported=frozenset({Tag, Ids}),
    shape=SHAPE,
    tag_problems=tag_problems,
    parse=parse,
    emit=emit,
    target_ids=target_ids,
    max_ids=30,
)

CLOSED = Vendor(
    name="dovecote",
    title="Dovecote",
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    fragment="the letters of Pigeon Post",
    limits=LIMITS,
    id_columns=("dovecote",),
    parse=parse,
    read_only_reason="it was closed in 2019",
)
