"""Edge cases of the values that an index holds and of changes."""

import gc
import itertools
import os
import tempfile
import threading
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import device_rows, index_expr, make_oracle_devices, make_table

from audience import AudienceError, DeviceIndex, ExpressionError, InvalidIndexError, LockedError, Sample, TableError
from audience.index.changes import compaction, update
from audience.index.ingest import build, encode
from audience.index.ingest.cast import name_flags
from audience.index.ingest.decode import concat_columns, decode_rows, new_categories, reject_mixed_numbers
from audience.index.ingest.encoded_shards import write_shard
from audience.index.query import device_set
from audience.index.schema.columns import Column
from audience.index.storage import bitmaps, joined_shard
from audience.index.storage.published import LocalStorage
from audience.index.storage.shard import Shard

DATETIME_RANGE = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999)
number_strategies = {
    pl.Int64: st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3),
    pl.Float64: st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0) | st.sampled_from([0.1, 1e15]),
    pl.Decimal(38, 3): st.decimals(-(10**34), 10**34, places=3) | st.decimals(-9, 9, places=3),
    pl.Date: st.dates(),
    pl.Datetime("us"): st.datetimes(*DATETIME_RANGE) | st.sampled_from(DATETIME_RANGE),
}
text_values = st.text(st.characters(codec="utf-8"), min_size=1, max_size=3)
ROLE_BY_DTYPE = {pl.Int64: "number", pl.Float64: "number", pl.Decimal(38, 3): "number", pl.Date: "date"}


@st.composite
def column_values(draw, size: int):
    """Generate a column of any role and its values."""
    kind = draw(st.sampled_from([*number_strategies, "string", "version", "tags", "flags", "alias", "id"]))
    if kind == "flags":
        return "tags", pl.Series(
            draw(st.lists(st.none() | st.booleans(), min_size=size, max_size=size)), dtype=pl.Boolean
        )
    versions = st.sampled_from(["1.2", "1.2.0", "1.10", "2.0.0.1", "1.0rc1"])
    value = number_strategies.get(kind, versions if kind == "version" else text_values)
    many = kind == "tags" or (kind != "id" and draw(st.booleans()))
    if many:
        value = st.lists(value, max_size=3, unique=True)
    values = draw(st.lists(st.none() | value, min_size=size, max_size=size))
    type_ = pl.String if isinstance(kind, str) else kind
    role = kind if isinstance(kind, str) else ROLE_BY_DTYPE.get(kind, "time")
    return role, pl.Series(values, dtype=pl.List(type_) if many else type_)


@st.composite
def column_tables(draw):
    size = draw(st.integers(1, 8))
    table = {Column("key", "id", "token"): pl.Series([f"r{row}" for row in range(size)])}
    for number, (role, values) in enumerate(draw(st.lists(column_values(size), max_size=5))):
        name = "tag" if role == "tags" else f"c{number}"
        if role == "tags" and values.dtype != pl.Boolean:  # a tag is in one column only
            values = values.list.eval(pl.element() + f" of {number}")
        table[Column(f"c{number}", role, name)] = values
    return table


def normalize_series(values: pl.Series, column: Column) -> list:
    """Return *values* with null for empty lists, with sorted lists, and with tags for flags."""
    values = name_flags(values, column)
    return [sorted(value) if isinstance(value, list) and value else value or None for value in _as_lists(values)]


def _as_lists(values: pl.Series) -> list:
    return [value if isinstance(value, list) or value is None else (value,) for value in values.to_list()]


@given(column_tables(), st.sampled_from([1, 4_096]), st.booleans())
def test_encode_decode_round_trips(table, most, packed):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "MAX_BITMAPS_PER_ATTRIBUTE", most)
        patch.setattr(os, "fsync", lambda handle: None)
        storage = LocalStorage.create(Path(folder))
        shard = Shard(storage, write_shard(storage, "one", dict(table), 0))
        decoded = decode_rows(
            shard, bitmaps.bitmap_to_rows(shard.live_rows), table, new_categories(table) if packed else {}
        )
        key = next(iter(table))
        order = decoded[key].arg_sort()
        wanted = table[key].arg_sort()
        for column, values in table.items():
            written, read = values.gather(wanted), decoded[column].gather(order)
            assert normalize_series(read, column) == normalize_series(written, column), column


