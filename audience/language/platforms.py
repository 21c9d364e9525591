"""Names of platforms: one for each, however a vendor, a message or a table spells it."""

import re
from collections.abc import Iterable

PLATFORM_TYPE = "platform"  # type of the tags that say on which platform a device is

_SPELLINGS = {
    "android": (),
    "harmonyos": ("harmony", "hmos"),
    "ios": (),
    "macos": ("mac", "macosx", "osx"),
    "miniprogram": (),
    "quickapp": (),
    "web": (),
    "windows": (),
    "winphone": ("windowsphone",),
}
_NAMES_BY_SPELLING = {spelling: name for name, others in _SPELLINGS.items() for spelling in (name, *others)}
_SEPARATORS = re.compile("[ _-]")


def canonical_platform(name: str) -> str:
    """Return the name of a platform, whatever its case; one that is not known is kept as it is.

    >>> canonical_platform("HARMONY"), canonical_platform("hmos"), canonical_platform("iOS"), canonical_platform("TV")
    ('harmonyos', 'harmonyos', 'ios', 'TV')
    """
    return _NAMES_BY_SPELLING.get(_SEPARATORS.sub("", name.lower()), name)


def platform_spellings(name: str) -> tuple[str, ...]:
    """Return all spellings of the platform *name*, in lower case and without separators; none if it is not known.

    >>> platform_spellings("harmonyos"), platform_spellings("TV")
    (('harmonyos', 'harmony', 'hmos'), ())
    """
    return (name, *_SPELLINGS[name]) if name in _SPELLINGS else ()


def find_platform_renames(names: Iterable[str]) -> dict[str, str]:
    """Return the canonical name of each of *names* that is not canonical itself.

    >>> find_platform_renames(["ios", "Android"])
    {'Android': 'android'}
    """
    return {name: canonical for name in names if (canonical := canonical_platform(name)) != name}
