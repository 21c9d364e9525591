"""Targets of Braze: a connected audience, a segment, users by their external ids, or users by aliases, alone.

https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_messages, read 2026-11-30. A request to an
audience or a segment has to say `broadcast`, one to users must not. All devices of a user get the message on the
platforms that it has content for; no filter asks for a platform.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.fitting import is_bounded
from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import Tree
from audience.errors import PayloadError, Problem
from audience.language.ast import (
    And,
    Atom,
    Between,
    Compare,
    Everyone,
    Expr,
    Has,
    Ids,
    Matches,
    Not,
    Or,
    Reference,
    Tag,
    all_of,
    any_of,
    atoms,
    or_terms,
    walk,
)
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.vendors.braze import filter_writing
from audience.vendors.braze.filter_reading import parse_filters
from audience.vendors.braze.names import (
    ATTRIBUTE,
    BUILTIN_KEYS,
    LIMITS,
    MAX_FILTERS,
    MAX_USERS,
    SEGMENT,
    USER_ALIAS,
)
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.relative_times import assume_times, split_range
from audience.vendors.spec import Payload, Restated, Unsupported, require_single_list

TARGET_KEYS = ("audience", "custom_audience", "segment_id", "external_user_ids", "user_aliases", "recipients")
RECIPIENT_KEYS = ("external_user_id", "user_alias", "email")
ALIAS_KEYS = ("alias_name", "alias_label")
BROADCAST = {"broadcast": True}
SHAPE = Tree(max_levels=20, max_tags=MAX_FILTERS, allows_unbounded_not=True)


# Reading. -----------------------------------------------------------------------------------------------------------


def parse(payload: Any) -> Expr:
    """Parse a whole request, or its `{"audience": …}`; a custom attribute is a tag of its name.

    The string value of a custom attribute, or a value in its list, is the value of the tag; true is an untyped tag.

    >>> from audience.language.printer import render
    >>> color = {"custom_attribute_name": "eye_color", "comparison": "equals", "value": "green"}
    >>> render(parse({"audience": {"AND": [{"custom_attribute": color}]}}))
    'eye_color:green'
    """
    request = PayloadCursor(payload).json_object()
    keys = [key for key in TARGET_KEYS if not request[key].is_absent]
    if not keys:
        return _parse_campaign(request)
    if len(keys) > 1 and keys != ["audience", "segment_id"]:
        message = f"{keys[1]} beside {keys[0]}: how they are joined is not documented"
        request[keys[1]].fail("second-target", message, "keep one of them")
    if len(keys) > 1:
        request["segment_id"].warn("the segment is taken to narrow the audience, which is not documented")
    _warn_about_campaign(request)
    return all_of(_parse_target(key, request[key]) for key in keys)


def _parse_campaign(request: PayloadCursor) -> Expr:
    """Parse a request without a target: with `broadcast`, it reaches the users of the campaign's own filters."""
    for key, kind in (("campaign_id", "campaign"), ("canvas_id", "canvas")):
        if request["broadcast"].value is True and not request[key].is_absent:
            request[key].warn("only a trigger of the campaign or Canvas itself reaches its users")
            return Reference("braze", kind, request[key].string())
    hint = 'the targeting object is {"audience": …}; a broadcast needs the campaign_id of its filters'
    request.fail("missing-key", "missing key 'audience'", hint)


def _warn_about_campaign(request: PayloadCursor) -> None:
    """Warn that a campaign's own filters narrow the audience; beside `messages` its id is for statistics only."""
    for key in ("campaign_id", "canvas_id"):
        if not request[key].is_absent and "messages" not in request:
            request[key].warn("filters of the campaign or Canvas at Braze narrow the audience further")


def _parse_target(key: str, target: PayloadCursor) -> Expr:
    match key:
        case "segment_id":
            return Reference("braze", SEGMENT, target.string())
        case "external_user_ids":
            return Ids("alias", tuple(_require_few(target, target.one_or_many())))
        case "user_aliases":
            aliases = target.items() if isinstance(target.value, list) else [target]
            return any_of(map(_parse_user_alias, _require_few(target, aliases)))
        case "recipients":
            return any_of(map(_parse_recipient, _require_few(target, target.items())))
    return parse_filters(target)


def _require_few(target: PayloadCursor, users: list[Any]) -> list[Any]:
    """Return the users of a list, and warn if Braze takes fewer."""
    limit = LIMITS["external_user_ids"]
    if limit.is_exceeded_by(len(users)):
        target.warn(f"{len(users)} users, of whom Braze takes at most {limit.maximum} in a request")
    return users


def _parse_user_alias(alias: PayloadCursor) -> Reference:
    """Return the reference of an alias: a name that is unique among those of one label."""
    for key in ALIAS_KEYS:
        alias.only(ALIAS_KEYS)[key].string()
    return Reference("braze", USER_ALIAS, alias.json_text())


