"""Targeting of Xiaomi Push: at most five topics and one operator, or ids. Topics serve as tags.

https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559: only the beginning of the page was readable, on
2026-11-21, which names the paths; the rest comes from the class com.xiaomi.xmpush.server.Sender of Xiaomi's own SDK,
and the largest number of ids in a call from a page of Tencent Cloud on the manufacturers' channels.

A targeting object is named after the last part of the path it is posted to, /v3/message/multi_topic, and holds the
form's fields: `{"multi_topic": {"topics": "a;$;b", "topic_op": "UNION"}}`.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl

from audience.algebra.fitting import fit_to_shape
from audience.algebra.request_shape import SingleOperator
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
    negated_tag,
)
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.vendors.payload_reader import PayloadCursor, load_json
from audience.vendors.spec import (
    WHITESPACE,
    Payload,
    Unsupported,
    VendorLimit,
    find_id_problem,
    require_single_list,
)

PAGE = "https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559"

QPS_PAGE = "https://cloud.tencent.com/document/product/548/41407"  # which quotes Xiaomi's page pId=1656
MAX_IDS = 1_000
LIMITS = {"topics": VendorLimit(5, PAGE), "ids": VendorLimit(MAX_IDS, QPS_PAGE)}  # topics: BROADCAST_TOPIC_MAX
FORBIDDEN_ID_CHARS = ","  # which separates ids
TOPIC_SEPARATOR = ";$;"  # between topics; not allowed in a name
FORBIDDEN_CHARS = ";$,"  # in a name; the legal characters are not documented
SHAPE = SingleOperator(max_tags=5)
ID_KINDS_BY_FIELD: dict[str, IdKind] = {
    "registration_id": "registration_id",
    "alias": "alias",
    "user_account": "account",
}
PATHS_BY_FIELD = {
    "registration_id": "regid",
    "alias": "alias",
    "user_account": "user_account",
}  # by the field that they take
TARGET_KEYS = (*ID_KINDS_BY_FIELD, "topic", "topics")
UNREPEATABLE_FIELDS = ("topic", "topics", "topic_op")
FIELDS_BY_PATH = {path: field for field, path in PATHS_BY_FIELD.items()} | {"topic": "topic", "multi_topic": "topics"}


def parse(payload: Any) -> Expr:
    """Parse `{"multi_topic": {…}}`, or the fields of a form, as an object or as posted text.

    >>> from audience.language.printer import render
    >>> render(parse({"multi_topic": {"topics": "a;$;b;$;c", "topic_op": "EXCEPT"}}))
    'a AND NOT b AND NOT c'
    >>> parse("title=t&description=d&registration_id=r1%2Cr2")
    Ids(kind='registration_id', values=('r1', 'r2'))
    >>> parse("title=t&alias=u1&alias=u2")
    Ids(kind='alias', values=('u1', 'u2'))
    """
    request = PayloadCursor(_parse_form(payload) if isinstance(payload, str) else payload)
    paths = [path for path in (*FIELDS_BY_PATH, "all") if isinstance(request[path].value, dict)]
    if not paths:
        return _parse_fields(request)
    if len(paths) > 1:
        request.fail("two-targets", f"{' and '.join(paths)} cannot be combined")
    path = paths[0]
    fields = request.only([path])[path]
    if path == "all":
        if keys := [key for key in TARGET_KEYS if key in fields]:
            fields[keys[0]].fail("unknown-key", f"{keys[0]} has no meaning here")
        return Everyone()
    field = FIELDS_BY_PATH[path]
    if field not in fields:
        fields.fail("missing-key", f"/v3/message/{path} takes {field}", f"add {field}")
    return _parse_fields(fields)


def _parse_form(text: str) -> Any:
    """Return the fields of a posted form, or of JSON; repeated id fields of one name form one list."""
    if text.lstrip().startswith(("{", "[", '"')):
        return load_json(text)
    form = PayloadCursor(dict[str, str]())
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        form.fail("bad-text", f"the form is not UTF-8: {error}")
    for key, value in pairs:
        if key in form and key in ID_KINDS_BY_FIELD:
            value = f"{form.value[key]},{value}"
        elif key in form and key in UNREPEATABLE_FIELDS:
            form[key].fail("ambiguous", f"{key} is repeated: which of the two counts is not documented")
        form.value[key] = value
    return form.value


def _parse_fields(fields: PayloadCursor) -> Expr:
    keys = fields.present_keys(TARGET_KEYS)
    if not keys:
        hint = 'for everyone write {"all": {}}'
        fields.fail("missing-key", f"expected one of {', '.join(TARGET_KEYS)}", hint)
    if len(keys) > 1:
        fields.fail("two-targets", f"{' and '.join(keys)} cannot be combined", "a request has one target")
    target = fields[keys[0]]
    match keys[0]:
        case "topic":
            return _parse_topic(target.string(), target)
        case "topics":
            topics = [_parse_topic(name, target) for name in target.string().split(TOPIC_SEPARATOR)]
            target.check_limit(LIMITS["topics"], len(topics), "topics")
            return _join_topics(topics, fields["topic_op"])
        case key:
            return Ids(ID_KINDS_BY_FIELD[key], tuple(target.split_commas()))


def _parse_topic(name: str, target: PayloadCursor) -> Tag:
    if not name.strip(WHITESPACE):
        target.fail("empty-name", "expected a name, found an empty string")
    if TOPIC_SEPARATOR in name:
        message = f"{name!r}: {TOPIC_SEPARATOR} separates topics"
        target.fail("illegal-name", message, "that is topics with a topic_op")
    if any(char in name for char in FORBIDDEN_CHARS) or name != name.strip():
        target.warn(f"{name!r} may not work as a topic")
    return bare(name)


def _join_topics(topics: list[Tag], operator: PayloadCursor) -> Expr:
    """Join topics by *operator*; EXCEPT is the difference, the first topic without the later ones."""
    match operator.value:
        case "UNION":
            return any_of(topics)
        case "INTERSECTION":
            return all_of(topics)
        case "EXCEPT":
            return all_of([topics[0], *map(Not, topics[1:])])
    operator.fail("unknown-value", f"unknown operator {operator.value!r}", "UNION, INTERSECTION or EXCEPT")


def emit(expr: Expr) -> Payload:
    """Return the request for *expr*; raise Unsupported with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("NOT b AND a AND NOT c"))
    {'multi_topic': {'topics': 'a;$;b;$;c', 'topic_op': 'EXCEPT'}}
    """
    match expr:
        case Everyone():
            return {"all": {}}
        case Ids(kind="registration_id" | "alias" | "account"):
            return _emit_ids(expr)
    problems = [problem for atom in atoms(expr) for problem in _atom_problems(atom)]
    form = None if problems else fit_to_shape(expr, SHAPE)
    if form is None:
        message = (
            f"a request joins at most {SHAPE.max_tags} topics with one operator: all OR, all AND, or one AND NOT others"
        )
        raise Unsupported(problems or [Problem("one-operator", message)])
    return _emit_topics(form)


def _emit_topics(form: Expr) -> Payload:
    """Return the topics of *form*; the one without NOT comes first, as EXCEPT subtracts the others."""
    match form:
        case Tag(value=value):
            return {"topic": {"topic": value}}
        case And(terms=terms) | Or(terms=terms):
            wanted = [term.value for term in terms if isinstance(term, Tag)]
            unwanted = [tag.value for term in terms if (tag := negated_tag(term))]
            operator = "UNION" if isinstance(form, Or) else "EXCEPT" if unwanted else "INTERSECTION"
            return {"multi_topic": {"topics": TOPIC_SEPARATOR.join([*wanted, *unwanted]), "topic_op": operator}}
    raise AssertionError(f"checked by fit_to_shape: {form!r}")


def _emit_ids(expr: Ids) -> Payload:
    problems = [problem for value in expr.values if (problem := find_id_problem(value, None, FORBIDDEN_ID_CHARS))]
    field = next(field for field, kind in ID_KINDS_BY_FIELD.items() if kind == expr.kind)
    return {PATHS_BY_FIELD[field]: {field: ",".join(require_single_list(expr, MAX_IDS, problems))}}


def _atom_problems(atom: Expr) -> Iterator[Problem]:
    match atom:
        case Tag():
            yield from tag_problems(atom)
        case Ids(kind="live_activity_id"):
            yield Problem("no-such-id", "Xiaomi has no live_activity_id", atom.span)
        case Ids(kind=kind):
            yield Problem("ids-with-tags", f"{kind} cannot be combined with anything else", atom.span)
        case Compare() | Within():
            yield Problem("no-ranges", f"{render(atom)!r} is a comparison; Xiaomi has topics only", atom.span)


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Yield the reasons why Xiaomi has no topic for *tag*."""
    if tag.type != UNTYPED:
        message = f"Xiaomi has no topic for {render(tag)!r}: topics are untyped"
        yield Problem("no-name", message, tag.span, hint=f"give {tag.type} names in a catalog")
    elif any(char in tag.value for char in FORBIDDEN_CHARS) or tag.value != tag.value.strip():
        hint = f"avoid {' '.join(FORBIDDEN_CHARS)} and outer white space: {TOPIC_SEPARATOR} separates topics"
        yield Problem("illegal-name", f"{tag.value!r} is not a safe topic name", tag.span, hint=hint)


def assumptions(expr: Expr) -> Iterator[Problem]:
    """Yield what a request for *expr* takes for granted."""
    found = atoms(expr)
    if any(isinstance(atom, Tag) for atom in found):
        yield Problem("topics", "devices with a tag have subscribed to the topic of its name, and no others have")
    if any(isinstance(atom, Ids) and atom.kind in ("alias", "account") for atom in found):
        yield Problem("account", "an alias or account matches every device that has set it at Xiaomi")
    if expr == Everyone():
        yield Problem("universe", "everyone refers to all devices registered with Xiaomi for the app")


def target_ids(ids: Sequence[str]) -> Payload:
    """Return the targeting object of at most 1,000 registration ids."""
    return {"regid": {"registration_id": ",".join(ids)}}
