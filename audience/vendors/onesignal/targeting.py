"""OneSignal: filters, or subscription ids, or external ids, alone.

https://documentation.onesignal.com/reference/create-notification, read in parts 2026-11-21.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.fitting import bounded
from audience.algebra.normal_forms import dnf, nnf
from audience.errors import BudgetError, Problem
from audience.language.ast import Compare, Everyone, Expr, Ids, Not, Tag, Within, all_of, any_of, atoms, walk
from audience.language.attribute_names import BARE
from audience.language.printer import render
from audience.vendors.onesignal import filters
from audience.vendors.onesignal.filters import CLIENT, ENTRIES, OWN, PLATFORM
from audience.vendors.payload_reader import listed, loaded, mapping, refuse, strings
from audience.vendors.spec import Limit, Payload, Unsaid, one_list

PAGE = "https://documentation.onesignal.com/reference/create-notification"

LIMITS = {
    **filters.LIMITS,
    "include_subscription_ids": Limit(2_000, CLIENT),  # PAGE says 20,000; the smaller one is safe
    "external_id": Limit(2_000, CLIENT),  # likewise
}
METHODS = ("filters", "include_subscription_ids", "include_aliases", "included_segments")
OLDER = {"include_player_ids": "include_subscription_ids", "include_external_user_ids": "external_id"}
OTHERS = (
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
PLATFORMS = {
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
    """Read the targeting object `{"filters": […]}`, one of ids, or a whole request, whose platforms narrow it.

    >>> from audience.language.printer import render
    >>> vip = {"field": "tag", "key": "vip", "relation": "exists"}
    >>> render(parse({"filters": [vip, {"operator": "OR"}, {**vip, "key": "new"}, {**vip, "key": "a"}]}))
    'vip OR (new AND a)'
    """
    request = loaded(payload)
    found = [key for key in (*METHODS, *OLDER, *OTHERS) if request.get(key) is not None]
    if not found:
        refuse("missing-key", "nothing says who is meant", "$", f"one of {', '.join(METHODS)}")
    channel = request.get("target_channel", "push")
    if channel != "push":
        refuse("other-channel", f"{channel!r} reaches no devices by push", "$.target_channel")
    for key in found:
        if key in OTHERS:
            refuse("opaque", "only OneSignal knows whom it means", f"$.{key}", f"use one of {', '.join(METHODS)}")
    if len(found) > 1:
        refuse("second-target", f"a request has one way to say who; {found[0]} is another", f"$.{found[1]}")
    return all_of([_target(found[0], request), *_platforms(request)])


def _target(key: str, request: Payload) -> Expr:
    value, path = request[key], f"$.{key}"
    match OLDER.get(key, key):
        case "filters":
            return filters.read(value, path)
        case "include_subscription_ids":
            return Ids("registration_id", tuple(listed(value, path, LIMITS["include_subscription_ids"])))
        case "external_id":
            return Ids("alias", tuple(listed(value, path, LIMITS["external_id"])))
        case "include_aliases":
            return _aliases(value, path, request)
    if strings(value, path) != ["All"]:
        refuse("opaque", "only OneSignal knows who is in a segment", path, "name its tags")
    return Everyone()


def _aliases(value: Any, path: str, request: Payload) -> Expr:
    labels = mapping(value, path)
    if "target_channel" not in request:
        refuse("missing-key", "there is no 'target_channel'", "$", 'write "target_channel": "push"')
    if not labels:
        refuse("empty-target", "an empty object names nobody", path)
    for label in labels:
        if label != "external_id":
            refuse("opaque", f"only OneSignal knows whom the label {label!r} means", f"{path}.{label}")
    return Ids("alias", tuple(listed(labels["external_id"], f"{path}.external_id", LIMITS["external_id"])))


def _platforms(request: Payload) -> Iterator[Expr]:
    said = {key: request[key] for key in PLATFORMS if request.get(key) is not None}
    for key, value in said.items():
        if value is not True:
            refuse("unknown-value", f"no page tells what {value!r} means", f"$.{key}", "name the others, as true")
    if said:
        yield any_of(Tag(PLATFORM, PLATFORMS[key]) for key in said)


def emit(expr: Expr) -> Payload:
    """Say *expr* in one request, or raise Unsaid with every reason.

    >>> from audience.language.parser import parse
    >>> [" ".join(entry.values()) for entry in emit(parse("vip AND NOT city:Rome"))["filters"]]
    ['tag vip exists', 'tag city != Rome', 'OR', 'tag vip exists', 'tag city not_exists']
    """
    match expr:
        case Everyone():
            return {"included_segments": ["All"]}
        case Ids(kind="registration_id"):
            return listing(one_list(expr, LIMITS["include_subscription_ids"].most))
        case Ids(kind="alias"):
            names = one_list(expr, LIMITS["external_id"].most)
            return {"include_aliases": {"external_id": names}, "target_channel": "push"}
    problems = [*_problems(expr), *filters.clashes(expr)]
    if problems:
        raise Unsaid(problems)
    return {"filters": _filters(expr)}


def _problems(expr: Expr) -> Iterator[Problem]:
    for node in walk(expr):
        match node:
            case Not(term=Tag(type=type_, span=span)) if not filters.negatable(type_):
                message = f"{render(node)!r}: no page tells whether != holds for a device without {OWN[type_]}"
                yield Problem("not-over-field", message, span)
            case Tag():
                yield from _no_filter(node)
            case Ids(kind="registration_id" | "alias" as kind, span=span):
                yield Problem("ids-with-tags", f"{kind} cannot be combined with anything else", span)
            case Ids(kind=kind, span=span):
                yield Problem("no-such-id", f"OneSignal knows no {kind}", span, hint="name them by alias")
            case Compare(span=span) | Within(span=span):
                message = f"{render(node)!r} compares; OneSignal compares numbers only, and has no <= and >="
                yield Problem("no-ranges", message, span)


def unnamed(tag: Tag) -> Iterator[Problem]:
    """Why OneSignal has no name for *tag* that can also be said with NOT."""
    if not filters.negatable(tag.type):
        message = f"{render(tag)!r} is the field {OWN[tag.type]}, whose NOT cannot be said"
        yield Problem("not-over-field", message, tag.span)
    yield from _no_filter(tag)


def _no_filter(tag: Tag) -> Iterator[Problem]:
    if tag.type == PLATFORM:
        message = f"{render(tag)!r} is said by isIos and its like, beside filters and not in them"
        yield Problem("no-name", message, tag.span, hint="or give it the name of a tag in a catalog")


def _filters(expr: Expr) -> list[Payload]:
    try:
        clauses = dnf(expr, budget=ENTRIES).clauses
    except BudgetError as error:
        raise Unsaid(error.problems) from error
    if not clauses or () in clauses:
        raise Unsaid([Problem("no-condition", "it comes to everyone or to nobody, which no filter says")])
    count = filters.entries_of(clauses)
    if LIMITS["entries"].exceeded_by(count):
        raise Unsaid([Problem("too-many", f"{count:,} filters and operators; {ENTRIES} is the most")])
    return filters.written(clauses)


def conditions(expr: Expr) -> Iterator[Problem]:
    """What a request that says *expr* takes for granted."""
    tags = [atom for atom in atoms(expr) if isinstance(atom, Tag)]
    if expr == Everyone():
        yield Problem("universe", "everyone is every subscribed device at OneSignal; no segment there is called All")
    elif not bounded(nnf(expr)):
        yield Problem("universe", "NOT is out of all devices that OneSignal knows, not out of your table")
    if any(isinstance(atom, Ids) and atom.kind == "alias" for atom in atoms(expr)):
        yield Problem("account", "an alias is an external id, and stands for every device of that user at OneSignal")
    if any(tag.type == BARE for tag in tags):
        yield Problem("keys", "a device has a bare tag exactly if it has a key of that name at OneSignal, of any value")
    if types := sorted({tag.type for tag in tags} - {BARE}):
        yield Problem("one-value", f"a device has one value at most of {', '.join(types)}, as it has at OneSignal")


def listing(ids: Sequence[str]) -> Payload:
    """The targeting object of at most 2,000 subscription ids."""
    return {"include_subscription_ids": list(ids)}
