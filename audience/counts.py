"""Counts in messages: the number with separators, and the noun in the singular or the plural."""


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Return *number* with *noun*, in the plural unless it is 1; *plural* is needed if that is not noun and `s`.

    >>> format_count(1, "device"), format_count(12_345, "device"), format_count(0, "entry", "entries")
    ('1 device', '12,345 devices', '0 entries')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
