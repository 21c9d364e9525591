"""Measure how much an attribute reveals about the group that a device is in.

The measure is the mutual information of the group and the value, as a part of what is unknown about the group: 0 if the
values say nothing, 1 if they say everything. Values also differ by chance, the more so the more of them there are and
the fewer devices; what chance alone is expected to yield is subtracted, as in N. X. Vinh, J. Epps, J. Bailey,
"Information theoretic measures for clusterings comparison: variants, properties, normalization and correction for
chance" (2010), https://jmlr.org/papers/v11/vinh10a.html. An attribute whose value differs for every device reveals
nothing.
"""

#                 guangdong   hunan   none
#   members           60        30     10      groups that share no device
#   others           200       600    200

from dataclasses import dataclass

import numpy as np

from audience.index.query.insight.comparison import Counts, GroupCounts, GroupSizes, Ratios

MAX_EXACT_TOTAL = 64  # devices with a value, for which all ways are summed in which chance divides them
MAX_SUMMED_MEAN = 100  # expected devices of a cell; for more, its expectation is known closely enough
ROUNDING = 1e-9  # of what is unknown, which sums of logarithms may be wrong by
SPREAD = 12  # standard deviations of a Poisson distribution beyond which nothing is left of it


@dataclass(frozen=True, slots=True)
class _Group:
    """Number of devices of a group, and how many of them have each value."""

    size: int
    counts: Counts


def _separate_groups(counts: GroupCounts, sizes: GroupSizes) -> tuple[_Group, _Group]:
    """Return two groups that share no device: the members, and the rest of the base.

    If all of the base are members, they are compared with the rest of the members.
    """
    if sizes.others:
        return _Group(sizes.members, counts.members), _Group(sizes.others, counts.base - counts.shared)
    return _Group(sizes.members - sizes.shared, counts.members - counts.shared), _Group(sizes.base, counts.base)


def measure_evidence(counts: GroupCounts, sizes: GroupSizes) -> Ratios:
    """Return for each value how surely the groups differ in it, with the sign of the difference.

    It is the signed root of the statistic of the likelihood-ratio test; without a difference it would be distributed
    like a standard normal deviation.

    >>> counts = GroupCounts(np.array([60, 10]), np.array([260, 210]), np.array([60, 10]))
    >>> [round(float(root), 1) for root in measure_evidence(counts, GroupSizes(100, 1_100, 100))]
    [8.2, -2.6]
    """
    first, second = _separate_groups(counts, sizes)
    if not first.size or not second.size:
        return np.zeros(len(first.counts))
    information = _inform_of_value(first, second)
    signs: Ratios = np.sign(first.counts * second.size - second.counts * first.size).astype(np.float64)
    return signs * np.sqrt(2 * information)


def measure_information(counts: GroupCounts, sizes: GroupSizes, *, is_single_valued: bool) -> float:
    """Return how much the values of an attribute reveal about the group of a device, from 0 to 1.

    Of an attribute with several values for one device, it is what its most revealing value says.

    >>> counts = GroupCounts(np.array([60, 30]), np.array([260, 630]), np.array([60, 30]))
    >>> round(measure_information(counts, GroupSizes(100, 1_100, 100), is_single_valued=True), 3)
    0.098
    """
    first, second = _separate_groups(counts, sizes)
    if not first.size or not second.size or not len(first.counts):
        return 0.0
    total = first.size + second.size
    unknown = first.size * np.log(total / first.size) + second.size * np.log(total / second.size)
    if not is_single_valued:
        best = _inform_of_value(first, second).max()
        expected = 0.5 + np.log(len(first.counts))  # of the best of so many values, approximately
        return _adjust(best, expected, unknown)
    with_value = int(first.counts.sum()), int(second.counts.sum())
    expected = _expect_by_chance(first.counts + second.counts, *with_value)
    missing = first.size - with_value[0], second.size - with_value[1]
    expected += 0.5 if any(missing) else 0.0  # of having a value or none
    first_cells, second_cells = np.append(first.counts, missing[0]), np.append(second.counts, missing[1])
    found = _inform_of_cells(first_cells, first.size, total, first_cells + second_cells)
    found += _inform_of_cells(second_cells, second.size, total, first_cells + second_cells)
    return _adjust(found.sum(), expected, unknown)


