"""Tencent TPNS v3: rules of items of tags, three levels, each with an operator and two with a NOT.

https://www.tencentcloud.com/document/product/1024/33764, read 2026-11-21.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from audience.algebra.fitting import is_bounded
from audience.algebra.normal_forms import Clause, cnf, dnf, nnf
from audience.algebra.simplify import Junction, simplify
from audience.errors import ComplexityError, Problem
from audience.language.ast import And, Compare, Everyone, Expr, Ids, Not, Or, Tag, Within, all_of, any_of, atoms
from audience.language.attribute_names import TPNS_TYPES
from audience.language.printer import render
from audience.language.suggest import did_you_mean
from audience.vendors.payload_reader import (
    fail,
    read_items,
    read_json_object,
    read_object,
    read_string,
    read_strings,
    reject_unknown_keys,
    warn_payload,
)
from audience.vendors.spec import Payload, Unsupported
from audience.vendors.tpns.id_lists import LIST_KEYS_BY_TYPE, emit_ids, parse_ids, parse_package
from audience.vendors.tpns.limits import LIMITS

MAX_CLAUSES = 256  # ours: no page limits the rules, but a normal form can be exponentially long
OPERATOR_NAMES: dict[Junction, str] = {And: "AND", Or: "OR"}
TAG_TYPES_BY_TYPE = {house: word for word, house in TPNS_TYPES.items()}
MISPRINTS = {"xg_auto_verison": "xg_auto_version"}  # in sample 2 of the page
RULE_KEYS = ("tag_items", "operator", "is_not")
ITEM_KEYS = ("tags", "tags_operator", "is_not", "items_operator", "tag_type")


def parse(payload: Any) -> Expr:
    """Read a targeting object, or a whole request: its other keys say nothing about who is meant.

    >>> from audience.language.printer import render
    >>> render(parse({"audience_type": "tag", "tag_list": {"tags": ["a", "b"], "op": "OR"}}))
    'a OR b'
    """
    request = read_json_object(payload)
    match request.get("audience_type"):
        case None:
            fail("missing-key", "there is no 'audience_type'", "$", "all, tag, token_list, account_list, …")
        case "all":
            return Everyone()
        case "tag" if "tag_rules" in request:
            if "tag_list" in request:
                warn_payload("TPNS ignores tag_list beside tag_rules", "$.tag_list")
            return _parse_rules(request["tag_rules"])
        case "tag" if "tag_list" in request:
            return _parse_tag_list(request["tag_list"])
        case "tag":
            fail("missing-key", "a tag push without tag_rules", "$", "add tag_rules")
        case "token" | "token_list" | "account" | "account_list" as kind:
            return parse_ids(kind, request)
        case "package_account_push" | "package_token_push" as kind:
            return parse_package(kind, request)
        case other:
            hint = did_you_mean(str(other), ["all", "tag", "package_token_push", *LIST_KEYS_BY_TYPE])
            fail("unknown-value", f"no audience_type is called {other!r}", "$.audience_type", hint)


def _parse_tag_list(value: Any) -> Expr:
    """The old form: custom tags and one operator."""
    old = read_object(value, "$.tag_list")
    reject_unknown_keys(old, ("tags", "op"), "$.tag_list")
    names = read_strings(old.get("tags"), "$.tag_list.tags")
    tags = [Tag(TPNS_TYPES["xg_user_define"], name) for name in names]
    return _join_tags(old, "op", tags, "$.tag_list")


def _parse_rules(value: Any) -> Expr:
    return _parse_elements(value, "operator", _parse_rule, "$.tag_rules")


def _parse_rule(rule: Payload, path: str) -> Expr:
    reject_unknown_keys(rule, RULE_KEYS, path)
    whole = _parse_elements(rule.get("tag_items"), "items_operator", _parse_item, f"{path}.tag_items")
    return Not(whole) if _parse_is_not(rule, path) else whole


def _parse_elements(value: Any, key: str, parse_element: Callable[[Payload, str], Expr], path: str) -> Expr:
    """Join each element by its own operator to what stands before: AND first, the first one's is ignored."""
    unions: list[list[Expr]] = []
    for element, place in read_items(value, path):
        term = parse_element(read_object(element, place), place)
        if unions and _parse_operator(element, key, place) == "AND":
            unions[-1].append(term)
        else:
            unions.append([term])
    return any_of(map(all_of, unions))


def _parse_item(item: Payload, path: str) -> Expr:
    reject_unknown_keys(item, ITEM_KEYS, path)
    type_ = _parse_tag_type(item, path)
    tags = [Tag(type_, name) for name in read_strings(item.get("tags"), f"{path}.tags")]
    whole = _join_tags(item, "tags_operator", tags, path)
    return Not(whole) if _parse_is_not(item, path) else whole


def _parse_tag_type(item: Payload, path: str) -> str:
    word = read_string(item.get("tag_type"), f"{path}.tag_type")
    if word in MISPRINTS:
        warn_payload(f"{word!r} is a misprint of {MISPRINTS[word]!r}, and is read as that", f"{path}.tag_type")
        word = MISPRINTS[word]
    if word not in TPNS_TYPES:
        fail(
            "unknown-value",
            f"no tag_type is called {word!r}",
            f"{path}.tag_type",
            did_you_mean(word, TPNS_TYPES),
        )
    return TPNS_TYPES[word]


