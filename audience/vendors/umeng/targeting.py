"""Targeting of Umeng U-Push: a type of cast, and for groupcast a filter, a tree of AND, OR and NOT under a top AND.

https://dev.umeng.com/push/android/api-doc: the page itself was not readable; "the page" below is a copy of Umeng's
"U-push API集成文档" in a public README, read 2026-11-21. The beginning of the same page for iOS was readable:
http://dev.umeng.com/push/ios/api-doc.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from audience.algebra.fitting import is_bounded
from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import Tree
from audience.errors import Problem
from audience.language.ast import (
    And,
    Atom,
    Between,
    Compare,
    CompareOp,
    Everyone,
    Expr,
    IdKind,
    Ids,
    Not,
    Or,
    Reference,
    Relative,
    Tag,
    Within,
    all_of,
    and_terms,
    any_of,
    atoms,
)
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.language.suggest import did_you_mean
from audience.language.vocabulary import PROVINCES
from audience.language.windows import Comparison, Period, RelativeTime
from audience.vendors.payload_reader import PayloadCursor, dump_json
from audience.vendors.relative_times import assume_times, split_range
from audience.vendors.spec import (
    WHITESPACE,
    Payload,
    Unsupported,
    VendorLimit,
    find_id_problem,
    require_single_list,
)
from audience.vendors.value_names import ValueNames, read_values, spelling_problems, write_values

PAGE = "https://dev.umeng.com/push/android/api-doc"
FILTER_DOCS = "https://info.umeng.com/detail?id=130&cateId=1"  # "the top must be and"
TAGS_DOCS = "https://info.umeng.com/detail?id=166&cateId=1"  # could not be read: names of tags are joined by commas

LIMITS = {
    "device_tokens": VendorLimit(500, PAGE),
    "alias": VendorLimit(500, PAGE),
    "token_characters": VendorLimit(64, PAGE),  # of iOS; those of Android have 44
    "filter_bytes": VendorLimit(3_000, PAGE),  # in the copy of 2025
    "operands": VendorLimit(None, PAGE),
    "levels": VendorLimit(None, PAGE),
}
SEND_BY_FILTER_DOCS = "https://api.aliyun.com/document/umeng-push/2022-02-25/SendByFilter"
SHAPE = Tree(allows_unbounded_not=True)

TYPES_BY_KEY = {
    "tag": UNTYPED,
    "app_version": "version",
    "channel": "channel",
    "device_model": "model",
    "province": "province",
    "country": "country",
    "language": "language",
}
VALUE_NAMES = {"province": ValueNames(names=PROVINCES)}  # Chinese, as in the tests of a client
KEYS_BY_TYPE = {type_: key for key, type_ in TYPES_BY_KEY.items()}
VERSION_COMPARE_OPS: dict[str, CompareOp] = {">=": ">=", "<=": "<="}  # as in a sample of SEND_BY_FILTER_DOCS
PAGE_COMPARE_OPS: dict[str, CompareOp] = {">": ">=", "<": "<="}  # the page writes > for the versions from one on
COMPARISON_SIGNS = "<>=!"
OTHER_SPACES = "\v\f\x1c\x1d\x1e\x1f\x85\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f"
FORBIDDEN_ID_CHARS = f",{WHITESPACE}{OTHER_SPACES}"  # commas divide a list, line breaks a file; blanks are dropped
TODAY = RelativeTime("today")
FILE = "file_id"  # kind of the reference to an uploaded file of device tokens or aliases
ALIAS_TYPE = "alias_type"  # type of the tag for it: an alias belongs to a type
CAST_TYPES = ("unicast", "listcast", "broadcast", "groupcast", "customizedcast")
ID_LISTS_BY_CAST: dict[str, tuple[str, IdKind]] = {
    "unicast": ("device_tokens", "registration_id"),
    "listcast": ("device_tokens", "registration_id"),
    "customizedcast": ("alias", "alias"),
}
TARGET_KEYS = ("device_tokens", "alias", "file_id", "filter")


def parse(payload: Any) -> Expr:
    """Parse a whole request, or its targeting part: the type and what that type needs.

    >>> from audience.language.printer import render
    >>> where = {"and": [{"tag": "a"}, {"not": {"province": "b"}}, {"launch_from": "2014-11-15"}]}
    >>> render(parse({"type": "groupcast", "filter": {"where": where}}))
    'a AND NOT province:b AND active >= 2014-11-15'
    """
    request = PayloadCursor(payload).json_object()
    match request["type"].value:
        case None:
            request.fail("missing-key", "missing key 'type'", f"one of {', '.join(CAST_TYPES)}")
        case "filecast" | "customizedcast" as cast if cast == "filecast" or not request[FILE].is_absent:
            return _parse_file(cast, request)
        case "broadcast":
            _reject_other_targets(request, ())
            expr: Expr = Everyone()
        case "groupcast":
            _reject_other_targets(request, ("filter",))
            expr = read_values(_parse_filter(_require_key(request, "filter")), VALUE_NAMES)
        case "unicast" | "listcast" | "customizedcast" as cast:
            return _parse_ids(cast, request)
        case cast:
            request["type"].fail("unknown-value", f"unknown type {cast!r}", did_you_mean(str(cast), CAST_TYPES))
    if str(request.get("production_mode", True).value).lower() == "false":
        request["production_mode"].warn("in test mode Umeng sends to test devices only")
    return expr


def _reject_other_targets(request: PayloadCursor, allowed_keys: Sequence[str]) -> None:
    """Reject targets that contradict the type: which of the two counts is not documented."""
    for key in TARGET_KEYS:
        if not request[key].is_absent and key not in allowed_keys:
            message = f"{key} beside type {request['type'].value!r}"
            request[key].fail("second-target", message, "leave out one of them")


def _require_key(request: PayloadCursor, key: str) -> PayloadCursor:
    if request[key].is_absent:
        request.fail("missing-key", f"type {request['type'].value!r} needs {key}", f"add {key}")
    return request[key]


def _parse_ids(cast: str, request: PayloadCursor) -> Expr:
    key, kind = ID_LISTS_BY_CAST[cast]
    _reject_other_targets(request, (key,))
    targets = _require_key(request, key)
    ids = Ids(kind, tuple(targets.split_commas()))
    targets.check_limit(VendorLimit(1, PAGE) if cast == "unicast" else LIMITS[key], len(ids.values), "ids")
    if kind == "alias":
        return all_of([ids, Tag(ALIAS_TYPE, _require_key(request, ALIAS_TYPE).string())])
    return ids


def _parse_file(cast: str, request: PayloadCursor) -> Expr:
    """Parse an uploaded file, which only Umeng has: of device tokens, or of aliases of one type."""
    _reject_other_targets(request, (FILE,))
    file = Reference("umeng", FILE, _require_key(request, FILE).string())
    if cast == "filecast":
        return file
    return all_of([file, Tag(ALIAS_TYPE, _require_key(request, ALIAS_TYPE).string())])


def _parse_filter(filter_: PayloadCursor) -> Expr:
    """Parse a filter, an object or JSON text; its top is an AND (FILTER_DOCS).

    The sample of SendByFilter is JSON text without the outer braces.
    """
    if isinstance(filter_.value, str) and filter_.value.lstrip().startswith('"where"'):
        filter_ = replace(filter_, value=f"{{{filter_.value}}}")
    where = filter_.json_object().only(("where",))["where"].only(("and",))
    if not where.value:
        where.fail("missing-key", "missing key 'and'", "the top of a filter is an and")
    return _parse_node(where, 0)


def _parse_node(node: PayloadCursor, depth: int) -> Expr:
    key, inner = node.single_key(("and", "or", "not", "launch_from", "not_launch_from", *TYPES_BY_KEY), depth)
    match key:
        case "and":
            return all_of(_parse_node(term, depth + 1) for term in inner.items())
        case "or":
            return any_of(_parse_node(term, depth + 1) for term in inner.items())
        case "not":
            return Not(_parse_node(inner, depth + 1))
        case "launch_from":
            return _parse_active_since(inner)
        case "not_launch_from":
            return Not(_parse_active_since(inner))
    return _parse_condition(key, inner)


def _parse_active_since(value: PayloadCursor) -> Expr:
    text = value.string()
    if not _is_iso_date(text):
        value.fail("unknown-value", f"expected a date, found {text!r}", "write it like 2014-11-15")
    return Compare("active", ">=", text)


def _is_iso_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _parse_condition(key: str, condition: PayloadCursor) -> Expr:
    value = condition.string()
    version = value.lstrip(COMPARISON_SIGNS)
    sign, version = value[: len(value) - len(version)], version.strip(WHITESPACE)
    if not sign:
        return Tag(TYPES_BY_KEY[key], value)
    operator = VERSION_COMPARE_OPS.get(sign) or PAGE_COMPARE_OPS.get(sign)
    if key != "app_version" or operator is None or not version:
        hint = 'like "1.0", or ">=1.0" of an app_version'
        condition.fail("ambiguous", f"{value!r}: what it selects is not documented", hint)
    if sign in PAGE_COMPARE_OPS:
        condition.warn(f"{value!r} is read as {operator} {version}, as the page describes it")
    return Compare("version", operator, version)


def emit(expr: Expr) -> Payload:
    """Return the request for *expr*; raise Unsupported with every reason.

    NOT is written over single conditions only, as on the page; whether it may hold a list is not documented.

    >>> from audience.language.parser import parse
    >>> emit(parse("a AND NOT b AND NOT province:c"))["filter"]
    {'where': {'and': [{'tag': 'a'}, {'not': {'tag': 'b'}}, {'not': {'province': 'c'}}]}}
    """
    match expr:
        case Everyone():
            return {"type": "broadcast"}
        case Ids(kind="registration_id", values=values):
            cast = "listcast" if len(values) > 1 else "unicast"
            return {"type": cast, "device_tokens": _emit_ids(expr, "device_tokens")}
        case And(terms=(Ids(kind="alias") as ids, Tag(type="alias_type", value=type_))):
            return {"type": "customizedcast", "alias": _emit_ids(ids, "alias"), ALIAS_TYPE: type_}
        case And(terms=(Tag(type="alias_type", value=type_), Ids(kind="alias") as ids)):
            return {"type": "customizedcast", "alias": _emit_ids(ids, "alias"), ALIAS_TYPE: type_}
        case Reference(kind="file_id", value=value):
            return {"type": "filecast", FILE: value}
        case And(terms=(Reference(kind="file_id", value=value), Tag(type="alias_type", value=type_))):
            return {"type": "customizedcast", FILE: value, ALIAS_TYPE: type_}
        case And(terms=(Tag(type="alias_type", value=type_), Reference(kind="file_id", value=value))):
            return {"type": "customizedcast", FILE: value, ALIAS_TYPE: type_}
    return {"type": "groupcast", "filter": _emit_filter(expr)}


def _emit_filter(expr: Expr) -> Payload:
    """Return the filter for *expr*, or raise Unsupported with the reasons why no filter has it."""
    if problems := list(_expr_problems(expr)):
        raise Unsupported(problems)
    filter_: Payload = {"where": {"and": list(map(_emit_node, and_terms(write_values(expr, VALUE_NAMES))))}}
    if LIMITS["filter_bytes"].is_exceeded_by(size := len(dump_json(filter_).encode())):
        message = f"its filter takes {size:,} bytes; the maximum is {LIMITS['filter_bytes'].maximum:,}"
        raise Unsupported([Problem("too-long", message)])
    return filter_


def _emit_ids(ids: Ids, key: str) -> str:
    is_token = key == "device_tokens"
    length, forbidden = (LIMITS["token_characters"].maximum, FORBIDDEN_ID_CHARS) if is_token else (None, ",")
    problems = [problem for value in ids.values if (problem := find_id_problem(value, length, forbidden))]
    return ",".join(require_single_list(ids, LIMITS[key].maximum, problems))


def _expr_problems(expr: Expr) -> Iterator[Problem]:
    for atom in atoms(expr):
        match atom:
            case Tag():
                yield from tag_problems(atom)
            case Ids(kind="alias"):
                hint = f"write alias(…) AND {ALIAS_TYPE}:…"
                message = "an alias can be combined with its type only"
                yield Problem("ids-with-tags", message, atom.span, hint=hint)
            case Ids(kind="registration_id" as kind):
                yield Problem("ids-with-tags", f"{kind} cannot be combined with anything else", atom.span)
            case Ids(kind=kind):
                yield Problem("no-such-id", f"Umeng has no id of the kind {kind}", atom.span, hint="name them by alias")
            case Compare(type="active") | Within(type="active") if _find_launch_day(atom) is not None:
                yield from _launch_problems(atom)
            case Compare(type="version"):
                yield from _version_problems(atom)
            case Between(type="version"):
                yield from (problem for compare in split_range(atom) for problem in _version_problems(compare))
            case Reference(kind=kind):
                message = f"{render(atom)}: a {kind} can be combined with the type of its aliases only"
                yield Problem("ids-with-tags", message, atom.span)
            case Compare() | Between() | Within():
                message = f"{render(atom)!r} is a comparison; Umeng supports active >= DATE only"
                yield Problem("no-ranges", message, atom.span)


def _version_problems(compare: Compare) -> Iterator[Problem]:
    if compare.operator in ("<", ">"):
        message = f"{render(compare)!r}: the page writes > for ≥, so {compare.operator} cannot be written"
        hint = f"write {compare.operator}= and exclude the version itself"
        yield Problem("uncertain", message, compare.span, hint=hint)


def _launch_problems(atom: Compare | Within) -> Iterator[Problem]:
    """Yield a problem if the first day is that of the question or a later one: it must be before the day of sending."""
    match atom.written:
        case Relative(window=Comparison(operator, RelativeTime(_, amount))):
            is_before = amount < 0 and not (operator == ">" and amount == -1)
        case _:
            is_before = isinstance(atom, Compare) or atom.days > 1
    if not is_before:
        message = f"{render(atom.written or atom)!r}: launch_from must be before the day of sending"
        yield Problem("no-ranges", message, atom.span, hint="write active within 2 days")


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Yield the reasons why Umeng has no name for *tag*."""
    yield from spelling_problems(tag, VALUE_NAMES, "Umeng")
    if tag.type == ALIAS_TYPE:
        yield Problem("no-name", f"{render(tag)!r} can be combined with an alias only", tag.span)
    elif tag.type not in KEYS_BY_TYPE:
        hint = (
            did_you_mean(tag.type, KEYS_BY_TYPE)
            or f"give {tag.type} names in a catalog; Umeng knows {', '.join(KEYS_BY_TYPE)}"
        )
        yield Problem("no-name", f"Umeng has no condition for {render(tag)!r}", tag.span, hint=hint)
    elif tag.value[0] in COMPARISON_SIGNS:
        message = f"{tag.value!r} would be read as a comparison: it begins with {tag.value[0]!r}"
        yield Problem("illegal-name", message, tag.span)
    elif tag.type == UNTYPED and "," in tag.value:
        yield Problem("illegal-name", f"{tag.value!r}: commas separate the tags of a device at Umeng", tag.span)