@given(st.lists(st.lists(st.none() | st.booleans() | st.sampled_from([["vip"], ["vip", "x"], []])), min_size=1))
def test_flags_are_joined_with_other_tags(pieces):
    column, chunks, wanted = Column("vip", "tags", "tag"), [], []
    for piece in pieces:
        for kind in (bool, list):
            rows = [row for row in piece if row is None or isinstance(row, kind)]
            chunks.append(pl.Series(rows, dtype=pl.Boolean if kind is bool else pl.List(pl.Categorical)))
            wanted += [["vip"] if row is True else sorted(row or []) or None for row in rows]
    joined = normalize_series(concat_columns(chunks, column), column)
    assert [list(tags) if tags else None for tags in joined] == wanted


numeric_series = st.one_of(
    *(
        st.lists(st.none() | number_strategies[type_], min_size=1, max_size=4).map(
            lambda some, t=type_: pl.Series(some, dtype=t)
        )
        for type_ in (pl.Int64, pl.Float64, pl.Decimal(38, 3))
    ),
    st.lists(st.decimals(-99, 99, places=9), min_size=1, max_size=4).map(
        lambda some: pl.Series(some, dtype=pl.Decimal(38, 9))
    ),
)


@given(st.lists(numeric_series, min_size=2, max_size=3))
def test_mixed_number_types_are_joined_exactly_or_rejected(pieces):
    column = Column("n", "number", "n")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        key = Column("key", "id", "token")
        shards = []
        storage = LocalStorage.create(Path(folder))
        for at, piece in enumerate(pieces):
            ids = pl.Series([f"r{at} {row}" for row in range(len(piece))])
            shards.append(Shard(storage, write_shard(storage, f"{at}", {key: ids, column: piece}, 0)))
        try:
            reject_mixed_numbers(shards, [column])
        except TableError as error:
            assert error.code == "mixed-numbers"
            return
        joined = concat_columns(pieces, column)
    wanted = [value for piece in pieces for value in piece.to_list()]
    assert list(map(exact_number, joined)) == list(map(exact_number, wanted))


def exact_number(value) -> Decimal | None:
    """Return a number as a decimal; a float counts as its shortest text."""
    return Decimal(repr(value)) if isinstance(value, float) else value


@given(
    st.lists(device_rows, max_size=20),
    st.lists(index_expr, min_size=1, max_size=5),
    st.randoms(),
    st.sampled_from([1, 3, 7]),
)
def test_row_order_and_shards_do_not_change_answers(devices, exprs, chance, shard):
    table = make_table(devices)
    order = list(range(len(devices)))
    chance.shuffle(order)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        index = DeviceIndex.build(table, Path(folder) / "one")
        patch.setattr(build, "MAX_SHARD_DEVICES", shard)
        shuffled = DeviceIndex.build(table[order], Path(folder) / "other")
        for expr in [*exprs, Sample("30", "s")]:
            assert sorted(index.resolve(expr).ids()) == sorted(shuffled.resolve(expr).ids())
            assert index.count(expr) == shuffled.count(expr) <= len(make_oracle_devices(devices))


def build_index(folder, table, **roles) -> DeviceIndex:
    return DeviceIndex.build(pl.DataFrame(table), folder / "index", **roles)


def resolve_ids(index, text) -> list[str]:
    return sorted(index.resolve(text).ids())