def _parse_recipient(recipient: PayloadCursor) -> Expr:
    """Parse whom a recipient names; what else it has belongs to the message."""
    keys = [key for key in RECIPIENT_KEYS if not recipient[key].is_absent]
    match keys:
        case ["external_user_id"]:
            return Ids("alias", (recipient["external_user_id"].string(),))
        case ["user_alias"]:
            return _parse_user_alias(recipient["user_alias"])
        case ["email"]:
            recipient["email"].warn("only a trigger of a campaign or Canvas reaches a user by a mail address")
            return Reference("braze", "email", recipient["email"].string())
    recipient.fail("missing-key", f"expected one of {', '.join(RECIPIENT_KEYS)}, found {', '.join(keys) or 'none'}")


# Writing. -----------------------------------------------------------------------------------------------------------


def emit(expr: Expr) -> Payload:
    """Return the target of *expr*; raise Unsupported with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("alias(u1, u2)"))
    {'external_user_ids': ['u1', 'u2']}
    >>> emit(parse("push_subscription_status:opted_in"))["broadcast"]
    True
    """
    match _join_ids(expr):
        case Everyone():
            hint = "use a segment of all users, reference(braze, segment_id, …), or send by ids"
            raise Unsupported([Problem("no-broadcast", "Braze has no audience of all users", hint=hint)])
        case Ids(kind="alias") as users:
            return target_ids(require_single_list(users, MAX_USERS))
        case Reference(kind="segment_id", value=value):
            return {SEGMENT: value, **BROADCAST}
    if aliases := _list_aliases(expr):
        return {"user_aliases": aliases}
    if problems := list(dict.fromkeys([*_expr_problems(expr), *_size_problems(expr)])):
        raise Unsupported(problems)
    return {"audience": _emit_node(expr), **BROADCAST}


def target_ids(ids: Sequence[str]) -> Payload:
    """Return the target of at most 50 users by their external ids."""
    return {"external_user_ids": list(ids)}


def _join_ids(expr: Expr) -> Expr:
    """Join a union of lists of external ids to one list; return any other expression as it is."""
    lists = [term for term in or_terms(expr) if isinstance(term, Ids) and term.kind == "alias"]
    if len(lists) < max(2, len(or_terms(expr))):
        return expr
    return Ids("alias", tuple(dict.fromkeys(value for each in lists for value in each.values)), span=lists[0].span)


def _list_aliases(expr: Expr) -> list[Payload]:
    """Return the aliases of a union of users that are named so; an empty list if *expr* is something else."""
    terms = or_terms(expr)
    references = [term for term in terms if isinstance(term, Reference) and term.kind == USER_ALIAS]
    if len(references) < len(terms) or LIMITS["user_aliases"].is_exceeded_by(len(references)):
        return []
    aliases = [_load(reference) for reference in references]
    are_read = all(_is_read_back(each) for each in references)
    return aliases if are_read else []


def _load(reference: Reference) -> Any:
    """Return the JSON that *reference* holds, or None."""
    try:
        return json.loads(reference.value)
    except (ValueError, RecursionError):
        return None


def _is_read_back(reference: Reference) -> bool:
    """Return whether a payload with what *reference* holds is read as it."""
    held = _load(reference)
    payload = {"user_aliases": [held]} if reference.kind == USER_ALIAS else {"audience": {ATTRIBUTE: held}}
    try:
        return parse(payload) == reference
    except PayloadError:
        return False


def _emit_node(expr: Expr) -> Payload:
    match expr:
        case And(terms=terms):
            return {"AND": [_emit_node(term) for term in terms]}
        case Or(terms=terms):
            return {"OR": [_emit_node(term) for term in terms]}
        case Not(term=Tag() | Compare() | Between() | Has() | Matches() as atom):
            return filter_writing.emit_opposite(atom)
        case Tag() | Compare() | Between() | Has() | Matches():
            return filter_writing.emit_filter(expr)
        case Reference():
            return {ATTRIBUTE: _load(expr)}
    raise AssertionError(f"checked by _expr_problems: {expr!r}")


def _expr_problems(expr: Expr) -> Iterator[Problem]:
    """Yield why parts of *expr* cannot be in a connected audience, each with and without its NOT."""
    negated = {node.term for node in walk(expr) if isinstance(node, Not)}
    plain = _list_plain_atoms(expr)
    for atom in atoms(expr):
        match atom:
            case Ids(kind="alias", span=span):
                yield Problem("ids-with-tags", "alias cannot be combined with anything else", span)
            case Ids(kind=kind, span=span):
                message = f"Braze has no id of the kind {kind}: it sends to users"
                yield Problem("no-such-id", message, span, hint="name them by alias")
            case Reference():
                yield from _reference_problems(atom, is_negated=atom in negated)
            case Tag() | Compare() | Between() | Has() | Matches():
                if atom in plain:
                    yield from filter_writing.atom_problems(atom)
                if atom in negated:
                    yield from filter_writing.atom_problems(atom, is_negated=True)


