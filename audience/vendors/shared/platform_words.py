"""Reading of a vendor's words for platforms."""

from audience.language.ast import Tag
from audience.language.platforms import PLATFORM_TYPE, canonical_platform
from audience.language.suggest import did_you_mean
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.platform_field import PlatformField


def read_platform_word(word: str, cursor: PayloadCursor, field: PlatformField) -> Tag:
    """Return the tag of the platform that a vendor calls *word*, in any case, or fail at *cursor*."""
    name = canonical_platform(word)
    if name not in field.names:
        words = list(field.names.values())
        hint = did_you_mean(word.lower(), words) or f"one of {', '.join(words)}"
        cursor.fail("unknown-value", f"unknown platform {word!r}", hint)
    return Tag(PLATFORM_TYPE, name)