def assert_rejected(index, code, operation) -> None:
    """Require that *operation* fails with *code*, publishes nothing, and leaves no draft after a vacuum."""
    number = index.history()[-1].number
    with pytest.raises(AudienceError) as caught:
        operation()
    assert caught.value.code == code
    assert DeviceIndex.open(index.folder).snapshot.manifest.number == number
    index.vacuum(100)
    needed = {name for each in index.history() for name in index.snapshot.manifest.file_names()}
    assert {file.name for file in (index.folder / "shards").iterdir()} >= needed
    assert not list((index.folder / "shards").glob(".*"))


def test_split_variant_is_stable_across_indexes_and_changes(tmp_path):
    ids = [f"d{number}" for number in range(2_000)]
    index = build_index(tmp_path, {"token": ids, "age": [1] * 2_000})
    sides = [set(resolve_ids(index, f"split(a:20%, b:30%, c:50%, x) = {side}")) for side in "abc"]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 2_000
    assert abs(len(sides[0]) - 400) < 80
    shares = [set(resolve_ids(index, f"sample({share}%, x)")) for share in (1, 10, 50, 100)]
    assert all(one <= other for one, other in itertools.pairwise(shares))
    assert shares[3] == set(ids)
    index.update(pl.DataFrame({"token": ids[::2], "age": [2] * 1_000}))
    index.compact()
    part = DeviceIndex.build(pl.DataFrame({"token": ids[::3]}), tmp_path / "other")
    for share, side in zip((1, 10, 50, 100), shares, strict=True):
        assert set(resolve_ids(index, f"sample({share}%, x)")) == side
        assert set(resolve_ids(part, f"sample({share}%, x)")) == side & set(ids[::3])


def test_bucket_falls_back_to_next_id_column(tmp_path):
    names = [f"t{number}" for number in range(300)]
    index = build_index(tmp_path, {"registration_id": [None] * 299 + ["r"], "tpns_token": names})
    other = DeviceIndex.build(pl.DataFrame({"tpns_token": names}), tmp_path / "other")
    taken = index.resolve("sample(40%, x)").ids("tpns").to_list()
    assert set(taken) - {"t299"} == set(other.resolve("sample(40%, x)").ids("tpns")) - {"t299"}
    assert 80 < len(taken) < 160


BASE_TABLE = {
    "token": ["r1", "r2", "r3"],
    "tpns_token": ["t1", "t2", None],
    "age": [1, 2, 3],
    "vip": [True, False, None],
}


def test_duplicate_id_in_update_is_rejected(tmp_path, monkeypatch):
    index = build_index(tmp_path, BASE_TABLE)
    for part in (1 << 20, 1):
        monkeypatch.setattr(update, "MAX_CHUNK_DEVICES", part)
        for name in ("r1", "new"):
            twice = pl.DataFrame({"token": [name, "r2", name], "age": [1, 2, 3]})
            assert_rejected(index, "duplicate-id", lambda twice=twice: index.update(twice))
    assert resolve_ids(index, "age >= 2") == ["r2", "r3"]


def test_update_rejects_taken_id_but_allows_swap(tmp_path):
    index = build_index(tmp_path, BASE_TABLE)
    taken = pl.DataFrame({"token": ["r3"], "tpns_token": ["t1"]})
    assert_rejected(index, "duplicate-id", lambda: index.update(taken))
    index.update(pl.DataFrame({"token": ["r1", "r2"], "tpns_token": ["t2", "t1"]}))
    assert resolve_ids(index, "registration_id(t1)") == ["r2"]
    index.update(pl.DataFrame({"token": ["r2"], "tpns_token": [None]}, schema_overrides={"tpns_token": pl.String}))
    assert index.update(taken).changed == 1
    assert resolve_ids(index, "registration_id(t1)") == ["r3"]


def test_ambiguous_id_changes_no_device(tmp_path):
    index = build_index(tmp_path, {"token": ["x", "y"], "tpns_token": ["y", "z"]})
    assert_rejected(index, "ambiguous-id", lambda: index.tag(["y"], add="a"))
    assert_rejected(index, "ambiguous-id", lambda: index.remove(["y"]))
    assert index.tag(["x", "z"], add="a").changed == 2


