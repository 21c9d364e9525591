"""Targeting that EngageLab and JPush share: an OR-list, an AND-list and a NOT-list of tags, and lists of ids."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audience.algebra.request_shape import Slots
from audience.errors import Problem
from audience.language.ast import (
    And,
    Compare,
    Expr,
    IdKind,
    Ids,
    Not,
    Or,
    Reference,
    Tag,
    Within,
    all_of,
    and_terms,
    any_of,
    atoms,
    bare,
)
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.span import Span
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.platform_field import PlatformField
from audience.vendors.shared.platform_words import read_platform_word
from audience.vendors.spec import Payload, Unsupported, VendorLimit

TAG_KEYS = ("tag", "tag_and", "tag_not")
LIST_KEYS = (*TAG_KEYS, "alias", "registration_id")


@dataclass(frozen=True, slots=True)
class TagListDialect:
    """Lists of one vendor.

    Attributes:
        title: Name in messages.
        shape: Combinations of tags that one request can express.
        id_kinds: Kinds of ids that have a list.
        limits: Largest length of each list, and largest size of a name under `tag_bytes` and `alias_bytes`.
        legal_pattern: Regular expression of a legal tag or alias.
        legal_hint: Hint for a name that does not match it.
        references: Kinds of references, each with the function that writes one under the key of that name.
    """

    title: str
    shape: Slots
    id_kinds: tuple[IdKind, ...]
    limits: Mapping[str, VendorLimit]
    legal_pattern: str
    legal_hint: str
    references: Mapping[str, Callable[[str], Any]]


def read_tag_lists(lists: PayloadCursor, limits: Mapping[str, VendorLimit], dialect: TagListDialect) -> list[Expr]:
    """Read one term for each list; an empty list counts as absent. A list may have a limit among *limits*.

    A name that the vendor refuses is read with a warning.
    """
    terms: list[Expr] = []
    for key in LIST_KEYS:
        cursor = lists[key]
        if cursor.is_absent:
            continue
        names = cursor.strings()
        if key in limits:
            cursor.check_limit(limits[key], len(names), "names")
        for name in names if key != "registration_id" else ():
            for problem in _name_problems("alias" if key == "alias" else "tag", name, None, dialect):
                cursor.warn(f"{problem.message}; the vendor refuses it")
        terms.append(_list_term(key, names))
    if not lists["live_activity_id"].is_absent:
        terms.append(Ids("live_activity_id", (lists["live_activity_id"].string(),)))
    return terms


def _list_term(key: str, names: Sequence[str]) -> Expr:
    match key:
        case "tag":
            return any_of(map(bare, names))
        case "tag_and":
            return all_of(map(bare, names))
        case "tag_not":
            return Not(any_of(map(bare, names)))
        case "alias":
            return Ids("alias", tuple(names))
    return Ids("registration_id", tuple(names))


def read_platforms(platforms: PayloadCursor, field: PlatformField) -> Iterator[Expr]:
    """Yield the platforms that narrow a request, in any case, unless they are absent or contain `all`."""
    if platforms.value is None:
        return
    names = platforms.one_or_many()
    if "all" not in map(str.lower, names):
        yield any_of(read_platform_word(name, platforms, field) for name in names)


def write_tag_lists(expr: Expr, dialect: TagListDialect) -> Payload:
    """Write *expr* as lists, none of them empty, and references, or raise Unsupported with every reason."""
    terms = and_terms(expr)
    lists = _fill_lists(terms, dialect)
    problems = [problem for term in terms for problem in _placement_problems(term, dialect)]
    problems += [
        *_duplicate_list_problems(terms, dialect),
        *_illegal_name_problems(expr, dialect),
        *_list_length_problems(lists, dialect),
    ]
    references = {term.kind: term.value for term in terms if isinstance(term, Reference)}
    if not dialect.shape.allows_unbounded_not and lists.keys() | references.keys() == {"tag_not"}:
        hint = "AND it with a tag that all of them have"
        problems.append(Problem("not-alone", "tag_not cannot be used alone", hint=hint))
    if problems:
        raise Unsupported(problems)
    written = {kind: dialect.references[kind](value) for kind, value in references.items()}
    return {**lists, **_write_activity(lists), **written}


def _write_activity(lists: Mapping[str, Sequence[str]]) -> Payload:
    """Return the one live activity, which is not in a list."""
    return {"live_activity_id": lists["live_activity_id"][0]} if "live_activity_id" in lists else {}


def _fill_lists(terms: Sequence[Expr], dialect: TagListDialect) -> dict[str, list[str]]:
    """Put each term of an intersection into its list; of several terms for one list, only the first."""
    lists: dict[str, list[str]] = {key: [] for key in (*TAG_KEYS, *dialect.id_kinds)}
    for term in terms:
        match term:
            case Tag(value=value):
                lists["tag_and"].append(value)
            case Not(term=Tag(value=value)):
                lists["tag_not"].append(value)
            case Or(terms=operands) if not lists["tag"]:
                lists["tag"] += [tag.value for tag in operands if isinstance(tag, Tag)]
            case Ids(kind=kind, values=values) if kind in dialect.id_kinds and not lists[kind]:
                lists[kind] += values
    fills_and_list = 1 < len(lists["tag_and"]) <= dialect.shape.max_all_of
    if lists["tag_and"] and not lists["tag"] and not fills_and_list:
        lists["tag"].append(lists["tag_and"].pop(0))  # an OR-list of one name is that name
    return {key: names for key, names in lists.items() if names}


def _placement_problems(term: Expr, dialect: TagListDialect) -> Iterator[Problem]:
    """Find why no list can hold *term*."""
    match term:
        case Compare() | Within() | Not(term=Compare() | Within()):
            span = getattr(term.term if isinstance(term, Not) else term, "span", None)
            yield Problem("no-ranges", f"{render(term)!r} is a comparison; {dialect.title} has tags only", span)
        case Not(term=Ids(span=span) | Reference(span=span)):
            yield Problem("not-over-ids", f"{render(term)!r}: tag_not excludes tags only", span)
        case Reference(kind=kind, span=span) if kind not in dialect.references:
            known = ", ".join(dialect.references)
            yield Problem("unknown-reference", f"{dialect.title} has no {kind}", span, hint=f"it has {known}")
        case Ids(kind=kind, span=span) if kind not in dialect.id_kinds:
            yield Problem("no-such-id", f"{dialect.title} has no {kind}", span, hint="use aliases")
        case Or(terms=operands):
            for operand in operands:
                if not isinstance(operand, Tag):
                    yield Problem("or-of-others", f"{render(operand)!r} inside OR: {_explain_or_operand(operand)}")
                    for inner in and_terms(operand):
                        yield from _placement_problems(inner, dialect)


def _explain_or_operand(operand: Expr) -> str:
    match operand:
        case And():
            return "one request cannot hold a union of intersections"
        case Not():
            return "NOT can only narrow the whole request"
        case Ids() | Reference():
            return "ids narrow tags, they do not add to them"
    return "the OR-list holds tags only"


def _duplicate_list_problems(terms: Sequence[Expr], dialect: TagListDialect) -> Iterator[Problem]:
    """Yield a problem for each kind of list that occurs twice, as one request holds only one of a kind."""
    kinds = ["OR" if isinstance(term, Or) else term.kind for term in terms if isinstance(term, Or | Ids | Reference)]
    for kind in ("OR", *dialect.id_kinds, *dialect.references):
        count = kinds.count(kind)
        if count > 1:
            yield Problem("second-list", f"{count} {kind} lists are joined by AND; one request holds one")


def _illegal_name_problems(expr: Expr, dialect: TagListDialect) -> Iterator[Problem]:
    for atom in atoms(expr):
        match atom:
            case Tag():
                yield from tag_problems(atom, dialect)
            case Ids(kind="alias", values=values, span=span):
                for value in values:
                    yield from _name_problems("alias", value, span, dialect)


def tag_problems(tag: Tag, dialect: TagListDialect) -> Iterator[Problem]:
    """Find why the vendor has no name for *tag*."""
    if tag.type != UNTYPED:
        message = f"{dialect.title} has no name for {render(tag)!r}: its tags have no types"
        yield Problem("no-name", message, tag.span, hint=f"give {tag.type} names in a catalog")
    else:
        yield from _name_problems("tag", tag.value, tag.span, dialect)


def _name_problems(kind: str, name: str, span: Span | None, dialect: TagListDialect) -> Iterator[Problem]:
    """Find why *name* is not a legal name of a tag or an alias, which have the same rules."""
    size, limit = len(name.encode()), dialect.limits[f"{kind}_bytes"]
    if not re.fullmatch(dialect.legal_pattern, name):
        yield Problem("illegal-name", f"{name!r} is not a legal {dialect.title} {kind}", span, hint=dialect.legal_hint)
    elif limit.is_exceeded_by(size):
        yield Problem("name-too-long", f"{name!r} takes {size} bytes; the maximum is {limit.maximum}", span)


def _list_length_problems(lists: Mapping[str, Sequence[str]], dialect: TagListDialect) -> Iterator[Problem]:
    for key, names in lists.items():
        limit = dialect.limits[key]
        if limit.is_exceeded_by(len(names)):
            yield Problem("too-many", f"{len(names)} names in {key}; the maximum is {limit.maximum}")
