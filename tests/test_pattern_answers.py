"""Patterns asked of indexes whose shards have the same values or others, kept as bitmaps or as bits, against Python."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience import DeviceIndex
from audience.index.ingest import build, encode
from audience.index.query import attribute_rows, literal_search, pattern_search
from audience.index.storage import joined_shard, listed_ranks, number_programs, packed_numbers, shard_writer
from audience.language.ast import Matches
from audience.language.patterns import Pattern, Wildcard, read_pattern

pattern_texts = st.lists(st.sampled_from(["a", "b", "A", "?", "*"]), min_size=1, max_size=4).map("".join)
values = st.text("abA", min_size=1, max_size=3)


def count_matches(texts: list[str | None], pattern: Pattern) -> int:
    return sum(text is not None and pattern.matches(text) for text in texts)


@given(
    shards=st.lists(st.lists(values | st.none(), min_size=12, max_size=12), min_size=1, max_size=3),
    is_repeated=st.booleans(),
    asked=st.lists(st.tuples(pattern_texts, st.booleans()), min_size=1, max_size=4),
    limits=st.tuples(
        st.sampled_from([1, 4_096]),
        st.sampled_from([0, 256]),
        st.sampled_from([0, 1, 16]),
        st.sampled_from([0, 350]),
        st.sampled_from([0, 1 << 16]),
        st.sampled_from([-3, 1, 2, 16]),
        st.sampled_from([-1, 9]),
    ),
)
def test_patterns_of_several_shards(shards, is_repeated, asked, limits, tmp_path_factory):
    path = tmp_path_factory.mktemp("patterns") / "devices.index"
    cities = [city for shard in shards for city in (shards[0] if is_repeated else shard)]
    table = pl.DataFrame({"registration_id": [f"d{row}" for row in range(len(cities))], "city": cities})
    most_bitmaps, compared_singly, lower_bits, most_steps, joined_rows, listed_bits, most_hits = limits
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (build, "MAX_SHARD_DEVICES", 12),
            (joined_shard, "MAX_JOINED_ROWS", joined_rows),
            (encode, "MAX_BITMAPS_PER_ATTRIBUTE", most_bitmaps),
            (pattern_search, "MAX_MATCHED_ONE_BY_ONE", compared_singly),
            (attribute_rows, "MAX_SLICED_RANGES", 0),
            (packed_numbers, "LOWER_BITS", lower_bits),
            (number_programs, "MAX_STEPS", most_steps),
            (literal_search, "MAX_HIT_RATIO", most_hits),
            (listed_ranks, "LISTED_BITS", listed_bits),  # with -3, no ranks are listed
        ):
            patch.setattr(module, name, value)
        index = DeviceIndex.build(table.cast({"city": pl.String}), path)
        for text, ignores_case in asked:
            pattern = read_pattern(text, ignores_case)
            if pattern.tokens != (Wildcard.ANY_TEXT,):
                expr, count = Matches("city", text, ignores_case), count_matches(cities, pattern)
                found = index.count(expr), len(index.resolve(expr)), index.count(expr)
                assert found == (count, count, count), text


@pytest.mark.parametrize("listed_bits", [-3, 10])
def test_slices_are_looked_up_as_they_are_stored(listed_bits, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 40_000)
    monkeypatch.setattr(listed_ranks, "LISTED_BITS", listed_bits)
    rng = np.random.default_rng(14)
    names = np.array([f"{prefix}{number:04}" for prefix in ("gu", "Gu", "中") for number in range(2_000)])
    cities = pl.Series(names[rng.integers(0, len(names), 75_000)])
    table = pl.DataFrame({"registration_id": pl.int_range(75_000, eager=True).cast(pl.String), "city": cities})
    index = DeviceIndex.build(table, tmp_path / "devices.index")
    attributes = [(shard, shard.attributes["city"]) for shard in index.snapshot.shards]
    lowest_bits = [(shard, city.start + city.value_count + 1) for shard, city in attributes]
    assert [shard.view_words(range(row, row + 1))[0] is not None for shard, row in lowest_bits] == [True, True]
    for text, found in [
        ("*7", cities.str.ends_with("7")),
        ("?u*9*", cities.str.contains(r"\A.u.*9")),
        ("*12*", cities.str.contains("12", literal=True)),
    ]:
        assert len(index.resolve(Matches("city", text))) == found.sum()
    index.remove([str(number) for number in range(0, 75_000, 3)])
    assert index.count(Matches("city", "*7")) == cities.str.ends_with("7").filter(np.arange(75_000) % 3 > 0).sum()


@pytest.mark.parametrize("joined_rows", [0, 1 << 16])
@pytest.mark.parametrize("is_older", [False, True])
def test_ranks_are_kept_by_changes(is_older, joined_rows, tmp_path, monkeypatch):
    monkeypatch.setattr(joined_shard, "MAX_JOINED_ROWS", joined_rows)
    monkeypatch.setattr(encode, "MAX_BITMAPS_PER_ATTRIBUTE", 1)
    monkeypatch.setattr(attribute_rows, "MAX_SLICED_RANGES", 0)
    monkeypatch.setattr(listed_ranks, "LISTED_BITS", 2)
    cities = [None if row % 7 == 0 else f"{row * 37 % 11:02}" for row in range(300)]
    table = pl.DataFrame({"registration_id": [f"d{row}" for row in range(300)], "city": cities, "tags": [["a"]] * 300})
    with monkeypatch.context() as patch:
        if is_older:  # files of earlier versions have no ranks
            patch.setattr(shard_writer, "RANK_COLUMN", "other")
        index = DeviceIndex.build(table, tmp_path / "devices.index")
    index.tag([f"d{row}" for row in range(50)], add="b")
    for step, row_count in ((6, 300), (3, 200)):  # first, deleted rows are left where they are
        index.remove([f"d{row}" for row in range(0, 300, step)])
        [(shard, city)] = [(shard, shard.attributes["city"]) for shard in index.snapshot.shards]
        assert (shard.read_ranks(city) is None, shard.row_count) == (is_older, row_count)
        for text in ("*1", "0?", "*0*", "*3*"):
            pattern = read_pattern(text)
            expected = {f"d{row}" for row in range(300) if row % step and cities[row] and pattern.matches(cities[row])}
            assert index.count(Matches("city", text)) == len(expected), text
            assert set(index.resolve(Matches("city", text)).ids()) == expected, text
