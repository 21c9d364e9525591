"""OneSignal: filters, or subscription ids, or external ids, alone.

https://documentation.onesignal.com/reference/create-notification, read in parts 2026-11-21.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.fitting import is_bounded
from audience.algebra.normal_forms import dnf, nnf
from audience.errors import ComplexityError, Problem
from audience.language.ast import Compare, Everyone, Expr, Ids, Not, Tag, Within, all_of, any_of, atoms, walk
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.vendors.onesignal import filters
from audience.vendors.onesignal.filters import CLIENT_DOCS, FIELDS_BY_TYPE, MAX_ENTRIES, PLATFORM_TYPE
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.spec import Limit, Payload, Unsupported, require_single_list

PAGE = "https://documentation.onesignal.com/reference/create-notification"

LIMITS = {
    **filters.LIMITS,
    "include_subscription_ids": Limit(2_000, CLIENT_DOCS),  # 20,000 on PAGE; the smaller one is safe
    "external_id": Limit(2_000, CLIENT_DOCS),  # likewise
}
TARGET_KEYS = ("filters", "include_subscription_ids", "include_aliases", "included_segments")
DEPRECATED_KEYS = {"include_player_ids": "include_subscription_ids", "include_external_user_ids": "external_id"}
OPAQUE_KEYS = (
    "excluded_segments",
    "tags",
    "include_email_tokens",
    "include_phone_numbers",
    "include_ios_tokens",
    "include_android_reg_ids",
    "include_amazon_reg_ids",
    "include_wp_wns_uris",
    "include_chrome_reg_ids",
    "include_chrome_web_reg_ids",
)
PLATFORMS_BY_FLAG = {
    "isIos": "ios",
    "isAndroid": "android",
    "isHuawei": "huawei",
    "isAdm": "amazon",
    "isWP_WNS": "windows",
    "isAnyWeb": "web",
    "isChromeWeb": "chrome_web",
    "isFirefox": "firefox",
    "isSafari": "safari",
    "isChrome": "chrome_app",
}


def parse(payload: Any) -> Expr:
    """Parse the targeting object `{"filters": […]}`, one of ids, or a whole request, whose platforms narrow it.

    >>> from audience.language.printer import render
    >>> vip = {"field": "tag", "key": "vip", "relation": "exists"}
    >>> render(parse({"filters": [vip, {"operator": "OR"}, {**vip, "key": "new"}, {**vip, "key": "a"}]}))
    'vip OR (new AND a)'
    """
    request = PayloadCursor(payload).json_object()
    keys = [key for key in (*TARGET_KEYS, *DEPRECATED_KEYS, *OPAQUE_KEYS) if request[key].value is not None]
    if not keys:
        request.fail("missing-key", "missing target", f"one of {', '.join(TARGET_KEYS)}")
    channel = request.get("target_channel", "push")
    if channel.value != "push":
        channel.fail("other-channel", f"{channel.value!r} is not a push channel")
    for key in keys:
        if key in OPAQUE_KEYS:
            request[key].fail("opaque", "only OneSignal knows its devices", f"use one of {', '.join(TARGET_KEYS)}")
    if len(keys) > 1:
        request[keys[1]].fail("second-target", f"{keys[1]} cannot be combined with {keys[0]}")
    return all_of([_parse_target(keys[0], request), *_parse_platforms(request)])


def _parse_target(key: str, request: PayloadCursor) -> Expr:
    target = request[key]
    match DEPRECATED_KEYS.get(key, key):
        case "filters":
            return filters.parse_filters(target)
        case "include_subscription_ids":
            return Ids("registration_id", tuple(target.ids(LIMITS["include_subscription_ids"])))
        case "external_id":
            return Ids("alias", tuple(target.ids(LIMITS["external_id"])))
        case "include_aliases":
            return _parse_aliases(target, request)
    if target.strings() != ["All"]:
        target.fail("opaque", "only OneSignal knows the members of a segment", "name its tags")
    return Everyone()


def _parse_aliases(labels: PayloadCursor, request: PayloadCursor) -> Expr:
    names = list(labels.object())
    if "target_channel" not in request:
        request.fail("missing-key", "missing key 'target_channel'", 'write "target_channel": "push"')
    if not names:
        labels.fail("empty-target", "an empty object matches no device")
    for label in names:
        if label != "external_id":
            labels[label].fail("opaque", f"only OneSignal knows the devices of the label {label!r}")
    return Ids("alias", tuple(labels["external_id"].ids(LIMITS["external_id"])))


def _parse_platforms(request: PayloadCursor) -> Iterator[Expr]:
    flags = [key for key in PLATFORMS_BY_FLAG if request[key].value is not None]
    for key in flags:
        if request[key].value is not True:
            message = f"the meaning of {request[key].value!r} is not documented"
            request[key].fail("unknown-value", message, "name the others, as true")
    if flags:
        yield any_of(Tag(PLATFORM_TYPE, PLATFORMS_BY_FLAG[key]) for key in flags)


def emit(expr: Expr) -> Payload:
    """Return the request for *expr*; raise Unsupported with every reason.

    >>> from audience.language.parser import parse
    >>> [" ".join(entry.values()) for entry in emit(parse("vip AND NOT city:Rome"))["filters"]]
    ['tag vip exists', 'tag city != Rome', 'OR', 'tag vip exists', 'tag city not_exists']
    """
    match expr:
        case Everyone():
            return {"included_segments": ["All"]}
        case Ids(kind="registration_id"):
            return target_ids(require_single_list(expr, LIMITS["include_subscription_ids"].maximum))
        case Ids(kind="alias"):
            names = require_single_list(expr, LIMITS["external_id"].maximum)
            return {"include_aliases": {"external_id": names}, "target_channel": "push"}
    problems = [*_expr_problems(expr), *filters.key_clash_problems(expr)]
    if problems:
        raise Unsupported(problems)
    return {"filters": _emit_filters(expr)}


def _expr_problems(expr: Expr) -> Iterator[Problem]:
    for node in walk(expr):
        match node:
            case Not(term=Tag(type=type_, span=span)) if not filters.can_negate(type_):
                field = FIELDS_BY_TYPE[type_]
                message = f"{render(node)!r}: whether != matches a device without {field} is not documented"
                yield Problem("not-over-field", message, span)
            case Tag():
                yield from _platform_tag_problems(node)
            case Ids(kind="registration_id" | "alias" as kind, span=span):
                yield Problem("ids-with-tags", f"{kind} cannot be combined with anything else", span)
            case Ids(kind=kind, span=span):
                yield Problem("no-such-id", f"OneSignal has no id of the kind {kind}", span, hint="name them by alias")
            case Compare(span=span) | Within(span=span):
                message = f"{render(node)!r} is a comparison; OneSignal compares numbers only, without <= and >="
                yield Problem("no-ranges", message, span)


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Yield the reasons why OneSignal has no name for *tag* that can also be negated."""
    if not filters.can_negate(tag.type):
        message = f"{render(tag)!r} is the field {FIELDS_BY_TYPE[tag.type]}, whose NOT cannot be written"
        yield Problem("not-over-field", message, tag.span)
    yield from _platform_tag_problems(tag)