def _join_tags(payload: Payload, key: str, tags: Sequence[Expr], path: str) -> Expr:
    """Join the tags of one list; a single one is joined to nothing, so its operator may be missing."""
    if not tags:
        fail("empty-target", "an empty list of tags names nobody", f"{path}.tags")
    if len(tags) == 1:
        return tags[0]
    return all_of(tags) if _parse_operator(payload, key, path) == "AND" else any_of(tags)


def _parse_operator(payload: Payload, key: str, path: str) -> str:
    value = payload.get(key)
    if value not in ("AND", "OR"):
        fail("unknown-value", f"expected AND or OR, found {value!r}", f"{path}.{key}")
    return str(value)


def _parse_is_not(payload: Payload, path: str) -> bool:
    value = payload.get("is_not", False)
    if not isinstance(value, bool):
        fail("wrong-type", f"expected true or false, found {value!r}", f"{path}.is_not")
    return value


def emit(expr: Expr) -> Payload:
    """Say *expr* in one request, or raise Unsaid with every reason.

    One operator joins all rules and another all items of a rule, so the payload means the same whichever
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
    problems = list(_expr_problems(expr))
    if problems:
        raise Unsupported(problems)
    return {"audience_type": "tag", "tag_rules": _emit_shortest_rules(expr)}


def _expr_problems(expr: Expr) -> Iterator[Problem]:
    for atom in atoms(expr):
        match atom:
            case Tag():
                yield from tag_problems(atom)
            case Ids(kind="alias" | "live_activity_id" as kind):
                yield Problem("no-such-id", f"TPNS knows no {kind}", atom.span, hint="name them by account or token")
            case Ids(kind=kind):
                yield Problem("ids-with-tags", f"{kind} cannot be combined with anything else", atom.span)
            case Compare() | Within():
                yield Problem("no-ranges", f"{render(atom)!r} compares; TPNS knows single values only", atom.span)


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Why TPNS has no name for *tag*."""
    size, most = len(tag.value.encode()), LIMITS["tag_bytes"]
    if tag.type not in TAG_TYPES_BY_TYPE:
        hint = (
            did_you_mean(tag.type, TAG_TYPES_BY_TYPE)
            or f"give {tag.type} names in a catalog; TPNS knows {', '.join(TAG_TYPES_BY_TYPE)}"
        )
        yield Problem("no-name", f"TPNS has no tag type for {render(tag)!r}", tag.span, hint=hint)
    elif tag.type == "active" and not re.fullmatch("[0-9]{8}", tag.value):
        yield Problem("illegal-name", f"{render(tag)!r}: TPNS writes a day like 20200408", tag.span)
    elif most.is_exceeded_by(size):
        yield Problem("name-too-long", f"{tag.value!r} takes {size} bytes; {most.maximum} is the most", tag.span)


def _emit_shortest_rules(expr: Expr) -> list[Payload]:
    """As a union of intersections or as an intersection of unions, whichever takes fewer items."""
    forms: list[list[Payload]] = []
    refused: list[Problem] = []
    for form, outer, inner in ((dnf, Or, And), (cnf, And, Or)):
        try:
            clauses = form(expr, max_clauses=MAX_CLAUSES, is_leaf=_is_item).clauses
        except ComplexityError as error:
            refused += error.problems
        else:
            if not clauses or () in clauses:
                raise Unsupported([Problem("no-condition", "it comes to everyone or to nobody, which no rule says")])
            forms.append(_emit_rules(clauses, outer, inner))
    if not forms:
        raise Unsupported(refused)
    return min(forms, key=lambda rules: (sum(len(rule["tag_items"]) for rule in rules), len(rules)))


def _emit_rules(clauses: Sequence[Clause], outer: Junction, inner: Junction) -> list[Payload]:
    """One rule for each clause; clauses of a single tag are put together where their types are the same."""
    alone = _group_by_type([clause[0] for clause in clauses if len(clause) == 1], outer)
    groups = [[leaf] for leaf in alone] + [_group_by_type(clause, inner) for clause in clauses if len(clause) > 1]
    return [
        {"tag_items": [_emit_item(leaf, inner) for leaf in group], "operator": OPERATOR_NAMES[outer], "is_not": False}
        for group in groups
    ]


def _group_by_type(leaves: Sequence[Expr], junction: Junction) -> list[Expr]:
    """Put together the single tags among *leaves* that are of one type, and likewise their NOTs."""
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
    """Whether one item says *expr*: a tag, or tags of one type, all of them with NOT or none."""
    terms = expr.terms if isinstance(expr, And | Or) else (expr,)
    return len({_item_key(term) for term in terms}) == 1 and None not in map(_item_key, terms)


def _item_key(term: Expr) -> tuple[str, bool] | None:
    match term:
        case Tag(type=type_):
            return type_, False
        case Not(term=Tag(type=type_)):
            return type_, True
    return None


def _emit_item(leaf: Expr, junction: Junction) -> Payload:
    """One element of tag_items; NOT a AND NOT b is the NOT of a OR b."""
    terms = leaf.terms if isinstance(leaf, And | Or) else (leaf,)
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
    """What a request that says *expr* takes for granted."""
    if not is_bounded(nnf(expr)):
        yield Problem("universe", "NOT and everyone are out of all devices that TPNS knows, not out of your table")
    if any(isinstance(atom, Ids) and atom.kind == "account" for atom in atoms(expr)):
        yield Problem("account", "an account stands for every device that is bound to it at TPNS")
    match simplify(nnf(expr)):
        case Ids(kind="account", values=values) if LIMITS["account_list"].is_exceeded_by(len(values)):
            message = f"{len(values):,} accounts go up as a file before they are told, as `audience send` does it"
            yield Problem("package", message)
