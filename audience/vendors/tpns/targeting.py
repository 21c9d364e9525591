"""Targeting of Tencent TPNS v3: rules of items of tags, three levels, each with an operator and two with a NOT.

Source: https://www.tencentcloud.com/document/product/1024/33764, read 2026-11-21.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from audience.algebra.fitting import is_bounded
from audience.algebra.normal_forms import Clause, cnf, dnf, nnf
from audience.algebra.simplification import Junction, simplify
from audience.errors import ComplexityError, Problem
from audience.language.ast import (
    And,
    Atom,
    Compare,
    Everyone,
    Expr,
    Ids,
    Not,
    Or,
    Reference,
    Tag,
    Within,
    all_of,
    any_of,
    atoms,
    junction_terms,
    map_atoms,
)
from audience.language.attribute_names import TPNS_TYPES, UNTYPED
from audience.language.platforms import PLATFORM_TYPE
from audience.language.printer import render
from audience.language.suggest import did_you_mean
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.relative_times import assume_times
from audience.vendors.spec import Payload, Unsupported
from audience.vendors.tpns.id_lists import (
    LIST_KEYS_BY_TYPE,
    NEWEST_DEVICE,
    PACKAGE_TYPES,
    emit_accounts,
    emit_ids,
    emit_package,
    is_account_type,
    parse_ids,
    parse_package,
)
from audience.vendors.tpns.limits import LIMITS, VALUE_NAMES
from audience.vendors.value_names import read_values, spelling_problems

MAX_CLAUSES = 256  # ours: no page limits the rules, but a normal form can be exponentially larger
OPERATOR_NAMES: dict[Junction, str] = {And: "AND", Or: "OR"}
TAG_TYPES_BY_TYPE = {type_: name for name, type_ in TPNS_TYPES.items()}
DAY = re.compile("[0-9]{8}")
MAX_DAYS = 31  # ours: the windows of the console are of at most 30 days, and a month may have one more
MULTI_VALUED_TYPES = (UNTYPED, "active")  # TPNS keeps one value, the newest, of every other preset tag
MISPRINTS = {"xg_auto_verison": "xg_auto_version"}  # in sample 2 of the page
RULE_KEYS = ("tag_items", "operator", "is_not")
ITEM_KEYS = ("tags", "tags_operator", "is_not", "items_operator", "tag_type")


def parse(payload: Any) -> Expr:
    """Read a targeting object, or a whole request, whose other keys do not affect the audience.

    >>> from audience.language.printer import render
    >>> render(parse({"audience_type": "tag", "tag_list": {"tags": ["a", "b"], "op": "OR"}}))
    'a OR b'
    """
    request = PayloadCursor(payload).json_object()
    match request["audience_type"].value:
        case None:
            request.fail("missing-key", "missing key 'audience_type'", "all, tag, token_list, account_list, …")
        case "all":
            return Everyone()
        case "tag":
            return _parse_tag_push(request)
        case "token" | "token_list" | "account" | "account_list" as kind:
            return parse_ids(kind, request)
        case "package_account_push" | "package_token_push" as kind:
            return parse_package(kind, request)
        case unknown:
            hint = did_you_mean(str(unknown), ["all", "tag", "package_token_push", *LIST_KEYS_BY_TYPE])
            request["audience_type"].fail("unknown-value", f"unknown audience_type {unknown!r}", hint)


def _parse_tag_push(request: PayloadCursor) -> Expr:
    if "tag_rules" in request:
        if "tag_list" in request:
            request["tag_list"].warn("TPNS ignores tag_list beside tag_rules")
        return _parse_joined(request["tag_rules"], "operator", _parse_rule)
    if "tag_list" in request:
        return _parse_tag_list(request["tag_list"])
    request.fail("missing-key", "a tag push without tag_rules", "add tag_rules")


def _parse_tag_list(tag_list: PayloadCursor) -> Expr:
    """Read the old form: custom tags and one operator."""
    tag_list.only(("tags", "op"))
    names, limit = tag_list["tags"].strings(), LIMITS["tag_list_characters"]
    if limit.is_exceeded_by(size := sum(map(len, names))):
        tag_list.warn(f"the tags have {size} characters; TPNS takes at most {limit.maximum}")
    return _join_tags(tag_list, "op", [Tag(TPNS_TYPES["xg_user_define"], name) for name in names])


def _parse_joined(elements: PayloadCursor, key: str, parse_element: Callable[[PayloadCursor], Expr]) -> Expr:
    """Join each element to the ones before it by its own operator under *key*.

    AND binds tighter than OR, and the operator of the first element is ignored:
    a, OR b, AND c  is  a OR (b AND c)
    """
    unions: list[list[Expr]] = []
    for element in elements.items():
        term = parse_element(element)
        if unions and _parse_operator(element[key]) == "AND":
            unions[-1].append(term)
        else:
            unions.append([term])
    return any_of(map(all_of, unions))


def _warn_about_missing_keys(cursor: PayloadCursor, required_keys: Sequence[str]) -> None:
    """Warn of keys that TPNS requires, and whose absence leaves no doubt about the meaning."""
    if missing := [key for key in required_keys if key not in cursor]:
        cursor.warn(f"TPNS requires {', '.join(missing)}")


def _parse_rule(rule: PayloadCursor) -> Expr:
    rule.only(RULE_KEYS)
    _warn_about_missing_keys(rule, RULE_KEYS)
    expr = _parse_joined(rule["tag_items"], "items_operator", _parse_item)
    return Not(expr) if rule.get("is_not", False).boolean() else expr


def _parse_item(item: PayloadCursor) -> Expr:
    item.only(ITEM_KEYS)
    _warn_about_missing_keys(item, ITEM_KEYS)
    type_ = _parse_tag_type(item.require("tag_type", "xg_user_define for tags of your own"))
    tags = [Tag(type_, name) for name in item["tags"].strings()]
    _warn_about_values(tags, item)
    expr = read_values(_join_tags(item, "tags_operator", tags), VALUE_NAMES)
    return Not(expr) if item.get("is_not", False).boolean() else expr


def _warn_about_values(tags: Sequence[Tag], item: PayloadCursor) -> None:
    """Warn of values that no device of TPNS has."""
    for tag in tags:
        if tag.type == "active" and not DAY.fullmatch(tag.value):
            item["tags"].warn(f"{tag.value!r} is not a day like 20200408, so no device is active on it")
        elif LIMITS["tag_bytes"].is_exceeded_by(len(tag.value.encode())):
            item["tags"].warn(f"{tag.value!r} is longer than a tag of TPNS")
    is_single_valued = tags and tags[0].type not in MULTI_VALUED_TYPES
    if is_single_valued and len(set(tags)) > 1 and item["tags_operator"].value == "AND":
        item["tags"].warn(f"a device has one {tags[0].type}, so no device has all of {len(tags)}")


def _parse_tag_type(cursor: PayloadCursor) -> str:
    name = cursor.string()
    if name in MISPRINTS:
        cursor.warn(f"{name!r} is a misprint of {MISPRINTS[name]!r}, and is read as that")
        name = MISPRINTS[name]
    if name not in TPNS_TYPES:
        cursor.fail("unknown-value", f"unknown tag_type {name!r}", did_you_mean(name, TPNS_TYPES))
    return TPNS_TYPES[name]


def _join_tags(holder: PayloadCursor, key: str, tags: Sequence[Expr]) -> Expr:
    """Join the tags of one list by the operator under *key*, which a single tag does not need."""
    if not tags:
        holder["tags"].fail("empty-target", "an empty list of tags matches no device")
    if len(tags) == 1:
        return tags[0]
    return all_of(tags) if _parse_operator(holder[key]) == "AND" else any_of(tags)


def _parse_operator(cursor: PayloadCursor) -> str:
    if cursor.value not in ("AND", "OR"):
        cursor.fail("unknown-value", f"expected AND or OR, found {cursor.value!r}")
    return str(cursor.value)


def emit(expr: Expr) -> Payload:
    """Write *expr* as the targeting of one request, or raise Unsupported with every reason.

    One operator joins all rules, and one joins all items of a rule. So the payload means the same whichever
    operator binds tighter.

    >>> from audience.language.parser import parse
    >>> rules = emit(parse("(province:guangdong OR province:hunan) AND NOT male"))["tag_rules"]
    >>> [(item["tags"], item["is_not"], item["items_operator"]) for item in rules[0]["tag_items"]]
    [(['guangdong', 'hunan'], False, 'AND'), (['male'], True, 'AND')]
    """
    match expr:
        case Everyone():
            return {"audience_type": "all"}
        case Ids(kind="registration_id" | "account"):
            return emit_ids(expr)
        case Reference(value=value) if expr.kind in PACKAGE_TYPES and value.isascii() and value.isdecimal():
            return emit_package(expr)
        case And(terms=terms) if (accounts := emit_accounts(terms)) is not None:
            return accounts
    problems = list(_expr_problems(expr))
    if problems:
        raise Unsupported(problems)
    return {"audience_type": "tag", "tag_rules": _emit_shortest_rules(simplify(nnf(map_atoms(expr, view_atom))))}


def _expr_problems(expr: Expr) -> Iterator[Problem]:
    for atom in atoms(expr):
        match atom:
            case Tag() if view_atom(atom) != atom:  # a day of the question
                pass
            case Tag():
                yield from tag_problems(atom)
            case Ids(kind="alias" | "live_activity_id" as kind):
                yield Problem("no-such-id", f"TPNS has no {kind}", atom.span, hint="use accounts or tokens")
            case Ids(kind=kind):
                yield Problem("ids-with-tags", f"{kind} cannot be combined with anything else", atom.span)
            case Reference(kind="account_type") if not is_account_type(atom):
                message = f"{render(atom)}: a type of accounts is a whole number"
                yield Problem("bad-account-type", message, atom.span, hint="leave it out for 0, the default")
            case Reference(kind=kind):
                message = f"{render(atom)}: a {kind} cannot be combined with anything else"
                yield Problem("ids-with-tags", message, atom.span)
            case Within(type="active") if _is_iso_day(atom.day):
                if atom.days > MAX_DAYS:
                    message = f"{render(atom)!r} is a list of {atom.days:,} days at TPNS; the maximum is {MAX_DAYS}"
                    yield Problem("too-many", message, atom.span)
            case Compare() | Within():
                yield Problem("no-ranges", f"{render(atom)!r} is a comparison; TPNS has single values only", atom.span)


def _is_iso_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def view_atom(atom: Atom) -> Expr:
    """Return *atom* as the tags that TPNS has in its place: days of activity are a list of them.

    >>> render(view_atom(Within("active", 2, "2020-04-08")))
    'active:20200407 OR active:20200408'
    """
    if isinstance(atom, Tag) and atom.type == "active" and atom.written is not None and _is_iso_day(atom.value):
        return Tag(atom.type, _write_day(date.fromisoformat(atom.value)), span=atom.span)
    if not isinstance(atom, Within) or atom.type != "active" or not _is_iso_day(atom.day) or atom.days > MAX_DAYS:
        return atom
    last = date.fromisoformat(atom.day)
    count = min(atom.days, last.toordinal())  # there are no days before 0001-01-01
    days = [last - timedelta(days=days_ago) for days_ago in reversed(range(count))]
    return any_of(Tag(atom.type, _write_day(day), span=atom.span) for day in days)


def _write_day(day: date) -> str:
    return day.isoformat().replace("-", "")


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Find why TPNS has no name for *tag*."""
    yield from spelling_problems(tag, VALUE_NAMES, "TPNS")
    size, limit = len(tag.value.encode()), LIMITS["tag_bytes"]
    if tag.type == PLATFORM_TYPE:
        message = f"TPNS has no field for {render(tag)!r}: an AccessId is an application of one platform"
        yield Problem("no-platform", message, tag.span, hint="leave it out, and send by the AccessId of that platform")
    elif tag.type not in TAG_TYPES_BY_TYPE:
        hint = (
            did_you_mean(tag.type, TAG_TYPES_BY_TYPE)
            or f"give {tag.type} names in a catalog; TPNS has {', '.join(TAG_TYPES_BY_TYPE)}"
        )
        yield Problem("no-name", f"TPNS has no tag type for {render(tag)!r}", tag.span, hint=hint)
    elif tag.type == "active" and not DAY.fullmatch(tag.value):
        yield Problem("illegal-name", f"{render(tag)!r}: expected a day like 20200408", tag.span)
    elif limit.is_exceeded_by(size):
        yield Problem("name-too-long", f"{tag.value!r} takes {size} bytes; the maximum is {limit.maximum}", tag.span)