def test_update_without_id_column_is_rejected(tmp_path):
    index = build_index(tmp_path, {"token": ["a"], "age": [1]})
    unknown = pl.DataFrame({"registration_id": ["a"], "age": [2]})
    assert_rejected(index, "no-id", lambda: index.update(unknown, new=["registration_id"]))


def test_empty_update_changes_nothing(tmp_path):
    index = build_index(tmp_path, BASE_TABLE)
    empty = pl.DataFrame({"token": [], "age": []}, schema={"token": pl.String, "age": pl.Int64})
    for source in (empty, empty.lazy()):
        assert index.update(source).snapshot == 1
    assert index.update(pl.DataFrame({"token": ["r1", "r9"]})).added == 1
    assert resolve_ids(index, "age = 1 AND vip") == ["r1"]
    assert resolve_ids(index, "NOT age >= 0") == ["r9"]


def test_all_devices_removed_and_added_again(tmp_path):
    index = build_index(tmp_path, BASE_TABLE)
    assert index.remove(["r1", "r2", "r3"]).removed == 3
    assert (len(index), index.count("NOT vip"), index.count("age > 0")) == (0, 0, 0)
    index.compact()
    assert index.remove(["r1"]).unknown == 1
    assert index.update(pl.DataFrame(BASE_TABLE)).added == 3
    assert (resolve_ids(index, "vip"), resolve_ids(index, "age > 1")) == (["r1"], ["r2", "r3"])


def test_empty_index_accepts_devices(tmp_path):
    index = build_index(tmp_path, pl.DataFrame(BASE_TABLE).clear())
    assert index.compact().snapshot == 1
    assert index.update(pl.DataFrame(BASE_TABLE)).added == 3
    assert resolve_ids(index, "vip OR age = 3") == ["r1", "r3"]


def test_index_with_only_ids_accepts_tags(tmp_path):
    index = build_index(tmp_path, {"token": ["r1", "r2"]})
    assert index.tag(["r1"], remove="x").changed == 0
    assert index.tag(["r1"], add=["x", "y"]).changed == 1
    assert index.tag(["r1", "r2"], add="x", remove="y").changed == 2
    assert (resolve_ids(index, "x"), resolve_ids(index, "y")) == (["r1", "r2"], [])


def test_tag_accepts_single_id_and_rejects_invalid_ids(tmp_path):
    index = build_index(tmp_path, BASE_TABLE)
    assert index.tag("r1", add="x").changed == 1
    assert index.remove("r2").removed == 1
    for wrong in (5, None):
        with pytest.raises(TypeError, match="ids"):
            index.tag(wrong, add="x")
    for wrong in ([1], [["r1"]], ["\ud800"]):
        assert_rejected(index, "bad-ids", lambda wrong=wrong: index.tag(wrong, add="x"))
        assert_rejected(index, "bad-ids", lambda wrong=wrong: index.remove(wrong))
    for wrong in ([""], [None], [["x"]], [1]):
        assert_rejected(index, "empty-name", lambda wrong=wrong: index.tag(["r1"], add=wrong))
    assert_rejected(index, "bad-name", lambda: index.tag(["r1"], add=["\ud800"]))
    for wait in (-1, float("nan")):
        assert_rejected(index, "bad-option", lambda wait=wait: index.remove(["r1"], wait=wait))


def test_tag_updates_its_boolean_column(tmp_path):
    index = build_index(tmp_path, {"token": ["r1", "r2"], "vip": [False, False], "new": [True, False]})
    index.tag(["r1"], add=["vip", "other"], remove="new")
    assert (resolve_ids(index, "vip"), resolve_ids(index, "other"), resolve_ids(index, "new")) == (["r1"], ["r1"], [])
    index.update(pl.DataFrame({"token": ["r1", "r2"], "vip": [False, True], "new": [True, True]}))
    assert (resolve_ids(index, "vip"), resolve_ids(index, "other"), resolve_ids(index, "new")) == (
        ["r2"],
        ["r1"],
        ["r1", "r2"],
    )