def _adjust(found: float, expected: float, unknown: float) -> float:
    """Return the part of what is *unknown* that was *found*, without what chance is expected to yield."""
    if unknown - expected <= ROUNDING * unknown:
        return 0.0
    return float(min(max((found - expected) / (unknown - expected), 0.0), 1.0))


def _inform_of_cells(cells: Counts, group_size: int, total: int, totals: Counts) -> Ratios:
    """Return what each value contributes in one group, in nats times the number of devices."""
    expected: Ratios = (totals * (group_size / total)).astype(np.float64)
    return cells * _log(cells, expected)


def _log(numerators: Counts, denominators: Ratios) -> Ratios:
    """Return the logarithms of quotients, 0 where the numerator is 0."""
    is_positive = numerators > 0
    quotients: Ratios = np.divide(numerators, denominators, out=np.ones(len(numerators)), where=is_positive)
    return np.log(quotients)


def _inform_of_value(first: _Group, second: _Group) -> Ratios:
    """Return the information of having each value or not, in nats times the number of devices."""
    total, totals = first.size + second.size, first.counts + second.counts
    cells = [(group.counts, group.size, totals) for group in (first, second)]
    cells += [(size - count, size, total - totals) for count, size, totals in cells]
    return np.maximum(sum(_inform_of_cells(count, size, total, totals) for count, size, totals in cells), 0)


def _expect_by_chance(totals: Counts, first_size: int, second_size: int) -> float:
    """Return the information that is expected if the devices with a value have it by chance.

    Args:
        totals: Devices of each value.
        first_size: Devices of the first group that have any value.
        second_size: Devices of the second group that have any value.
    """
    size = first_size + second_size
    if not first_size or not second_size:
        return 0.0
    share = first_size / size
    distinct, repeats = np.unique(totals[totals > 0], return_counts=True)
    expected = np.empty(len(distinct))
    is_small = distinct <= MAX_EXACT_TOTAL
    expected[is_small] = _expect_of_few(distinct[is_small], share)
    large: Ratios = distinct[~is_small].astype(np.float64)
    expected[~is_small] = (1 - share) * _expect_of_cells(large * share) + share * _expect_of_cells(large * (1 - share))
    return float((expected * repeats * ((size - distinct) / max(size - 1, 1))).sum())


def _expect_of_few(totals: Counts, share: float) -> Ratios:
    """Return the expected information of values with few devices, summed over all ways to divide them."""
    expected = np.zeros(len(totals))
    for at, total in enumerate(totals.tolist()):
        first = np.arange(total + 1)
        ways = np.exp(_log_factorial(total) - _log_factorial(first) - _log_factorial(total - first))
        chances = ways * share**first * (1 - share) ** (total - first)
        rest = total - first
        means: Ratios = np.full(total + 1, total * share)
        expected[at] = chances @ (first * _log(first, means) + rest * _log(rest, total - means))
    return expected


def _expect_of_cells(means: Ratios) -> Ratios:
    """Return the expected information of cells whose counts are Poisson variables with these means.

    For large means it is a half and a little: the statistic of a test has as much for each degree of freedom.
    """
    expected = 0.5 + 1 / (12 * np.maximum(means, MAX_SUMMED_MEAN))
    for at in np.flatnonzero(means < MAX_SUMMED_MEAN):
        mean = means[at]
        counts = np.arange(1, int(mean + SPREAD * np.sqrt(mean) + SPREAD) + 1)
        chances = np.exp(counts * np.log(mean) - mean - _log_factorial(counts))
        expected[at] = chances @ (counts * np.log(counts / mean))
    return expected


_LOG_FACTORIALS = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, 1 << 10)))])


def _log_factorial(number: Counts | int) -> Ratios:
    return _LOG_FACTORIALS[number]
