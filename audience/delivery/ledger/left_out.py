"""Codes of ids that policies leave out of a run; the other codes of a ledger are those of vendors.

policy:consent            the id does not fit the policy `consent`
not-in-index              no device of the index has it any more
in-doubt-policy:consent   the same of an id that an earlier call without a reply may have reached
"""

from collections.abc import Iterable, Mapping

POLICY_PREFIX, NOT_IN_INDEX, IN_DOUBT_PREFIX = "policy:", "not-in-index", "in-doubt-"


def find_reason(code: str) -> str | None:
    """Return the name of the policy of a code, or `not-in-index`; None for the code of a vendor.

    >>> [find_reason(code) for code in ("in-doubt-policy:consent", "not-in-index", "21003")]
    ['consent', 'not-in-index', None]
    """
    own = code.removeprefix(IN_DOUBT_PREFIX)
    if own.startswith(POLICY_PREFIX):
        return own.removeprefix(POLICY_PREFIX)
    return own if own == NOT_IN_INDEX else None


def count_reasons(counts_by_code: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    """Return how many ids were left out for each reason.

    >>> count_reasons([("policy:consent", 2), ("in-doubt-policy:consent", 1), ("21003", 5)])
    {'consent': 3}
    """
    counts: dict[str, int] = {}
    for code, count in counts_by_code:
        if (reason := find_reason(code)) is not None:
            counts[reason] = counts.get(reason, 0) + count
    return counts
