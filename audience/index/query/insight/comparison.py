"""Compare how many devices of two groups have each of several values: lifts with their intervals.

The lift of a value is its share among the members divided by its share in the base. Its interval is the range of lifts
that chance leaves open, if the devices are seen as a sample of all those that could have been there. Wilson's intervals
of the two shares are combined by the method of variance estimates recovery, MOVER-R: A. Donner, G. Y. Zou, "Closed-form
confidence intervals for functions of the normal mean and standard deviation" (2012),
https://doi.org/10.1177/0962280210383082; M. W. Fagerland, S. Lydersen, P. Laake, "Recommended confidence intervals for
two independent binomial proportions" (2015), https://doi.org/10.1177/0962280211415469, recommend it.

The method is for groups that share no device. Members are nearly always part of the base, such as everybody. The ratio
of the members' share to that of the other devices of the base is estimated then. The lift is a rising function of that
ratio, so that the ends of its interval become the ends of the interval of the lift. Of two groups that overlap in part,
the correlation of their shares is taken into account.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
DEVIATIONS = 1.959963984540054  # of a normal distribution, between which it has that probability

Counts: TypeAlias = NDArray[np.int64]
Ratios: TypeAlias = NDArray[np.float64]
Interval: TypeAlias = tuple[Ratios, Ratios]


@dataclass(frozen=True, slots=True)
class GroupSizes:
    """Numbers of devices of the members, of the base, and of both at once."""

    members: int
    base: int
    shared: int

    @property
    def others(self) -> int:
        """Return the number of devices of the base that are no members."""
        return self.base - self.shared


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """Numbers of devices with each value, among the members, in the base, and in both at once."""

    members: Counts
    base: Counts
    shared: Counts

    @property
    def parts(self) -> tuple[Counts, Counts, Counts]:
        """Return the numbers of each group."""
        return self.members, self.base, self.shared

    def select(self, positions: NDArray[np.int64] | NDArray[np.bool_]) -> "GroupCounts":
        """Return the counts of some of the values."""
        return GroupCounts(self.members[positions], self.base[positions], self.shared[positions])


class Lifts(NamedTuple):
    """Lift of each value and the ends of its interval; infinite or not a number where there is none."""

    lift: Ratios
    low: Ratios
    high: Ratios


def estimate_lifts(counts: GroupCounts, sizes: GroupSizes) -> Lifts:
    """Return the lift of each value, and its interval.

    >>> counts = GroupCounts(*(np.array([count]) for count in (30, 50, 30)))
    >>> lifts = estimate_lifts(counts, GroupSizes(100, 1_000, 100))
    >>> [round(float(lift[0]), 2) for lift in (lifts.low, lifts.lift, lifts.high)]
    [4.68, 6.0, 7.14]
    """
    if not sizes.members or not sizes.base:
        nothing = np.full(len(counts.members), np.nan)
        return Lifts(nothing, nothing, nothing)
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = counts.members * float(sizes.base) / (counts.base * float(sizes.members))
        low, high = _estimate_interval(counts, sizes)
    is_none = np.isnan(lift)
    return Lifts(lift, np.where(is_none, np.nan, low), np.where(is_none, np.nan, high))


def divide_counts(counts: Counts, size: int) -> Ratios:
    """Return the share of each of *counts* among *size* devices, 0 of none."""
    return counts / size if size else np.zeros(len(counts))


def _estimate_interval(counts: GroupCounts, sizes: GroupSizes) -> Interval:
    """Return the ends of the interval of each lift."""
    others = counts.base - counts.shared
    if sizes.shared == sizes.members == sizes.base:
        return np.ones(len(others)), np.ones(len(others))
    if sizes.shared == sizes.members:  # part of the base
        low, high = _estimate_ratios(counts.members, sizes.members, others, sizes.others)
        weight = sizes.members / sizes.base
        return _to_lift_of_part(low, weight), _to_lift_of_part(high, weight)
    if sizes.shared == sizes.base:  # the base is part of the members
        rest, weight = counts.members - counts.shared, sizes.base / sizes.members
        low, high = _estimate_ratios(rest, sizes.members - sizes.shared, counts.base, sizes.base)
        return weight + (1 - weight) * low, weight + (1 - weight) * high
    correlation = _estimate_correlation(counts, sizes) if sizes.shared else np.zeros(len(others))
    return _estimate_ratios(counts.members, sizes.members, counts.base, sizes.base, correlation)


def _to_lift_of_part(ratio: Ratios, weight: float) -> Ratios:
    """Return the lift against a base of which the members are the share *weight*.

    Args:
        ratio: Share of a value among the members, divided by that among the other devices of the base.
        weight: Share of the members in the base.
    """
    return np.where(np.isinf(ratio), 1 / weight, ratio / (weight * ratio + 1 - weight))


def _estimate_ratios(
    first: Counts, first_size: int, second: Counts, second_size: int, correlation: Ratios | float = 0.0
) -> Interval:
    """Return the interval of the ratio of two shares, by MOVER-R; the high end is infinite if the second may be 0.

    The formulas are those of the sources, with numerator and denominator swapped where that avoids 0 / 0.
    """
    p, q = first / first_size, second / second_size
    (p_low, p_high), (q_low, q_high) = _wilson(p, first_size), _wilson(q, second_size)
    p_below, p_above, q_below, q_above = p - p_low, p_high - p, q - q_low, q_high - q
    product = p * q - correlation * p_below * q_above
    root = np.sqrt(np.maximum(product**2 - (p**2 - p_below**2) * (q**2 - q_above**2), 0))
    low = np.where(first > 0, (p**2 - p_below**2) / (product + root), 0.0)
    product = p * q - correlation * p_above * q_below
    root = np.sqrt(np.maximum(product**2 - (p**2 - p_above**2) * (q**2 - q_below**2), 0))
    high = np.where(second > 0, (product + root) / (q**2 - q_below**2), np.inf)
    return low, high


def _wilson(share: Ratios, size: int) -> Interval:
    """Return the interval of a share of *size* devices.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference" (1927),
    https://doi.org/10.1080/01621459.1927.10502953
    """
    spread = DEVIATIONS**2 / size
    center = (share + spread / 2) / (1 + spread)
    half = np.sqrt(spread * share * (1 - share) + spread**2 / 4) / (1 + spread)
    return np.minimum(np.maximum(center - half, 0), share), np.maximum(np.minimum(center + half, 1), share)


def _estimate_correlation(counts: GroupCounts, sizes: GroupSizes) -> Ratios:
    """Return the correlation of the two shares, which the devices in both groups cause."""
    p, q, both = counts.members / sizes.members, counts.base / sizes.base, counts.shared / sizes.shared
    covariance = sizes.shared * both * (1 - both) / (sizes.members * sizes.base)
    variances = p * (1 - p) / sizes.members * q * (1 - q) / sizes.base
    return np.where(variances > 0, np.minimum(covariance / np.sqrt(variances), 1), 0.0)