def _emit_shortest_rules(expr: Expr) -> list[Payload]:
    """Write a union of intersections or an intersection of unions, whichever takes fewer items."""
    forms: list[list[Payload]] = []
    problems: list[Problem] = []
    for form, outer, inner in ((dnf, Or, And), (cnf, And, Or)):
        try:
            clauses = form(expr, max_clauses=MAX_CLAUSES, is_leaf=_is_item).clauses
        except ComplexityError as error:
            problems += error.problems
        else:
            if not clauses or () in clauses:
                raise Unsupported(
                    [Problem("no-condition", "no rule expresses an audience that equals everyone or nobody")]
                )
            forms.append(_emit_rules(clauses, outer, inner))
    if not forms:
        raise Unsupported(problems)
    return min(forms, key=lambda rules: (sum(len(rule["tag_items"]) for rule in rules), len(rules)))


def _emit_rules(clauses: Sequence[Clause], outer: Junction, inner: Junction) -> list[Payload]:
    """Write one rule for each clause, but one for all single tags of the same type."""
    singles = _group_by_type([clause[0] for clause in clauses if len(clause) == 1], outer)
    groups = [[leaf] for leaf in singles] + [_group_by_type(clause, inner) for clause in clauses if len(clause) > 1]
    return [
        {"tag_items": [_emit_item(leaf, inner) for leaf in group], "operator": OPERATOR_NAMES[outer], "is_not": False}
        for group in groups
    ]


