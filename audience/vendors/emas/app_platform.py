"""Platform of an EMAS application: its AppKey is of one platform, unless it is an old one of several.

Source: https://help.aliyun.com/document_detail/48089.html, read 2026-11-21: a request passes the AppKey of its
platform, and DeviceType ALL of such a key means the same as that platform.
"""

from collections.abc import Iterator, Mapping

from audience.errors import DeliveryError, Problem
from audience.vendors.delivery_spec import Credentials
from audience.vendors.spec import Payload

ANY_PLATFORM = "all"
OPTIONAL_KEYS = {"platform": (ANY_PLATFORM, "android", "ios", "harmonyos")}
KEY_HINT = "set the application's key `platform` to the platform of its AppKey"


def resolve_platform(credentials: Credentials) -> str:
    """Return the platform of the application, or "all"."""
    return credentials.keys.get("platform") or ANY_PLATFORM


def wrong_platform_problems(own: str | None, credentials: Credentials, path: str) -> Iterator[Problem]:
    """Find whether what is for the platform *own* only is for another one than the application.

    Args:
        own: Platform by our name; None if it is for all.
        credentials: Keys of the application.
        path: Path of what is for that platform.
    """
    platform = resolve_platform(credentials)
    if own is not None and platform not in (ANY_PLATFORM, own):
        message = f"the application is for {platform}, and this is for {own}"
        yield Problem("wrong-platform", message, path=path, hint=KEY_HINT)


def keep_parts(fields: Payload, platform: str, platforms_by_prefix: Mapping[str, str]) -> Payload:
    """Drop the fields of other platforms than the application's.

    >>> keep_parts({"Title": "t", "iOSBadge": 1, "AndroidMusic": "a"}, "ios", {"iOS": "ios", "Android": "android"})
    {'Title': 't', 'iOSBadge': 1}
    """
    others = tuple(prefix for prefix, name in platforms_by_prefix.items() if platform not in (ANY_PLATFORM, name))
    return {name: value for name, value in fields.items() if not name.startswith(others)}


def require_own_platform(own: str | None, credentials: Credentials) -> None:
    """Raise DeliveryError if a message is for another platform than the application: checks were not asked."""
    for problem in wrong_platform_problems(own, credentials, "$.platforms"):
        raise DeliveryError(problem)
