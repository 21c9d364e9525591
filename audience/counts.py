"""Counts in messages: the number with separators, and the noun in the singular or the plural."""


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Return *number* with *noun*, in the plural unless it is 1; *plural* is needed if that is not noun and `s`.

    >>> format_count(1, "device"), format_count(12_345, "device"), format_count(0, "entry", "entries")
    ('1 device', '12,345 devices', '0 entries')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def format_call_bound(calls: int, min_calls: int) -> str:
    """Return a number of calls with the number below which no calls do the same.

    >>> format_call_bound(3, 3), format_call_bound(1_100, 1_000), format_call_bound(1, 1)
    ('3 calls, the fewest possible', '1,100 calls (fewer than 1,000 are impossible)', '1 call')
    """
    count = format_count(calls, "call")
    if calls <= 1:
        return count
    return (
        f"{count}, the fewest possible" if calls == min_calls else f"{count} (fewer than {min_calls:,} are impossible)"
    )
