"""Targeting of Getui: conditions of four keys, joined by AND; each asks for any, all or none of its values.

https://docs.getui.com/getui/server/rest_v2/push: the page itself was not readable; the rules come from a copy of its
beginning, from Getui's own clients, and from the documents of a service built on it, read 2026-11-21, as the beginning
of USER_DOCS.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.fitting import fit_to_shape, is_bounded
from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import NO_LIMIT, ListsByKey
from audience.errors import Problem
from audience.language.ast import (
    Compare,
    Everyone,
    Expr,
    Ids,
    Not,
    Or,
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
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.platform_field import PlatformField, is_platform_tag
from audience.vendors.shared.platform_words import read_platform_word
from audience.vendors.spec import Payload, Unsupported, VendorLimit, require_single_list

PAGE = "https://docs.getui.com/getui/server/rest_v2/push"
USER_DOCS = "https://docs.getui.com/getui/server/rest_v2/user"
ERROR_CODES_DOCS = (
    "https://github.com/dcloudio/unidocs-zh/blob/HEAD/docs/uniCloud/uni-cloud-push/api.md"  # of a client of Getui
)

LIMITS = {
    "cid": VendorLimit(1_000, PAGE),  # as clients quote it
    "alias": VendorLimit(1_000, PAGE),
    "values": VendorLimit(None, PAGE),
    "tag_characters": VendorLimit(31, ERROR_CODES_DOCS),  # "below 32"
    "alias_characters": VendorLimit(39, USER_DOCS),
}

# Whether a key may be used in several conditions: "Different keys are joined by AND, one key by its opt_type" leaves
# the meaning of a repeated key open.
ALLOWS_REPEATED_KEYS = False

TYPES_BY_KEY = {"custom_tag": UNTYPED, "phone_type": "platform", "region": "region", "portrait": "portrait"}
KEYS_BY_TYPE = {type_: key for key, type_ in TYPES_BY_KEY.items()}
SHAPE = ListsByKey(max_lists=NO_LIMIT if ALLOWS_REPEATED_KEYS else 1, allows_unbounded_not=True)
OPT_TYPES = ("or", "and", "not")  # 0, 1 and 2 in the old client
OLD_KEYS = {"phoneType": "phone_type", "tag": "custom_tag"}  # of gt-push-sdk, AppConditions
# phone_type takes miniProgram too, by a newer client.
PLATFORMS = PlatformField(names={"android": "android", "ios": "ios", "miniprogram": "miniProgram"})
TAG_PATTERN = re.compile(r"\S+")
ALIAS_PATTERN = re.compile(r"[A-Za-z0-9_\u3400-\u9fff\uf900-\ufaff]+")
TARGET_KEYS = ("cid", "alias", "tag", "fast_custom_tag")
AUDIENCE_HINT = 'the targeting object is {"audience": …}; without one, clients of Getui send to everyone'


def parse(payload: Any) -> Expr:
    """Parse `{"audience": …}`, a whole request that holds it, or the conditions by which devices are counted.

    >>> from audience.language.printer import render
    >>> tags = [{"key": "custom_tag", "values": ["a", "b"], "opt_type": "or"}]
    >>> render(parse({"audience": {"tag": [*tags, {"key": "region", "values": ["11000000"], "opt_type": "not"}]}}))
    '(a OR b) AND NOT region:11000000'
    """
    request = PayloadCursor(payload).json_object()
    if "msg_list" in request:  # single pushes of one call
        return any_of(_parse_request(push.json_object()) for push in request["msg_list"].items())
    return _parse_request(request)


def _parse_request(request: PayloadCursor) -> Expr:
    if "audience" not in request:
        for key in ("tag", "conditions"):  # as the endpoint that counts devices takes them, and the old client
            if isinstance(request[key].value, list):
                return _parse_conditions(request[key])
        request.fail("missing-key", "missing key 'audience'", AUDIENCE_HINT)
    settings = request["settings"]
    if settings.value and "activate_filter_type" in settings:
        settings["activate_filter_type"].warn("the settings exclude devices by their activity")
    if request["audience"].value == "all":
        return Everyone()
    return _parse_audience(request["audience"].only(TARGET_KEYS))


def _parse_audience(audience: PayloadCursor) -> Expr:
    keys = list(audience.object())
    keys = [key for key in keys if not audience[key].is_absent] or keys[:1]
    if not keys:
        audience.fail("empty-target", "expected a target, found none", 'write "all" for everyone')
    if len(keys) > 1:
        audience[keys[1]].fail("second-target", f"{keys[1]} cannot be combined with {keys[0]}")
    target = audience[keys[0]]
    match keys[0]:
        case "fast_custom_tag":
            return bare(target.string())
        case "tag":
            return _parse_conditions(target)
        case key:
            return Ids("alias" if key == "alias" else "registration_id", tuple(target.ids(LIMITS[key])))


def _parse_conditions(conditions: PayloadCursor) -> Expr:
    keys: set[str] = set()
    terms = []
    for condition in conditions.items():
        key, term = _parse_condition(condition)
        if key in keys and not ALLOWS_REPEATED_KEYS:
            condition["key"].fail("ambiguous", f"{key} is repeated: how the two are joined is not documented")
        keys.add(key)
        terms.append(term)
    return all_of(terms)


def _parse_condition(condition: PayloadCursor) -> tuple[str, Expr]:
    """Read a condition of today's requests, or of the old client, which calls some keys otherwise."""
    is_old = "opt_type" not in condition and ("optType" in condition or condition["key"].value in [*OLD_KEYS])
    condition.only(("key", "values", "optType" if is_old else "opt_type"))
    if is_old:
        key = OLD_KEYS.get(name := condition["key"].enum([*OLD_KEYS, "region"]), name)
        option = _parse_old_option(condition.get("optType", 0))
    else:
        key, option = condition["key"].enum(TYPES_BY_KEY), condition["opt_type"].enum(OPT_TYPES)
    values = condition["values"].ids(LIMITS["values"], "values")
    if key == "phone_type":
        tags = [read_platform_word(value, condition["values"], PLATFORMS) for value in values]
    else:
        tags = [Tag(TYPES_BY_KEY[key], value) for value in values]
        for problem in (problem for tag in tags for problem in tag_problems(tag)):
            condition["values"].warn(f"{problem.message}; Getui refuses it")
    match option:
        case "and":
            return key, all_of(tags)
        case "not":
            return key, Not(any_of(tags))
    return key, any_of(tags)


