"""Segments of OneSignal's console: `included_segments`, a union of names, and `excluded_segments`, which win.

Only OneSignal knows who is in a segment, so its name is a reference. `All` is every subscriber.
"""

from collections.abc import Iterator, Sequence

from audience.errors import Problem
from audience.language.ast import Everyone, Expr, Not, Reference, all_of, and_terms, any_of, atoms, or_terms
from audience.language.printer import render
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.spec import Payload, Unsupported, VendorLimit

PAGE = "https://documentation.onesignal.com/reference/create-notification"
SEGMENT = "segment"  # kind of the references to segments
ALL = "All"
MISTAKEN_FOR_ALL = ("all", "all users", "all subscribers", "all subscriptions", "all devices", "everyone")
MAX_NAME_LENGTH = VendorLimit(128, "https://documentation.onesignal.com/reference/create-segments")


def parse_segments(included: PayloadCursor, excluded: PayloadCursor) -> Expr:
    """Parse the names of segments: any of *included*, none of *excluded*."""
    if not excluded.value:
        return _parse_names(included)
    if ALL in excluded.strings():
        excluded.fail("empty-target", "no subscriber is left without those of All")
    return all_of([_parse_names(included), Not(_parse_names(excluded))])


def _parse_names(cursor: PayloadCursor) -> Expr:
    if isinstance(cursor.value, str):
        cursor.fail("wrong-type", "expected a list, found a string", f'write ["{cursor.value}"]')
    names = cursor.strings()
    for name, item in zip(names, cursor.items(), strict=True):
        if name != ALL and name.strip().lower() in MISTAKEN_FOR_ALL:
            hint = f'every subscriber is ["{ALL}"]'
            item.fail("unknown-value", f"OneSignal has no segment {name!r} unless you have made one", hint)
        if MAX_NAME_LENGTH.is_exceeded_by(len(name)):
            item.warn(f"the name of a segment has {MAX_NAME_LENGTH.maximum} characters at most")
    if ALL in names:
        return Everyone()
    return any_of(Reference("onesignal", SEGMENT, name) for name in names)


def has_segments(expr: Expr) -> bool:
    """Return whether *expr* refers to a segment."""
    return any(_is_segment(atom) for atom in atoms(expr))


def emit_segments(expr: Expr) -> Payload:
    """Return the request for *expr*, a union of segments without others; raise Unsupported for anything else.

    >>> from audience.language.parser import parse
    >>> emit_segments(parse("reference(onesignal, segment, New) AND NOT reference(onesignal, segment, Paid)"))
    {'included_segments': ['New'], 'excluded_segments': ['Paid']}
    """
    terms = and_terms(expr)
    excluded = [term.term for term in terms if isinstance(term, Not)]
    unions = [term for term in terms if not isinstance(term, Not)]
    segments = [*excluded, *(segment for union in unions for segment in or_terms(union))]
    if len(unions) > 1 or not all(map(_is_segment, segments)):
        raise Unsupported(_mixture_problems(expr))
    if problems := list(_name_problems(segments)):
        raise Unsupported(problems)
    included = [_name(segment) for segment in or_terms(unions[0])] if unions else [ALL]
    return {"included_segments": included, **({"excluded_segments": list(map(_name, excluded))} if excluded else {})}


def _is_segment(expr: Expr) -> bool:
    return isinstance(expr, Reference) and expr.kind == SEGMENT


def _name(expr: Expr) -> str:
    return expr.value if isinstance(expr, Reference) else ""


def _mixture_problems(expr: Expr) -> Iterator[Problem]:
    """Yield a problem for each segment of an expression that is more than a union of segments without others."""
    for atom in atoms(expr):
        if _is_segment(atom):
            message = f"{render(atom)!r}: a request takes any of some segments and none of others, and nothing else"
            yield Problem("segments-alone", message, atom.span, hint="give it a meaning in the catalog")


def _name_problems(segments: Sequence[Expr]) -> Iterator[Problem]:
    for segment in segments:
        name, span = _name(segment), getattr(segment, "span", None)
        if MAX_NAME_LENGTH.is_exceeded_by(len(name)):
            message = f"the name {name!r} has {len(name)} characters; the maximum is {MAX_NAME_LENGTH.maximum}"
            yield Problem("too-long", message, span)
        elif name == ALL or name.strip().lower() in MISTAKEN_FOR_ALL:
            yield Problem("bad-reference", f"{name!r} is read as every subscriber", span, hint="write everyone")