def _list_plain_atoms(expr: Expr) -> set[Expr]:
    """Return the atoms of *expr* that are somewhere without NOT."""
    match expr:
        case And(terms=terms) | Or(terms=terms):
            return set[Expr]().union(*map(_list_plain_atoms, terms))
        case Not():
            return set()
    return {expr}


def _reference_problems(reference: Reference, *, is_negated: bool) -> Iterator[Problem]:
    label = f"{render(reference)!r:.100}"
    if reference.kind in (SEGMENT, USER_ALIAS):
        message = f"{label}: no page of Braze says how it is joined with a connected audience"
        yield Problem("not-combined", message, reference.span, hint="send it in a request of its own")
    elif reference.kind != ATTRIBUTE or not _is_read_back(reference):
        message = f"{label} names nothing that a request with a message reaches"
        hint = f"one of {SEGMENT}, {USER_ALIAS}, {ATTRIBUTE}, as a payload has it"
        yield Problem("bad-reference", message, reference.span, hint=hint)
    elif is_negated:
        message = f"NOT {label}: only Braze knows what it matches, and it has no NOT"
        yield Problem("not-over-reference", message, reference.span)


def _size_problems(expr: Expr) -> Iterator[Problem]:
    count = sum(not isinstance(node, And | Or | Not) for node in walk(expr))
    if count > MAX_FILTERS:
        yield Problem("too-many", f"{count} filters; more than {MAX_FILTERS} are taken to be too complex for Braze")


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Yield the reasons why Braze cannot have *tag*."""
    yield from filter_writing.atom_problems(tag)


def view_atom(atom: Atom) -> Expr:
    """Return *atom* as the conditions that Braze has in its place: of numbers, less is not more, of a value.

    >>> render(view_atom(Compare("age", "<", "18")))
    'has(age) AND NOT age >= 18'
    """
    match atom:
        case Compare(operator="<" | "<=" as operator, value=value) if _is_own_number(atom.type, value):
            opposite = Compare(atom.type, filter_writing.OPPOSITES[operator], value)
            return all_of([Has(atom.type), Not(opposite)])
        case Between(type=type_, low=low, high=high) if _is_own_number(type_, low) and _is_own_number(type_, high):
            return all_of(map(view_atom, split_range(atom)))
    return atom


def _is_own_number(type_: str, value: str) -> bool:
    return type_ not in BUILTIN_KEYS and filter_writing.parse_number(value) is not None


def restate(payload: Any) -> Restated | None:
    """Return the audience of *payload* as it is, whose arrays and cases no expression keeps; None for other targets.

    >>> flat = {"custom_attribute_name": "a", "comparison": "does_not_equal", "value": True}
    >>> restate({"audience": {"custom_attribute": flat}}).payload["audience"]["custom_attribute"]["comparison"]
    'not_equal'
    """
    request = PayloadCursor(payload).json_object()
    keys = [key for key in TARGET_KEYS if not request[key].is_absent]
    if keys != ["audience"] or not request["campaign_id"].is_absent or not request["canvas_id"].is_absent:
        return None
    return Restated({"audience": _restate_node(request["audience"].value), **BROADCAST})


def _restate_node(node: Any) -> Any:
    """Return a filter with the word that Braze takes when it sends: its page has one that fails."""
    match node:
        case dict():
            inner = {key: _restate_node(value) for key, value in node.items()}
            return inner | ({"comparison": "not_equal"} if node.get("comparison") == "does_not_equal" else {})
        case list():
            return [_restate_node(each) for each in node]
    return node


# Assumptions. -------------------------------------------------------------------------------------------------------


def assumptions(expr: Expr) -> Iterator[Problem]:
    """Yield what a request for *expr* takes for granted."""
    used = atoms(expr)
    named = any(isinstance(atom, Ids | Reference) for atom in used)
    if any(isinstance(atom, Ids) for atom in used):
        yield Problem("account", "an alias is an external id and matches every device of that user at Braze")
    if not named and not is_bounded(nnf(expr)):
        yield Problem("universe", "NOT refers to all users at Braze, not to your table")
    if any(isinstance(atom, Tag) and atom.type == UNTYPED for atom in used):
        yield Problem("keys", "an untyped tag is a custom attribute of that name at Braze, a Boolean that is true")
    own = [atom for atom in used if isinstance(atom, Tag | Compare | Between | Has | Matches)]
    own = [atom for atom in own if atom.type not in BUILTIN_KEYS and atom.type != UNTYPED]
    if names := ", ".join(sorted({atom.type for atom in own})):
        message = f"{names} at Braze: custom attributes with at most one value a user, and no arrays"
        yield Problem("one-value", message)
    if names := ", ".join(sorted({atom.type for atom in own if _has_number(atom)})):
        yield Problem("numbers", f"the values of {names} are numbers at Braze")
    yield from assume_times(expr, "Braze", lambda atom: filter_writing.find_days(atom) is not None)


def _has_number(atom: Atom) -> bool:
    match atom:
        case Tag(value=value) | Compare(value=value) | Between(low=value):
            return filter_writing.parse_number(value) is not None
    return False
