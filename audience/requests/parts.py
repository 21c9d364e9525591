"""Parts of a request folder: ids that get the same message in the same window."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Ids [first, stop) of a plan, and what they have in common.

    Attributes:
        first: Position of the first id.
        stop: Position after the last one.
        variant: Variant of the split that they are in; None without a split.
        language: Language of the message that they get, as a BCP 47 tag; None for the message itself.
        zone: Name of their time zone; None if it is not known.
    """

    first: int
    stop: int
    variant: str | None = None
    language: str | None = None
    zone: str | None = None