def _parse_old_option(option: PayloadCursor) -> str:
    """Return the option that the old client writes as a number."""
    if option.value not in range(len(OPT_TYPES)) or isinstance(option.value, bool):
        option.fail("unknown-value", f"expected 0 (or), 1 (and) or 2 (not), found {option.value!r}")
    return OPT_TYPES[int(option.value)]


def emit(expr: Expr) -> Payload:
    """Return the request for *expr*; raise Unsupported with every reason.

    >>> from audience.language.parser import parse
    >>> [tuple(each.values()) for each in emit(parse("(a OR b) AND platform:ios"))["audience"]["tag"]]
    [('custom_tag', ['a', 'b'], 'or'), ('phone_type', ['ios'], 'or')]
    """
    match expr:
        case Everyone():
            return {"audience": "all"}
        case Ids(kind="registration_id" | "alias"):
            return _emit_ids(expr)
    problems = list(_expr_problems(expr))
    if problems:
        raise Unsupported(problems)
    form = fit_to_shape(expr, SHAPE)
    if form is None:
        raise Unsupported(_shape_problems(expr))
    terms = and_terms(form)
    return {"audience": {"tag": list(_emit_conditions(terms))}}


def _emit_ids(ids: Ids) -> Payload:
    key = "alias" if ids.kind == "alias" else "cid"
    problems = _alias_problems(ids) if key == "alias" else ()
    return {"audience": {key: require_single_list(ids, LIMITS[key].maximum, problems)}}


def _alias_problems(ids: Ids) -> Iterator[Problem]:
    most = LIMITS["alias_characters"]
    for value in ids.values:
        if not ALIAS_PATTERN.fullmatch(value):
            hint = "letters, digits, _ and Chinese only"
            yield Problem("illegal-name", f"{value!r} is not a valid alias of Getui", ids.span, hint=hint)
        elif most.is_exceeded_by(len(value)):
            message = f"{value!r} has {len(value)} characters; the maximum is {most.maximum}"
            yield Problem("name-too-long", message, ids.span)


