"""Ids are found in a hash table as if every entry were compared with every hash."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.index.storage import id_lookup
from audience.index.storage.id_lookup import ROW_BITS, find_candidate_rows, mark_prefixes

# Few different hashes, near each other or not, so that many are equal or begin with the same bits.
HASHES = st.integers(0, 7).flatmap(lambda high: st.integers(0, 3).map(lambda low: high << 61 | low << ROW_BITS))


def make_table(hashes: list[int]) -> id_lookup.HashTable:
    return np.sort(np.array([hash_ | row for row, hash_ in enumerate(hashes)], dtype=np.uint64))


@given(
    stored=st.lists(HASHES, max_size=20),
    wanted=st.lists(HASHES, min_size=1, max_size=20),
    block=st.sampled_from([1, 3, 1 << 15]),
    scanned=st.sampled_from([0, 1 << 20]),
)
def test_all_rows_with_a_hash_are_found(stored, wanted, block, scanned):
    table, hashes = make_table(stored), np.sort(np.array(wanted, dtype=np.uint64))
    expected = sorted(
        (position, row)
        for position, hash_ in enumerate(hashes.tolist())
        for row, other in enumerate(stored)
        if other == hash_
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(id_lookup, "PREFIXED_ENTRIES", block)
        patch.setattr(id_lookup, "MAX_SCANNED", scanned)
        for prefixes in (None, mark_prefixes(hashes)):
            positions, rows = find_candidate_rows(table, hashes, prefixes)
            assert sorted(zip(positions.tolist(), rows.tolist(), strict=True)) == expected
