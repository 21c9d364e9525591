"""Platforms of a request to OneSignal: flags such as `isIos`, beside filters, segments and aliases.

Several flags are a union. OneSignal ignores them beside ids of subscriptions, and beside the old keys of ids.
The browsers overlap with the platform web, so a browser is a reference: only OneSignal knows who uses it.
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.language.ast import Atom, Expr, Reference, Tag, all_of, and_terms, any_of, or_terms
from audience.language.platforms import PLATFORM_TYPE
from audience.vendors.onesignal.request_keys import is_absent
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.platform_field import PlatformField
from audience.vendors.spec import Payload, Unsupported

FLAGS_IGNORED_BESIDE = ("include_subscription_ids", "include_player_ids", "include_external_user_ids")
BROWSER_FLAGS = ("isChromeWeb", "isFirefox", "isSafari")
FLAG = "flag"  # kind of the references to browsers
PLATFORMS_BY_FLAG = {
    "isIos": "ios",
    "isAndroid": "android",
    "isHuawei": "huawei",
    "isAdm": "amazon",
    "isWP_WNS": "windows",
    "isAnyWeb": "web",
    "isChrome": "chrome_app",
}


def named_flags(key: str, request: PayloadCursor) -> list[str]:
    """Return the flags of *request* that narrow its target *key*.

    >>> named_flags("filters", PayloadCursor({"isIos": True, "isAndroid": False}))
    ['isIos']
    """
    flags = (*PLATFORMS_BY_FLAG, *BROWSER_FLAGS)
    for flag in flags:
        value = request[flag].value
        if not isinstance(value, bool) and not is_absent(value):
            request[flag].fail("wrong-type", f"expected true or false, found {value!r}", "write true")
    return [] if key in FLAGS_IGNORED_BESIDE else [flag for flag in flags if request[flag].value]


def parse_platforms(key: str, request: PayloadCursor) -> Iterator[Expr]:
    """Yield the union of the platforms that narrow the target *key*, if any."""
    flags = named_flags(key, request)
    if flags:
        yield any_of(map(_read_flag, flags))
    elif any(request[flag].value for flag in (*PLATFORMS_BY_FLAG, *BROWSER_FLAGS)):
        request[key].warn(f"OneSignal ignores the flags of platforms beside {key}")


def _read_flag(flag: str) -> Atom:
    if flag in BROWSER_FLAGS:
        return Reference("onesignal", FLAG, flag)
    return Tag(PLATFORM_TYPE, PLATFORMS_BY_FLAG[flag])


def split_browsers(expr: Expr) -> tuple[Expr, list[str]]:
    """Return *expr* without a union of browsers that narrows the whole, and their flags.

    >>> split_browsers(Reference("onesignal", "flag", "isFirefox") & Tag("city", "Rome"))
    (Tag(type='city', value='Rome'), ['isFirefox'])
    """
    for term in and_terms(expr):
        flags = [atom.value for atom in or_terms(term) if isinstance(atom, Reference) and is_browser(atom)]
        if len(flags) == len(or_terms(term)):
            return all_of(other for other in and_terms(expr) if other is not term), flags
    return expr, []


def is_browser(reference: Reference) -> bool:
    """Return whether *reference* is to one of the browsers."""
    return reference.kind == FLAG and reference.value in BROWSER_FLAGS


def write_flags(payload: Payload, flags: list[str]) -> Payload:
    """Return *payload*, narrowed to the platforms of *flags*, or raise Unsupported if they would be ignored."""
    if any(key in payload for key in FLAGS_IGNORED_BESIDE):
        message = "OneSignal ignores the platform beside ids of subscriptions"
        raise Unsupported([Problem("ids-with-tags", message)])
    if any(flag in payload for flag in (*PLATFORMS_BY_FLAG, *BROWSER_FLAGS)):
        message = "two flags of platforms are a union at OneSignal, not an intersection"
        raise Unsupported([Problem("platform-inside", message)])
    return {**payload, **dict.fromkeys(flags, True)}


PLATFORMS = PlatformField(
    names={platform: flag for flag, platform in PLATFORMS_BY_FLAG.items()},
    write=write_flags,
)
