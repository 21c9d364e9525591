"""Xiaomi Push: at most five topics and one operator, or ids. It has topics in the place of tags.

https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559: only its beginning could be read, on 2026-11-21, which
names the paths; the rest by the class com.xiaomi.xmpush.server.Sender of Xiaomi's own SDK.

A targeting object is named after the last part of the path it is posted to, /v3/message/multi_topic, and holds the
form's fields: `{"multi_topic": {"topics": "a;$;b", "topic_op": "UNION"}}`.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl

from audience.algebra.fitting import fit
from audience.algebra.request_shape import Operator
from audience.errors import Problem
from audience.language.ast import (
    And,
    Compare,
    Everyone,
    Expr,
    IdKind,
    Ids,
    Not,
    Or,
    Tag,
    Within,
    all_of,
    any_of,
    atoms,
    bare,
)
from audience.language.attribute_names import BARE
from audience.language.printer import render
from audience.vendors.payload_reader import between_commas, limited, load, mapping, only, refuse, string
from audience.vendors.spec import SPACE, Limit, Payload, Unsaid, Vendor, one_list

PAGE = "https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559"

LIMITS = {"topics": Limit(5, PAGE), "ids": Limit(None, PAGE)}  # of topics by the SDK: BROADCAST_TOPIC_MAX
MOST_IDS = 1_000  # of no page that could be read; what others who use it send at the most
BETWEEN = ";$;"  # topics; a name that holds it could not be told from two
FORBIDDEN = ";$,"  # in a name, though no page says which are legal
SHAPE = Operator(names=5)
FIELDS: dict[str, IdKind] = {"registration_id": "registration_id", "alias": "alias", "user_account": "account"}
PATHS = {"registration_id": "regid", "alias": "alias", "user_account": "user_account"}  # by the field they take
TARGETS = (*FIELDS, "topic", "topics")
ONCE = ("topic", "topics", "topic_op")
WANTED = {path: field for field, path in PATHS.items()} | {"topic": "topic", "multi_topic": "topics"}


def parse(payload: Any) -> Expr:
    """Read `{"multi_topic": {…}}`, or the fields of a form, as an object or as the text that is posted.

    >>> from audience.language.printer import render
    >>> render(parse({"multi_topic": {"topics": "a;$;b;$;c", "topic_op": "EXCEPT"}}))
    'a AND NOT b AND NOT c'
    >>> parse("title=t&description=d&registration_id=r1%2Cr2")
    Ids(kind='registration_id', values=('r1', 'r2'))
    >>> parse("title=t&alias=u1&alias=u2")
    Ids(kind='alias', values=('u1', 'u2'))
    """
    request = mapping(_form(payload) if isinstance(payload, str) else payload, "$")
    named = [path for path in (*WANTED, "all") if isinstance(request.get(path), dict)]
    if not named:
        return _fields(request, "$")
    [path] = named if len(named) == 1 else refuse("two-targets", f"{' and '.join(named)} stand side by side", "$")
    only(request, [path], "$")
    fields = mapping(request[path], f"$.{path}")
    if path == "all":
        if found := [key for key in TARGETS if key in fields]:
            refuse("unknown-key", f"{found[0]} says nothing here", f"$.all.{found[0]}")
        return Everyone()
    if WANTED[path] not in fields:
        refuse("missing-key", f"/v3/message/{path} takes {WANTED[path]}", f"$.{path}", f"add {WANTED[path]}")
    return _fields(fields, f"$.{path}")


def _form(text: str) -> Any:
    """The fields of a form that is posted, or of JSON; several fields of ids of one name are one list."""
    if text.lstrip().startswith(("{", "[", '"')):
        return load(text)
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        refuse("bad-text", f"the form is not written in UTF-8: {error}", "$")
    fields: dict[str, str] = {}
    for key, value in pairs:
        if key in fields and key in FIELDS:
            value = f"{fields[key]},{value}"
        elif key in fields and key in ONCE:
            refuse("ambiguous", f"{key} stands twice: no page says which of the two counts", f"$.{key}")
        fields[key] = value
    return fields


def _fields(fields: Payload, path: str) -> Expr:
    found = [key for key in TARGETS if key in fields]
    if not found:
        refuse("missing-key", f"there is none of {', '.join(TARGETS)}", path, 'for everyone write {"all": {}}')
    if len(found) > 1:
        refuse("two-targets", f"{' and '.join(found)} stand side by side", path, "a request has one target")
    [key] = found
    place = f"{path}.{key}"
    match key:
        case "topic":
            return _topic(string(fields[key], place), place)
        case "topics":
            topics = [_topic(name, place) for name in string(fields[key], place).split(BETWEEN)]
            return _joined(topics, fields.get("topic_op"), place, f"{path}.topic_op")
    return Ids(FIELDS[key], tuple(between_commas(fields[key], place)))


def _topic(name: str, path: str) -> Tag:
    if not name.strip(SPACE):
        refuse("empty-name", "an empty text names nothing", path)
    if BETWEEN in name:
        refuse("illegal-name", f"{name!r}: {BETWEEN} stands between topics", path, "that is topics with a topic_op")
    return bare(name)


def _joined(topics: list[Tag], operator: Any, path: str, operator_path: str) -> Expr:
    """EXCEPT is the difference: the first topic without the later ones."""
    limited(LIMITS["topics"], len(topics), "topics", path)
    match operator:
        case "UNION":
            return any_of(topics)
        case "INTERSECTION":
            return all_of(topics)
        case "EXCEPT":
            return all_of([topics[0], *map(Not, topics[1:])])
    refuse("unknown-value", f"no operator is called {operator!r}", operator_path, "UNION, INTERSECTION or EXCEPT")


def emit(expr: Expr) -> Payload:
    """Say *expr* in one request, or raise Unsaid with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("NOT b AND a AND NOT c"))
    {'multi_topic': {'topics': 'a;$;b;$;c', 'topic_op': 'EXCEPT'}}
    """
    match expr:
        case Everyone():
            return {"all": {}}
        case Ids(kind="registration_id" | "alias" | "account"):
            return _said_ids(expr)
    problems = [problem for atom in atoms(expr) for problem in _problems(atom)]
    form = None if problems else fit(expr, SHAPE)
    if form is None:
        said = f"a request joins at most {SHAPE.names} topics with one operator: all OR, all AND, or one AND NOT others"
        raise Unsaid(problems or [Problem("one-operator", said)])
    return _said(form)


def _said(form: Expr) -> Payload:
    """The tag without NOT comes first: the others are taken from it."""
    match form:
        case Tag(value=value):
            return {"topic": {"topic": value}}
        case And(terms=terms) | Or(terms=terms):
            wanted = [term.value for term in terms if isinstance(term, Tag)]
            unwanted = [term.term.value for term in terms if isinstance(term, Not) and isinstance(term.term, Tag)]
            operator = "UNION" if isinstance(form, Or) else "EXCEPT" if unwanted else "INTERSECTION"
            return {"multi_topic": {"topics": BETWEEN.join([*wanted, *unwanted]), "topic_op": operator}}
    raise AssertionError(f"checked by fit: {form!r}")


def _said_ids(expr: Ids) -> Payload:
    problems = [problem for value in expr.values if (problem := VENDOR.uncarriable(value))]
    field = next(field for field, kind in FIELDS.items() if kind == expr.kind)
    return {PATHS[field]: {field: ",".join(one_list(expr, MOST_IDS, problems))}}


def _problems(atom: Expr) -> Iterator[Problem]:
    match atom:
        case Tag():
            yield from unnamed(atom)
        case Ids(kind="live_activity_id"):
            yield Problem("no-such-id", "Xiaomi knows no live_activity_id", atom.span)
        case Ids(kind=kind):
            yield Problem("ids-with-tags", f"{kind} cannot be combined with anything else", atom.span)
        case Compare() | Within():
            yield Problem("no-ranges", f"{render(atom)!r} compares; Xiaomi has topics only", atom.span)


def unnamed(tag: Tag) -> Iterator[Problem]:
    """Why Xiaomi has no topic for *tag*."""
    if tag.type != BARE:
        message = f"Xiaomi has no topic for {render(tag)!r}: topics have no types"
        yield Problem("no-name", message, tag.span, hint=f"give {tag.type} names in a catalog")
    elif any(char in tag.value for char in FORBIDDEN) or tag.value != tag.value.strip():
        hint = f"no {' '.join(FORBIDDEN)} and no outer white space: {BETWEEN} stands between topics"
        yield Problem("illegal-name", f"{tag.value!r} is no topic that surely works", tag.span, hint=hint)


def conditions(expr: Expr) -> Iterator[Problem]:
    """What a request that says *expr* takes for granted."""
    found = atoms(expr)
    if any(isinstance(atom, Tag) for atom in found):
        yield Problem("topics", "whoever has a tag has subscribed to the topic of its name, and nobody else has")
    if any(isinstance(atom, Ids) and atom.kind in ("alias", "account") for atom in found):
        yield Problem("account", "an alias or account stands for every device that has set it at Xiaomi")
    if expr == Everyone():
        yield Problem("universe", "everyone is every device that Xiaomi knows for the app")


def listing(ids: Sequence[str]) -> Payload:
    """The targeting object of at most 1,000 registration ids."""
    return {"regid": {"registration_id": ",".join(ids)}}


VENDOR = Vendor(
    name="xiaomi",
    title="Xiaomi Push (Mi Push, v3)",
    page=PAGE,
    read_on="2026-11-21",
    fragment="any of ≤ 5 topics, or all of them, or one without the others; or ids, alone",
    limits=LIMITS,
    known_by=("xiaomi", "regid"),
    shape=SHAPE,
    unnamed=unnamed,
    conditions=conditions,
    parse=parse,
    emit=emit,
    listing=listing,
    batch=MOST_IDS,
    id_forbids=",",
)