def _group_by_type(leaves: Sequence[Expr], junction: Junction) -> list[Expr]:
    """Join the single tags among *leaves* that have the same type, and likewise their NOTs."""
    groups: dict[Any, list[Expr]] = {}
    for leaf in leaves:
        match leaf:
            case Tag(type=type_):
                groups.setdefault((type_, True), []).append(leaf)
            case Not(term=Tag(type=type_)):
                groups.setdefault((type_, False), []).append(leaf)
            case _:
                groups[leaf] = [leaf]
    return [junction(tuple(group)) if len(group) > 1 else group[0] for group in groups.values()]


def _is_item(expr: Expr) -> bool:
    """Return whether one item can express *expr*: tags of one type, all of them with NOT or none."""
    terms = junction_terms(expr)
    return len({_item_key(term) for term in terms}) == 1 and None not in map(_item_key, terms)


def _item_key(term: Expr) -> tuple[str, bool] | None:
    match term:
        case Tag(type=type_):
            return type_, False
        case Not(term=Tag(type=type_)):
            return type_, True
    return None


def _emit_item(leaf: Expr, junction: Junction) -> Payload:
    """Write one element of tag_items; NOT a AND NOT b is written as the NOT of a OR b."""
    terms = junction_terms(leaf)
    is_not = isinstance(terms[0], Not)
    tags = [term.term if isinstance(term, Not) else term for term in terms]
    return {
        "tags": [tag.value for tag in tags if isinstance(tag, Tag)],
        "tags_operator": "AND" if isinstance(leaf, And) != is_not and len(tags) > 1 else "OR",
        "is_not": is_not,
        "items_operator": OPERATOR_NAMES[junction],
        "tag_type": TAG_TYPES_BY_TYPE[tags[0].type] if isinstance(tags[0], Tag) else "",
    }


def assumptions(expr: Expr) -> Iterator[Problem]:
    """Find what a request of *expr* takes for granted."""
    if not is_bounded(nnf(expr)):
        yield Problem("universe", "NOT and everyone refer to all devices registered with TPNS, not to your table")
    if NEWEST_DEVICE in atoms(expr):
        yield Problem("newest-device", "an account means the device that was bound to it last at TPNS")
    elif any(isinstance(atom, Ids) and atom.kind == "account" for atom in atoms(expr)):
        yield Problem("account", "an account means every device that is bound to it at TPNS")
    if any(view_atom(atom) != atom for atom in atoms(expr)):
        message = "the days of active begin at midnight in Beijing at TPNS, as those of the question should"
        yield Problem("vendor-days", message)
    yield from assume_times(expr, "TPNS")
    match simplify(nnf(expr)):
        case Ids(kind="account", values=values) if LIMITS["account_list"].is_exceeded_by(len(values)):
            message = f"{len(values):,} accounts are uploaded as a file before the push, as `audience send` does"
            yield Problem("package", message)
