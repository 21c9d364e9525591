"""Lower bound of the number of calls that give several tags to several ids, by prices of pairs.

Each pair of a device and a tag that is to be set has a price. The price of a pair is divided by the cost of the dearest
call that the pair can be in, so that no call costs more than 1; then all pairs together cost no more than there are
calls. Any prices of tags are valid. The prices that are tried grow with the rarity of a tag, as calls for a rare tag
carry little else, and add up to the number of calls that were found: if this number is minimal, so do the best prices.

Frequent tags can be combined in so many ways that the search for the dearest calls does not end. Such tags get no
price: a lower bound for the rarer tags is one for all tags.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from audience.index.storage.bitmaps import BitMap, RowNumbers, bitmap_to_rows
from audience.tag_sync.packing.bounds import round_up
from audience.tag_sync.packing.common_tags import Limits
from audience.tag_sync.packing.dearest_calls import Codes, DearestCalls, PricedTags

MAX_STEPS = 9_000_000_000  # devices that the search visits, in all cells
MAX_COLUMNS = 64  # of which the search takes the pairs; the bound of some pairs is one of all
MAX_CELLS = 100_000_000  # of the table of devices and columns
MAX_TRIED_DEVICES = 60_000  # for which several prices are tried
FACTORS = (0.6, 0.9, 1.15, 1.55, 2.0)  # of prices of tags that are independent of each other
MAX_FACTOR = 3.0
FITTING_STEPS = 4
FREQUENT_SHARES = (0.25, 0.15, 0.1)  # of the devices, above which a tag has no price if the search takes too long
RARE_FACTOR = 1.2  # of prices of rarer tags alone; higher ones take more steps and prove as much
LIST_SHARE = 0.1  # of the price of a tag that is for its place in the list of a call, whatever devices have it
ROUNDING = 1e-4  # the costs of calls are kept as small numbers


def bound_by_prices(
    rows: Sequence[BitMap],
    allowed: Sequence[BitMap],
    groups: Sequence[Sequence[int]],
    limits: Limits,
    found: int | None = None,
) -> int:
    """Return a number of calls below which none set all of *rows*.

    Args:
        rows: For each tag, the devices that are to get it.
        allowed: For each tag, all devices that a call may give it to, with those of *rows*.
        groups: Tags of the same attribute.
        limits: What a call takes.
        found: Number of calls that do: prices that add up to more of them are too high.
    """
    devices = bitmap_to_rows(BitMap.union(*rows)) if rows else np.empty(0, dtype=np.uint32)
    exclusive = [part for group in groups for part in _split_group(group, rows, allowed)]
    chosen = sorted(exclusive, key=lambda group: -sum(len(rows[tag]) for tag in group))[:MAX_COLUMNS]
    if not chosen or len(devices) * len(chosen) > MAX_CELLS:
        return 0
    columns = [_tabulate(group, rows, allowed, devices) for group in chosen]
    columns.sort(key=lambda column: -len(column.prices))
    most = len(devices) if found is None else found
    return round_up(_bound_columns(columns, limits, most) * (1 - ROUNDING))


def _bound_columns(columns: Sequence[PricedTags], limits: Limits, most: int) -> float:
    """Return the bound of all tags, or that of the rarer ones, if the search of all does not come to its end."""
    best = 0.0
    for share in (1.0, *FREQUENT_SHARES):
        rarer = [rare for column in columns if (rare := _without_frequent(column, share)).prices.any()]
        if not rarer or (share < 1 and _count_priced(rarer) == _count_priced(columns)):
            continue
        factors = _choose_factors(rarer, limits, most, is_all=share == 1)
        bound, is_finished = _try_factors(rarer, limits, factors)
        best = max(best, bound)
        if is_finished:
            break
    return best


def _without_frequent(column: PricedTags, share: float) -> PricedTags:
    """Return *column* without prices of the tags that more than a *share* of the devices may have."""
    counts = np.bincount(column.codes, minlength=len(column.prices))
    return replace(column, prices=np.where(counts <= share * len(column.codes), column.prices, 0))


def _count_priced(columns: Sequence[PricedTags]) -> int:
    return sum(int(np.count_nonzero(column.prices)) for column in columns)


def _choose_factors(columns: Sequence[PricedTags], limits: Limits, most: int, *, is_all: bool) -> list[float]:
    """Return the factors of prices to try, which rise."""
    fitted = _fit_factor(columns, limits, most)
    if not is_all:
        return [min(fitted, RARE_FACTOR)]
    if len(columns[0].codes) > MAX_TRIED_DEVICES:
        return [fitted]
    return [*(factor for factor in FACTORS if factor < fitted), fitted]


def _split_group(group: Sequence[int], rows: Sequence[BitMap], allowed: Sequence[BitMap]) -> list[list[int]]:
    """Return the tags of *group* that any device is to get together if no device may have two, else each alone."""
    tags = [tag for tag in group if rows[tag]]
    may_have = [allowed[tag] for tag in tags]
    is_exclusive = not tags or len(BitMap.union(*may_have)) == sum(map(len, may_have))
    return [tags] if tags and is_exclusive else [[tag] for tag in tags]


def _tabulate(
    group: Sequence[int], rows: Sequence[BitMap], allowed: Sequence[BitMap], devices: RowNumbers
) -> PricedTags:
    """Return the column of the tags of *group*, each at the price of 1."""
    codes: Codes = np.full(len(devices), len(group), dtype=np.int64)
    codes = codes.astype(np.uint8) if len(group) < 256 else codes
    wanted = np.zeros(len(devices), dtype=np.bool_)
    for code, tag in enumerate(group):
        codes[_locate(allowed[tag], devices)] = code
        wanted[_locate(rows[tag], devices)] = True
    has_none = codes == len(group)
    prices = np.array([1.0] * len(group) + [0.0] * bool(has_none.any()))
    return PricedTags(codes, prices, None if (wanted | has_none).all() else wanted)


def _locate(row: BitMap, devices: RowNumbers) -> NDArray[np.int64]:
    """Return the places in *devices* of those that *row* has."""
    positions = bitmap_to_rows(row)
    at = np.minimum(np.searchsorted(devices, positions), len(devices) - 1)
    return np.asarray(at[devices[at] == positions])


def _fit_factor(columns: Sequence[PricedTags], limits: Limits, found: int) -> float:
    """Return the factor with which all pairs cost as much as the calls that were *found*, or the largest one."""
    factor = 1.0
    for _ in range(FITTING_STEPS):
        priced = sum(_sum_prices(_price_tags(column, limits, factor)) for column in columns)
        factor = min(factor * found / max(priced, ROUNDING), MAX_FACTOR)
    return factor


def _sum_prices(column: PricedTags) -> float:
    return float(column.price_devices(None).sum())


def _try_factors(columns: Sequence[PricedTags], limits: Limits, factors: Sequence[float]) -> tuple[float, bool]:
    """Return the highest bound proven with one of *factors*, which rise, and whether its search was finished."""
    best, is_any_finished = 0.0, False
    for factor in factors:
        bound, is_finished = _price_calls(columns, limits, factor, MAX_STEPS // len(factors))
        best, is_any_finished = max(best, bound), is_any_finished or is_finished
        if not is_finished:
            break  # higher prices take a longer search
    return best, is_any_finished


def _price_calls(columns: Sequence[PricedTags], limits: Limits, factor: float, steps: int) -> tuple[float, bool]:
    """Return what all pairs of *columns* cost if no call costs more than 1, and whether the search was finished."""
    priced = [_price_tags(column, limits, factor) for column in columns]
    search = DearestCalls(priced, limits, steps)
    search.find()
    prices = zip(priced, search.costs, strict=True)
    return sum(float((column.price_devices(None) / costs).sum()) for column, costs in prices), search.steps > 0


def _price_tags(column: PricedTags, limits: Limits, factor: float) -> PricedTags:
    """Return *column* with prices: those of independent tags that fill a call, times *factor*, or of its own calls."""
    device_count, width = len(column.codes), len(column.prices)
    wanted = column.codes if column.wanted is None else column.codes[column.wanted]
    counts = np.bincount(wanted, minlength=width)
    bits = np.log2(device_count / np.maximum(np.bincount(column.codes, minlength=width), 1))
    shares = LIST_SHARE / limits.max_tags + (1 - LIST_SHARE) * bits / np.log2(max(device_count / limits.max_ids, 2))
    prices = np.minimum(factor * shares, 1) / np.clip(counts, 1, limits.max_ids)
    return replace(column, prices=np.where(counts > 0, prices, 0) * column.prices)