def _expr_problems(expr: Expr) -> Iterator[Problem]:
    for atom in atoms(expr):
        match atom:
            case Tag():
                yield from tag_problems(atom)
            case Ids(kind="registration_id" | "alias" as kind):
                yield Problem("ids-with-tags", f"{kind} cannot be combined with anything else", atom.span)
            case Ids(kind=kind):
                yield Problem("no-such-id", f"Getui has no id of the kind {kind}", atom.span, hint="name them by alias")
            case Compare() | Within():
                yield Problem(
                    "no-ranges", f"{render(atom)!r} is a comparison; Getui supports single values only", atom.span
                )


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Yield the reasons why Getui has no name for *tag*."""
    most = LIMITS["tag_characters"]
    if tag.type not in KEYS_BY_TYPE:
        hint = f"give {tag.type} names in a catalog; Getui knows {', '.join(KEYS_BY_TYPE)}"
        yield Problem("no-name", f"Getui has no key for {render(tag)!r}", tag.span, hint=hint)
    elif not TAG_PATTERN.fullmatch(tag.value):
        yield Problem("illegal-name", f"{tag.value!r}: white space separates the tags of a device at Getui", tag.span)
    elif tag.type == UNTYPED and most.is_exceeded_by(len(tag.value)):
        message = f"{tag.value!r} has {len(tag.value)} characters; the maximum is {most.maximum}"
        yield Problem("name-too-long", message, tag.span)


def _shape_problems(expr: Expr) -> Iterator[Problem]:
    """Yield the reasons why conditions cannot express *expr*, all of whose tags have names."""
    terms = and_terms(expr)
    keys = {term: sorted({KEYS_BY_TYPE[tag.type] for tag in atoms(term) if isinstance(tag, Tag)}) for term in terms}
    mixed = [term for term in terms if len(keys[term]) > 1]
    for term in mixed:
        yield Problem("or-of-others", f"{render(term)!r}: {' and '.join(keys[term])} are joined by AND only")
    if not mixed:
        used = dict.fromkeys(key for found in keys.values() for key in found)
        yield Problem(
            "second-list",
            f"a request has one list for each key, any, all or none of it; this needs several of {', '.join(used)}",
        )


def _emit_conditions(terms: Sequence[Expr]) -> Iterator[Payload]:
    """Yield one condition for each list; single tags of one key form one list, their NOTs another."""
    single: dict[tuple[str, str], list[str]] = {}
    for term in terms:
        match term:
            case Or(terms=tags):
                yield _emit_condition([tag for tag in tags if isinstance(tag, Tag)], "or")
            case Tag(type=type_, value=value):
                single.setdefault((type_, "and"), []).append(value)
            case Not(term=Tag(type=type_, value=value)):
                single.setdefault((type_, "not"), []).append(value)
    for (type_, option), values in single.items():
        alone = option == "and" and len(values) == 1
        yield _emit_condition([Tag(type_, value) for value in values], "or" if alone else option)


def _emit_condition(tags: Sequence[Tag], option: str) -> Payload:
    values = [PLATFORMS.names[tag.value] if is_platform_tag(tag) else tag.value for tag in tags]
    return {"key": KEYS_BY_TYPE[tags[0].type], "values": values, "opt_type": option}


def assumptions(expr: Expr) -> Iterator[Problem]:
    """Yield what a request for *expr* takes for granted."""
    if not is_bounded(nnf(expr)):
        yield Problem("universe", "NOT and everyone refer to the devices that were active at Getui in the last 90 days")
        if expr != Everyone():
            yield Problem("lone-not", "Getui accepts conditions of NOT without any other, which no page says")
    if any(isinstance(atom, Ids) and atom.kind == "alias" for atom in atoms(expr)):
        yield Problem("alias", "an alias matches every device bound to it at Getui")


def target_ids(ids: Sequence[str]) -> Payload:
    """Return the targeting object of at most 1,000 cids."""
    return {"audience": {"cid": list(ids)}}
