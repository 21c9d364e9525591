"""What EngageLab and JPush, its sibling, share: an OR-list, an AND-list and a NOT-list of tags, and lists of ids."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from audience.algebra.request_shape import Slots
from audience.errors import Problem
from audience.language.ast import And, Compare, Expr, IdKind, Ids, Not, Or, Tag, Within, all_of, any_of, atoms, bare
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.span import Span
from audience.vendors.payload_reader import check_limit, read_strings
from audience.vendors.spec import Limit, Payload, Unsupported

TAG_KEYS = ("tag", "tag_and", "tag_not")
LIST_KEYS = (*TAG_KEYS, "alias", "registration_id")


@dataclass(frozen=True, slots=True)
class TagListDialect:
    """A vendor of lists: what its tags can say in one request, its lists of ids, its limits, and its legal names.

    *limits* are those of each list, and of the bytes of a tag and of an alias; *letters* says which names are *legal*.
    """

    title: str
    shape: Slots
    id_kinds: tuple[IdKind, ...]
    limits: Mapping[str, Limit]
    legal_pattern: str
    legal_hint: str


def read_tag_lists(lists: Payload, path: str, limits: Mapping[str, Limit]) -> list[Expr]:
    """What the *lists* under *path* say, each within its limit if it has one; an empty one counts as absent."""
    said = []
    for key in LIST_KEYS:
        names, place = read_strings(lists.get(key, []), f"{path}.{key}"), f"{path}.{key}"
        if key in limits:
            check_limit(limits[key], len(names), "names", place)
        match key:
            case "tag" if names:
                said.append(any_of(map(bare, names)))
            case "tag_and" if names:
                said.append(all_of(map(bare, names)))
            case "tag_not" if names:
                said.append(Not(any_of(map(bare, names))))
            case "alias" | "registration_id" if names:
                said.append(Ids(key, tuple(names)))
    return said


def write_tag_lists(expr: Expr, dialect: TagListDialect) -> dict[str, list[str]]:
    """The lists that say *expr*, none of them empty, or Unsaid with every reason."""
    terms = expr.terms if isinstance(expr, And) else (expr,)
    lists = _fill_lists(terms, dialect)
    problems = [problem for term in terms for problem in _placement_problems(term, dialect)]
    problems += [
        *_duplicate_list_problems(terms, dialect),
        *_illegal_name_problems(expr, dialect),
        *_list_length_problems(lists, dialect),
    ]
    if not dialect.shape.allows_unbounded_not and lists.keys() == {"tag_not"}:
        hint = "AND it with a tag that all of them have"
        problems.append(Problem("not-alone", "tag_not cannot be used alone", hint=hint))
    if problems:
        raise Unsupported(problems)
    return lists


def _fill_lists(terms: Sequence[Expr], dialect: TagListDialect) -> dict[str, list[str]]:
    """Put each term of an intersection into the list that says it; of several for one list the first."""
    lists: dict[str, list[str]] = {key: [] for key in (*TAG_KEYS, *dialect.id_kinds)}
    for term in terms:
        match term:
            case Tag(value=value):
                lists["tag_and"].append(value)
            case Not(term=Tag(value=value)):
                lists["tag_not"].append(value)
            case Or(terms=inner) if not lists["tag"]:
                lists["tag"] += [tag.value for tag in inner if isinstance(tag, Tag)]
            case Ids(kind=kind, values=values) if kind in dialect.id_kinds and not lists[kind]:
                lists[kind] += values
    several = 1 < len(lists["tag_and"]) <= dialect.shape.max_all_of
    if lists["tag_and"] and not lists["tag"] and not several:
        lists["tag"].append(lists["tag_and"].pop(0))  # an OR-list of one name is that name
    return {key: names for key, names in lists.items() if names}


def _placement_problems(term: Expr, dialect: TagListDialect) -> Iterator[Problem]:
    """Why no list says *term*."""
    match term:
        case Compare() | Within() | Not(term=Compare() | Within()):
            span = getattr(term.term if isinstance(term, Not) else term, "span", None)
            yield Problem("no-ranges", f"{render(term)!r} compares; {dialect.title} has tags only", span)
        case Not(term=Ids(span=span)):
            yield Problem("not-over-ids", f"{render(term)!r}: tag_not excludes tags only", span)
        case Ids(kind=kind, span=span) if kind not in dialect.id_kinds:
            yield Problem("no-such-id", f"{dialect.title} knows no {kind}", span, hint="name them by alias")
        case Or(terms=terms):
            for inner in terms:
                if not isinstance(inner, Tag):
                    message = f"{render(inner)!r} stands inside an OR; {_explain_or_operand(inner)}"
                    yield Problem("or-of-others", message)
                    for each in inner.terms if isinstance(inner, And) else (inner,):
                        yield from _placement_problems(each, dialect)


def _explain_or_operand(inner: Expr) -> str:
    match inner:
        case And():
            return "a union of intersections has no place in one request"
        case Not():
            return "NOT can only narrow the whole request"
        case Ids():
            return "ids narrow tags, they do not add to them"
    return "the OR-list holds tags only"


def _duplicate_list_problems(terms: Sequence[Expr], dialect: TagListDialect) -> Iterator[Problem]:
    """Lists of which one request holds only one."""
    kinds = ["OR" if isinstance(term, Or) else term.kind for term in terms if isinstance(term, Or | Ids)]
    for what in ("OR", *dialect.id_kinds):
        count = kinds.count(what)
        if count > 1:
            yield Problem("second-list", f"{count} {what} lists are joined by AND; one request holds one")


def _illegal_name_problems(expr: Expr, dialect: TagListDialect) -> Iterator[Problem]:
    for atom in atoms(expr):
        match atom:
            case Tag():
                yield from tag_problems(atom, dialect)
            case Ids(kind="alias", values=values, span=span):
                for value in values:
                    yield from _name_problems("alias", value, span, dialect)


def tag_problems(tag: Tag, dialect: TagListDialect) -> Iterator[Problem]:
    """Why there is no name for *tag*."""
    if tag.type != UNTYPED:
        message = f"{dialect.title} has no name for {render(tag)!r}: its tags have no types"
        yield Problem("no-name", message, tag.span, hint=f"give {tag.type} names in a catalog")
    else:
        yield from _name_problems("tag", tag.value, tag.span, dialect)


def _name_problems(kind: str, name: str, span: Span | None, dialect: TagListDialect) -> Iterator[Problem]:
    """Tags and aliases are spelt alike."""
    size, limit = len(name.encode()), dialect.limits[f"{kind}_bytes"]
    if not re.fullmatch(dialect.legal_pattern, name):
        yield Problem("illegal-name", f"{name!r} is no legal {dialect.title} {kind}", span, hint=dialect.legal_hint)
    elif limit.is_exceeded_by(size):
        yield Problem("name-too-long", f"{name!r} takes {size} bytes; {limit.maximum} is the most", span)


def _list_length_problems(lists: Mapping[str, Sequence[str]], dialect: TagListDialect) -> Iterator[Problem]:
    for key, names in lists.items():
        limit = dialect.limits[key]
        if limit.is_exceeded_by(len(names)):
            yield Problem("too-many", f"{len(names)} names in {key}; {limit.maximum} is the most")
