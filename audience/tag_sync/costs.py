"""Duration of a sync at the vendor's rates."""

from collections import Counter
from collections.abc import Iterable

from audience.vendors.delivery_spec import RateLimit
from audience.vendors.tag_spec import TagCallForm, TagSpec

CALL_SECONDS = 0.1  # from a request to its reply, where calls wait for those before them
DAY_SECONDS = 86_400.0


def estimate_seconds(forms: Iterable[TagCallForm], spec: TagSpec, *, call_seconds: float = CALL_SECONDS) -> float:
    """Return how long calls take, at the vendor's rate limits and with no more of them in flight than it allows.

    Calls under one rate limit leave evenly, and those under several wait for the slowest of them. Calls beyond those of
    a day wait until the next one.

    Args:
        forms: The form of each call.
        spec: What the vendor bounds.
        call_seconds: Duration of one call.
    """
    call_counts = Counter(forms)
    in_flight = call_seconds * sum(call_counts.values()) / spec.max_concurrent if spec.max_concurrent else 0.0
    return max(in_flight, _wait_seconds(call_counts, spec), _wait_days(call_counts, spec) * DAY_SECONDS)


def _wait_days(call_counts: Counter[TagCallForm], spec: TagSpec) -> int:
    """Return after how many days the last calls are made, as those of each form are bounded."""
    most = spec.max_calls_per_day.maximum if spec.max_calls_per_day else None
    return max(((calls - 1) // most for calls in call_counts.values()), default=0) if most else 0


def _wait_seconds(call_counts: Counter[TagCallForm], spec: TagSpec) -> float:
    """Return when the last call leaves; the first leaves at once."""
    counts: Counter[str] = Counter()
    intervals: dict[str, float] = {}
    for form, calls in call_counts.items():
        for limit in spec.rate_limits(form):
            counts[limit.name] += calls
            intervals[limit.name] = max(intervals.get(limit.name, 0.0), _find_interval(limit))
    return max((intervals[name] * max(0, calls - 1) for name, calls in counts.items()), default=0.0)


def _find_interval(limit: RateLimit) -> float:
    return limit.period_seconds / limit.max_calls