def _platform_tag_problems(tag: Tag) -> Iterator[Problem]:
    if tag.type == PLATFORM_TYPE:
        message = f"{render(tag)!r} is expressed by isIos and the like, beside the filters"
        yield Problem("no-name", message, tag.span, hint="or give it the name of a tag in a catalog")


def _emit_filters(expr: Expr) -> list[Payload]:
    try:
        clauses = dnf(expr, max_clauses=MAX_ENTRIES).clauses
    except ComplexityError as error:
        raise Unsupported(error.problems) from error
    if not clauses or () in clauses:
        raise Unsupported([Problem("no-condition", "it matches everyone or no device, which filters cannot express")])
    count = filters.count_entries(clauses)
    if LIMITS["entries"].is_exceeded_by(count):
        raise Unsupported([Problem("too-many", f"{count:,} filters and operators; the maximum is {MAX_ENTRIES}")])
    return filters.emit_filters(clauses)


def assumptions(expr: Expr) -> Iterator[Problem]:
    """Yield what a request for *expr* takes for granted."""
    tags = [atom for atom in atoms(expr) if isinstance(atom, Tag)]
    if expr == Everyone():
        yield Problem(
            "universe", "everyone refers to all subscribed devices at OneSignal; no segment there is called All"
        )
    elif not is_bounded(nnf(expr)):
        yield Problem("universe", "NOT refers to all devices registered with OneSignal, not to your table")
    if any(isinstance(atom, Ids) and atom.kind == "alias" for atom in atoms(expr)):
        yield Problem("account", "an alias is an external id and matches every device of that user at OneSignal")
    if any(tag.type == UNTYPED for tag in tags):
        yield Problem("keys", "a device has an untyped tag exactly if it has a key of that name at OneSignal")
    if types := sorted({tag.type for tag in tags} - {UNTYPED}):
        yield Problem("one-value", f"a device has at most one value of {', '.join(types)}, as it has at OneSignal")


def target_ids(ids: Sequence[str]) -> Payload:
    """Return the targeting object of at most 2,000 subscription ids."""
    return {"include_subscription_ids": list(ids)}