def view_atom(atom: Atom) -> Expr:
    """Return *atom* as the conditions that Umeng has in its place: days up to that of the question have no end.

    >>> from audience.language.windows import Period
    >>> written = Relative("active", Period(7, "day"))
    >>> render(view_atom(Within("active", 7, "2026-11-28", written=written)))
    'active >= 2026-11-22'
    """
    match atom:
        case Compare(type="active") | Within(type="active") if (day := _find_launch_day(atom)) is not None:
            return Compare("active", ">=", day, span=atom.span, written=atom.written)
        case Between(type="version"):
            return all_of(split_range(atom))
    return atom


def _find_launch_day(atom: Compare | Within) -> str | None:
    """Return the day since which the devices of *atom* have been active; None if it is bounded otherwise."""
    match atom:
        case Compare(operator=">=", value=day) if _is_iso_date(day):
            return day
        case Compare(operator=">", value=day) if _is_iso_date(day) and date.fromisoformat(day) < date.max:
            return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
        case Within(days=days, day=day, written=Relative(window=Period() as period)) if _ends_today(period):
            return (date.fromisoformat(day) - timedelta(days=days - 1)).isoformat()
    return None


def _ends_today(period: Period) -> bool:
    return period.direction == "past" and period.of in (None, TODAY)


def _emit_node(expr: Expr) -> Payload:
    match expr:
        case Not(term=Between() as between):
            return {"or": [_emit_node(Not(compare)) for compare in split_range(between)]}
        case Not(term=Compare(type="active") | Within() as active):
            return {"not_launch_from": _find_launch_day(active)}
        case Compare(type="active") | Within():
            return {"launch_from": _find_launch_day(expr)}
        case Between():
            return _emit_node(view_atom(expr))
        case And(terms=terms):
            return {"and": list(map(_emit_node, terms))}
        case Or(terms=terms):
            return {"or": list(map(_emit_node, terms))}
        case Not(term=term):
            return {"not": _emit_node(term)}
        case Compare(operator=order, value=value):
            return {"app_version": f"{order}{value}"}
        case Tag(type=type_, value=value):
            return {KEYS_BY_TYPE[type_]: value}
    raise AssertionError(f"checked by _expr_problems: {expr!r}")


def assumptions(expr: Expr) -> Iterator[Problem]:
    """Yield what a request for *expr* takes for granted."""
    if not is_bounded(nnf(expr)):
        yield Problem("universe", "NOT and everyone refer to all devices registered with Umeng, not to your table")
    for atom in atoms(expr):
        if isinstance(atom, Within):
            message = "launch_from has no last day, which is the day of the question, and its days are those of Beijing"
            yield Problem("open-end", message)
        if isinstance(atom, Compare | Within) and atom.type == "active":
            yield Problem(
                "first-day",
                "launch_from includes the date itself, as its name suggests; the page describes it as later",
            )
        elif isinstance(atom, Compare | Between):
            message = ">= and <= of versions are in a sample of SendByFilter only, and compare as versions do"
            yield Problem("version-sign", message)
        elif isinstance(atom, Ids) and atom.kind == "alias":
            yield Problem("alias", "an alias matches every device bound to it at Umeng")
    yield from assume_times(expr, "Umeng")


def target_ids(ids: Sequence[str]) -> Payload:
    """Return the targeting object of at most 500 device tokens."""
    return {"type": "listcast", "device_tokens": ",".join(ids)}