def test_tag_in_two_columns_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(compaction, "MAX_DELETED_RATIO", 1)
    index = build_index(tmp_path, {"token": ["r1", "r2"], "likes": [["music"], ["art"]], "hates": [["noise"], []]})
    hates = pl.DataFrame({"token": ["r2"], "hates": [["music"]]})
    assert_rejected(index, "same-tag", lambda: index.update(hates))
    index.update(pl.DataFrame({"token": ["r1"], "likes": [[]]}, schema_overrides={"likes": pl.List(pl.String)}))
    assert index.update(hates).changed == 1
    index.tag(["r1"], add="music")
    assert resolve_ids(index, "music") == ["r1", "r2"]
    assert index.update(pl.DataFrame({"token": ["r1", "r2"], "likes": [["art"], ["art"]]})).changed == 2
    assert resolve_ids(index, "music") == ["r1", "r2"]


def test_update_widens_number_type(tmp_path):
    index = build_index(tmp_path, {"token": ["a", "b"], "n": [1, 2**60]})
    tiny = pl.DataFrame({"token": ["c"], "n": [1e-30]})
    assert_rejected(index, "mixed-numbers", lambda: index.update(tiny))
    index.update(pl.DataFrame({"token": ["d"], "n": [0.5]}))
    index.compact()
    assert (resolve_ids(index, "n = 0.5"), resolve_ids(index, f"n = {2**60}")) == (["d"], ["b"])
    index.update(pl.DataFrame({"token": ["b"], "n": [2.5]}))
    assert resolve_ids(index, "n > 1") == ["b"]
    index.remove(["d"])
    index.update(pl.DataFrame({"token": ["a", "b"], "n": [7, 8]}))
    index.compact()
    assert index.update(pl.DataFrame({"token": ["c"], "n": [Decimal("0.1")]})).added == 1
    index.compact()
    assert (resolve_ids(index, "n = 0.1"), resolve_ids(index, "n >= 7.0")) == (["c"], ["a", "b"])
    assert_rejected(index, "bad-value", lambda: index.update(pl.DataFrame({"token": ["a"], "n": ["many"]})))
    for wrong in (float("inf"), -float("inf")):
        assert_rejected(
            index, "bad-value", lambda wrong=wrong: index.update(pl.DataFrame({"token": ["a"], "n": [wrong]}))
        )


def test_update_converts_strings_lists_and_numbers(tmp_path):
    index = build_index(tmp_path, {"token": ["a", "b"], "alias": ["u1", None], "city": ["x", "1"], "n": [1, 2]})
    index.update(pl.DataFrame({"token": ["b", "c"], "alias": [["u1", "u2"], []], "city": [1, 2], "n": ["3", None]}))
    assert (resolve_ids(index, "alias(u1)"), resolve_ids(index, "alias(u2)")) == (["a", "b"], ["b"])
    assert (resolve_ids(index, "city:1"), resolve_ids(index, "n >= 1")) == (["b"], ["a", "b"])
    assert index.resolve("everyone").to_frame().sort("token")["alias"].to_list() == [["u1"], ["u1", "u2"], []]
    index.compact()
    assert resolve_ids(index, "alias(u1) AND city:x") == ["a"]


def test_update_adds_columns_only_with_new(tmp_path):
    index = build_index(tmp_path, BASE_TABLE)
    more = pl.DataFrame({"token": ["r1"], "city": ["x"]})
    assert_rejected(index, "new-column", lambda: index.update(more))
    index.update(more, new=["city"])
    assert resolve_ids(index, "city:x AND vip") == ["r1"]
    index.restore(1)
    with pytest.raises(ExpressionError, match="unknown-attribute"):
        index.count("city:x")


