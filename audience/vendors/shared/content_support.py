"""Fields of a message that a vendor has none for, and variants and languages, which no single body has."""

from collections.abc import Iterator

from audience.errors import MessageError, Problem
from audience.messages import Message

_UNWRITTEN_FIELDS = ("subtitle", "priority", "category", "thread_id", "channel_id")


def require_plain(message: Message) -> None:
    """Raise MessageError if *message* has variants or languages: one body has one text, so requests are divided."""
    if message.variants:
        hint = "divide the requests: pass the message to `audience emit --message FILE`"
        raise MessageError(Problem("not-divided", "a body has one variant", path="$.variants", hint=hint))
    if message.localized:
        hint = "divide the requests: `audience emit --message FILE --language-of ATTRIBUTE`"
        raise MessageError(Problem("not-divided", "a body has one language", path="$.localized", hint=hint))


def unsupported_content(message: Message, vendor_title: str) -> Iterator[Problem]:
    """Find the fields of *message* and its overrides that a body of this vendor does not have."""
    for name in _UNWRITTEN_FIELDS:
        if getattr(message, name) is not None:
            yield Problem("unsupported-field", f"{vendor_title} has no {name}", path=f"$.{name}")
    for place, override in message.overrides.items():
        for name in override:
            reason = f"{vendor_title} has no {name} for {place} alone"
            yield Problem("unsupported-field", reason, path=f"$.overrides.{place}.{name}")
