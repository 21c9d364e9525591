"""Words that are viewed as a bitmap have the rows that are set, whatever they had before."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.index.storage import viewed_words
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.croaring import CONTAINER_WORDS, LISTED_BEYOND, load_view_lister
from audience.index.storage.viewed_words import ViewedWords

CONTAINERS = st.lists(
    st.sampled_from([[], [0], [65_535], range(0, 65_536, 17), range(4_096), range(4_097), range(65_536)]),
    min_size=1,
    max_size=4,
)


def rows_of(containers) -> list[int]:
    return [(number << 16) + row for number, rows in enumerate(containers) for row in rows]


@pytest.mark.parametrize("missing", ["", "_load_copier", "_load_view", "_load_lister"])
@given(before=CONTAINERS, after=CONTAINERS)
def test_words_are_what_was_written_last(missing, before, after):
    with pytest.MonkeyPatch.context() as patch:
        if missing:
            patch.setattr(viewed_words, missing, lambda: None)
        viewed = ViewedWords(max(len(before), len(after)) * CONTAINER_WORDS)
        copies = []
        for rows in map(rows_of, (before, after)):
            is_set = np.zeros(64 * len(viewed.words), dtype=np.bool_)
            is_set[rows] = True
            viewed.words[:] = np.packbits(is_set, bitorder="little").view(np.uint64)
            assert viewed.count() == viewed.count_shared(viewed) == len(rows)
            assert viewed.list_rows().tolist() == sorted(rows)
            copies.append((viewed.to_bitmap(), BitMap(rows, optimize=False)))
            viewed.words[:] = np.packbits(is_set, bitorder="little").view(np.uint64)  # they may be changed by a copy
    for copied, expected in copies:
        assert copied == expected
        assert copied.serialize() == expected.serialize(), "a container has another form than that of its rows"


@given(sizes=st.lists(st.integers(1, 2 * CONTAINER_WORDS), min_size=1, max_size=5))
def test_resized_words_have_no_row_after_the_last_word(sizes):
    viewed = ViewedWords(2 * CONTAINER_WORDS)
    for size in sizes:
        viewed.words[:] = ~np.uint64(0)
        viewed.resize(size)
        viewed.words[:] = ~np.uint64(0)
        assert viewed.count() == 64 * size
        assert viewed.list_rows().tolist() == list(range(64 * size))


@pytest.mark.parametrize("beyond", [0, LISTED_BEYOND, LISTED_BEYOND + 1])
def test_a_function_that_writes_too_far_lists_no_rows(beyond, monkeypatch):
    write = load_view_lister()
    assert write is not None, "this version of CRoaring lists no rows of words"

    def write_farther(view, rows):
        write(view, rows)
        expected = rows[: view.intersection_cardinality(view) + LISTED_BEYOND]
        rows[len(expected) - LISTED_BEYOND :][:beyond] = 7

    monkeypatch.setattr(viewed_words, "load_view_lister", lambda: write_farther)
    viewed_words._load_lister.cache_clear()
    try:
        assert (viewed_words._load_lister() is None) == (beyond > LISTED_BEYOND)
    finally:
        viewed_words._load_lister.cache_clear()


def test_parts_of_containers_are_counted_without_a_view():
    viewed = ViewedWords(10)
    viewed.words[:] = 3
    assert (viewed.count(), ViewedWords(0).count()) == (20, 0)