def test_invalid_vacuum_or_restore_is_rejected(tmp_path):
    index = build_index(tmp_path, BASE_TABLE)
    assert_rejected(index, "no-snapshot", lambda: index.restore(7))
    with pytest.raises(InvalidIndexError, match="cannot keep 0 snapshots"):
        index.vacuum(0)
    (index.folder / "history" / "1 copy.json").write_text("x")
    assert [moment.number for moment in index.history()] == [1]


def test_reader_sees_rebuilt_index(tmp_path):
    index = build_index(tmp_path, BASE_TABLE)
    DeviceIndex.build(pl.DataFrame(BASE_TABLE).head(1), index.folder, replace=True)
    assert (len(index), index.refresh(), len(index), index.refresh()) == (3, True, 1, False)


def test_refresh_leaks_no_open_files(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 1)
    index = build_index(tmp_path, {"token": [f"r{number}" for number in range(30)]})
    before = len(list(Path("/proc/self/fd").iterdir()))
    gc.disable()  # files are closed without it
    try:
        for number in range(5):
            index.tag([f"r{number}"], add="x")
            opened = DeviceIndex.open(index.folder)
            assert opened.count("x limit 9 seed s") == opened.count("x AND everyone") == number + 1
            assert len(opened.resolve("token(r1) OR x").ids()) == max(number + 1, 2)
            del opened
        assert len(list(Path("/proc/self/fd").iterdir())) <= before
    finally:
        gc.enable()


def test_threads_see_one_snapshot_during_refresh(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 50)
    names = [f"r{number}" for number in range(200)]
    index = build_index(tmp_path, {"token": names, "n": list(range(200))})
    wrong, done = [], threading.Event()

    def query_repeatedly():
        while not done.is_set():
            try:
                crowd = index.resolve("x OR n < 100") if "tag" in index.attributes else index.resolve("n < 100")
                ids = set(crowd.ids())
                if not ids >= set(names[:100]) or index.count("n >= 100") != 100:
                    wrong.append(ids)
            except Exception as error:  # noqa: BLE001
                wrong.append(error)

    threads = [threading.Thread(target=query_repeatedly) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(15):
        index.tag(names[number * 10 : number * 10 + 10], add="x")
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_ids_outlive_their_index(tmp_path):
    index = build_index(tmp_path, BASE_TABLE)
    tokens, rows = index.resolve("everyone").ids(), index.resolve("age > 1").global_rows()
    index.remove(["r1", "r2", "r3"])
    index.vacuum()
    del index
    assert (sorted(tokens), len(np.unique(rows))) == (["r1", "r2", "r3"], 2)


def test_rows_of_the_whole_index_have_as_many_bits_as_they_need(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 2)
    monkeypatch.setattr(joined_shard, "MAX_JOINED_ROWS", 1)  # each shard is alone, as in an index of so many rows
    index = build_index(tmp_path, {"token": list("abcde"), "n": range(5)})
    short = index.resolve("n > 0").global_rows()
    monkeypatch.setattr(device_set, "MAX_SHORT_ROWS", 4)
    long = index.resolve("n > 0").global_rows()
    assert (short.dtype, long.dtype, short.tolist()) == (np.uint32, np.uint64, long.tolist())
    assert index.resolve("nobody").global_rows().dtype == np.uint64


def test_extreme_days_survive_changes(tmp_path):
    ends = [date(1, 1, 1), date(9999, 12, 31), date(1970, 1, 1)]
    index = build_index(tmp_path, {"token": ["a", "b", "c"], "day": ends, "n": [1, 2, 3]})
    index.update(pl.DataFrame({"token": ["a", "b"], "n": [4, 5]}))
    assert (resolve_ids(index, "day = 0001-01-01"), resolve_ids(index, "day >= 9999-12-31")) == (["a"], ["b"])


def test_locked_error_is_public():
    assert issubclass(LockedError, InvalidIndexError)
