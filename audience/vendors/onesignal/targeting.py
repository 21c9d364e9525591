"""OneSignal: filters, or segments, or subscription ids, or aliases, alone.

https://documentation.onesignal.com/reference/create-notification, read in parts 2026-11-21.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.errors import Problem
from audience.language.ast import Everyone, Expr, Ids, Reference, Tag, all_of, atoms
from audience.language.printer import render
from audience.vendors.onesignal import fields, filter_reading, filter_writing
from audience.vendors.onesignal.aliases import ALIASES, MAX_USERS, emit_aliases, parse_aliases
from audience.vendors.onesignal.fields import CLIENT_DOCS
from audience.vendors.onesignal.filter_reading import FILTER
from audience.vendors.onesignal.platforms import FLAG, is_browser, parse_platforms, split_browsers, write_flags
from audience.vendors.onesignal.request_keys import DEPRECATED_KEYS, MAX_SUBSCRIPTIONS, find_target_keys
from audience.vendors.onesignal.segments import SEGMENT, emit_segments, has_segments, parse_segments
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.spec import Payload, Unsupported, VendorLimit, require_single_list

WRITTEN_IDS = VendorLimit(2_000, CLIENT_DOCS)  # 20,000 on PAGE; the smaller one is safe
LIMITS = {
    **fields.LIMITS,
    "include_subscription_ids": WRITTEN_IDS,
    "external_id": MAX_USERS,
}
REFERENCE_KINDS = (FILTER, SEGMENT, ALIASES, FLAG)


def parse(payload: Any) -> Expr:
    """Parse the targeting object `{"filters": […]}`, one of ids, or a whole request, whose platforms narrow it.

    >>> from audience.language.printer import render
    >>> vip = {"field": "tag", "key": "vip", "relation": "exists"}
    >>> render(parse({"filters": [vip, {"operator": "OR"}, {**vip, "key": "new"}, {**vip, "key": "a"}]}))
    'vip OR (new AND a)'
    """
    request = PayloadCursor(payload).json_value()
    if isinstance(request.value, list):
        request.fail("wrong-type", "expected an object, found a list", 'write a list of filters as {"filters": […]}')
    key = find_target_keys(request.json_object())[0]
    if key in DEPRECATED_KEYS:
        request[key].warn(f"{key} is deprecated; write {DEPRECATED_KEYS[key]}")
    return all_of([_parse_target(key, request), *parse_platforms(key, request)])


def _parse_target(key: str, request: PayloadCursor) -> Expr:
    target = request[key]
    match key:
        case "filters":
            return filter_reading.parse_filters(target)
        case "include_subscription_ids" | "include_player_ids":
            return Ids("registration_id", tuple(target.ids(MAX_SUBSCRIPTIONS)))
        case "include_external_user_ids":
            return Ids("alias", tuple(target.ids(MAX_USERS, "users")))
        case "include_aliases":
            return parse_aliases(target, request)
    return parse_segments(target, request["excluded_segments"])


def emit(expr: Expr) -> Payload:
    """Return the request for *expr*; raise Unsupported with every reason.

    >>> from audience.language.parser import parse
    >>> [" ".join(entry.values()) for entry in emit(parse("vip AND NOT city:Rome"))["filters"]]
    ['tag vip exists', 'tag city != Rome', 'OR', 'tag vip exists', 'tag city not_exists']
    """
    rest, flags = split_browsers(expr)
    return write_flags(_emit_target(rest), flags) if flags else _emit_target(expr)


def _emit_target(expr: Expr) -> Payload:
    match expr:
        case Everyone():
            return {"included_segments": ["All"]}
        case Ids(kind="registration_id"):
            return target_ids(require_single_list(expr, WRITTEN_IDS.maximum))
        case Ids(kind="alias"):
            names = require_single_list(expr, MAX_USERS.maximum)
            return {"include_aliases": {"external_id": names}, "target_channel": "push"}
        case Reference(kind="aliases"):
            return emit_aliases(expr)
    problems = list(_target_problems(expr))
    if not problems and has_segments(expr):
        return emit_segments(expr)
    problems += [*filter_writing.expr_problems(expr), *filter_writing.key_clash_problems(expr)]
    if problems:
        raise Unsupported(dict.fromkeys(problems))
    return {"filters": filter_writing.emit_filters(expr)}


def _target_problems(expr: Expr) -> Iterator[Problem]:
    """Yield why parts of *expr* cannot be beside others, or in any request."""
    is_mixed = has_segments(expr) and not _is_segments_only(expr)
    for atom in atoms(expr):
        match atom:
            case Ids(kind="registration_id" | "alias" as kind, span=span):
                yield Problem("ids-with-tags", f"{kind} cannot be combined with anything else", span)
            case Ids(kind=kind, span=span):
                yield Problem("no-such-id", f"OneSignal has no id of the kind {kind}", span, hint="name them by alias")
            case Reference(kind="aliases", span=span):
                yield Problem("ids-with-tags", f"{render(atom)} cannot be combined with anything else", span)
            case Reference(kind=kind, span=span) if kind not in REFERENCE_KINDS:
                message = f"{render(atom)!r}: OneSignal has no {kind!r} to refer to"
                yield Problem("bad-reference", message, span, hint=f"one of {', '.join(REFERENCE_KINDS)}")
            case Reference(kind="flag", span=span):
                is_known = is_browser(atom)
                message = f"{render(atom)!r}: a platform narrows a whole request to OneSignal"
                yield Problem("platform-inside" if is_known else "bad-reference", message, span)
            case Reference(kind="segment", span=span) if is_mixed:
                message = f"{render(atom)!r}: segments cannot be combined with anything else at OneSignal"
                yield Problem("segments-alone", message, span, hint="give it a meaning in the catalog")


def _is_segments_only(expr: Expr) -> bool:
    return all(isinstance(atom, Reference) and atom.kind == SEGMENT for atom in atoms(expr))


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Yield the reasons why OneSignal cannot have *tag*."""
    yield from filter_writing.tag_problems(tag)


def target_ids(ids: Sequence[str]) -> Payload:
    """Return the targeting object of at most 2,000 subscription ids."""
    return {"include_subscription_ids": list(ids)}
