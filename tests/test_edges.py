"""The edges of what an index holds and of what may be changed in it."""

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
from strategies import frame, idea, people, rows

from audience import AudienceError, DeviceIndex, ExpressionError, IndexFolderError, LockedError, Sample, TableError
from audience.index.changes import compaction, update
from audience.index.ingest import build, encode
from audience.index.ingest.build import written_table
from audience.index.ingest.decode import decoded, dictionaries, joined, refuse_mixed
from audience.index.schema.columns import Column
from audience.index.storage import bitmaps
from audience.index.storage.shard import Shard

SECONDS = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999)
numbers = {
    pl.Int64: st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3),
    pl.Float64: st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0) | st.sampled_from([0.1, 1e15]),
    pl.Decimal(38, 3): st.decimals(-(10**34), 10**34, places=3) | st.decimals(-9, 9, places=3),
    pl.Date: st.dates(),
    pl.Datetime("us"): st.datetimes(*SECONDS) | st.sampled_from(SECONDS),
}
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=3)
ROLES = {pl.Int64: "number", pl.Float64: "number", pl.Decimal(38, 3): "number", pl.Date: "date"}


@st.composite
def columns(draw, size: int):
    """A column of any role and its values."""
    kind = draw(st.sampled_from([*numbers, "typed", "version", "tags", "alias", "id"]))
    versions = st.sampled_from(["1.2", "1.2.0", "1.10", "2.0.0.1", "1.0rc1"])
    value = numbers.get(kind, versions if kind == "version" else texts)
    many = kind == "tags" or (kind != "id" and draw(st.booleans()))
    if many:
        value = st.lists(value, max_size=3, unique=True)
    values = draw(st.lists(st.none() | value, min_size=size, max_size=size))
    type_ = pl.String if isinstance(kind, str) else kind
    role = kind if isinstance(kind, str) else ROLES.get(kind, "time")
    return role, pl.Series(values, dtype=pl.List(type_) if many else type_)


@st.composite
def tables(draw):
    size = draw(st.integers(1, 8))
    table = {Column("key", "id", "token"): pl.Series([f"r{row}" for row in range(size)])}
    for number, (role, values) in enumerate(draw(st.lists(columns(size), max_size=5))):
        name = "tag" if role == "tags" else f"c{number}"
        if role == "tags":  # a tag stands in one column only
            values = values.list.eval(pl.element() + f" of {number}")
        table[Column(f"c{number}", role, name)] = values
    return table


def plain(values: pl.Series) -> list:
    """*values* without the difference between nothing and an empty list, or between two orders of one."""
    return [sorted(value) if isinstance(value, list) and value else value or None for value in _zeros(values)]


def _zeros(values: pl.Series) -> list:
    return [value if isinstance(value, list) or value is None else (value,) for value in values.to_list()]


@given(tables(), st.sampled_from([1, 4_096]), st.booleans())
def test_what_is_decoded_is_what_was_encoded(table, most, packed):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "MOST_BITMAPS", most)
        patch.setattr(os, "fsync", lambda handle: None)
        shard = Shard(Path(folder), written_table(Path(folder), "one", dict(table)))
        found = decoded(shard, bitmaps.rows_of(shard.everyone), table, dictionaries(table) if packed else {})
        key = next(iter(table))
        order = found[key].arg_sort()
        wanted = table[key].arg_sort()
        for column, values in table.items():
            assert plain(found[column].gather(order)) == plain(values.gather(wanted)), column


number_series = st.one_of(
    *(
        st.lists(st.none() | numbers[type_], min_size=1, max_size=4).map(lambda some, t=type_: pl.Series(some, dtype=t))
        for type_ in (pl.Int64, pl.Float64, pl.Decimal(38, 3))
    ),
    st.lists(st.decimals(-99, 99, places=9), min_size=1, max_size=4).map(
        lambda some: pl.Series(some, dtype=pl.Decimal(38, 9))
    ),
)


@given(st.lists(number_series, min_size=2, max_size=3))
def test_numbers_of_several_types_are_joined_exactly_or_refused_before_they_are_kept(pieces):
    column = Column("n", "number", "n")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        key = Column("key", "id", "token")
        shards = []
        for at, piece in enumerate(pieces):
            ids = pl.Series([f"r{at} {row}" for row in range(len(piece))])
            shards.append(Shard(Path(folder), written_table(Path(folder), f"{at}", {key: ids, column: piece})))
        try:
            refuse_mixed(shards, [column])
        except TableError as error:
            assert error.code == "mixed-numbers"
            return
        found = joined(pieces, column)
    wanted = [value for piece in pieces for value in piece.to_list()]
    assert found.to_list() == wanted


@given(st.lists(rows, max_size=20), st.lists(idea, min_size=1, max_size=5), st.randoms(), st.sampled_from([1, 3, 7]))
def test_neither_order_nor_shards_change_an_answer(devices, exprs, chance, shard):
    table = frame(devices)
    order = list(range(len(devices)))
    chance.shuffle(order)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        one = DeviceIndex.build(table, Path(folder) / "one")
        patch.setattr(build, "SHARD", shard)
        other = DeviceIndex.build(table[order], Path(folder) / "other")
        for expr in [*exprs, Sample("30", "s")]:
            assert sorted(one.resolve(expr).tokens()) == sorted(other.resolve(expr).tokens())
            assert one.count(expr) == other.count(expr) <= len(people(devices))


def at(folder, table, **roles) -> DeviceIndex:
    return DeviceIndex.build(pl.DataFrame(table), folder / "index", **roles)


def found(index, text) -> list[str]:
    return sorted(index.resolve(text).tokens())


def refused(index, code, work) -> None:
    """*work* is refused with *code*, nothing is published, and nothing stays behind that a vacuum would not remove."""
    number = index.history()[-1].number
    with pytest.raises(AudienceError) as caught:
        work()
    assert caught.value.code == code
    assert DeviceIndex.open(index.folder).snapshot.manifest.number == number
    index.vacuum(100)
    needed = {name for each in index.history() for name in index.snapshot.manifest.files()}
    assert {file.name for file in (index.folder / "shards").iterdir()} >= needed
    assert not list((index.folder / "shards").glob(".*"))


def test_a_device_is_on_its_side_of_a_split_in_every_index_and_after_every_change(tmp_path):
    ids = [f"d{number}" for number in range(2_000)]
    index = at(tmp_path, {"token": ids, "age": [1] * 2_000})
    sides = [set(found(index, f"split(a:20%, b:30%, c:50%, x) = {side}")) for side in "abc"]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 2_000
    assert abs(len(sides[0]) - 400) < 80
    shares = [set(found(index, f"sample({share}%, x)")) for share in (1, 10, 50, 100)]
    assert all(one <= other for one, other in itertools.pairwise(shares))
    assert shares[3] == set(ids)
    index.update(pl.DataFrame({"token": ids[::2], "age": [2] * 1_000}))
    index.compact()
    part = DeviceIndex.build(pl.DataFrame({"token": ids[::3]}), tmp_path / "other")
    for share, side in zip((1, 10, 50, 100), shares, strict=True):
        assert set(found(index, f"sample({share}%, x)")) == side
        assert set(found(part, f"sample({share}%, x)")) == side & set(ids[::3])


def test_a_device_without_an_id_of_the_first_column_has_its_place_by_the_next(tmp_path):
    names = [f"t{number}" for number in range(300)]
    index = at(tmp_path, {"registration_id": [None] * 299 + ["r"], "tpns_token": names})
    other = DeviceIndex.build(pl.DataFrame({"tpns_token": names}), tmp_path / "other")
    taken = index.resolve("sample(40%, x)").tokens("tpns").to_list()
    assert set(taken) - {"t299"} == set(other.resolve("sample(40%, x)").tokens("tpns")) - {"t299"}
    assert 80 < len(taken) < 160


BASE = {"token": ["r1", "r2", "r3"], "tpns_token": ["t1", "t2", None], "age": [1, 2, 3], "vip": [True, False, None]}


def test_an_id_twice_in_one_update_is_refused_in_one_part_and_in_two(tmp_path, monkeypatch):
    index = at(tmp_path, BASE)
    for part in (1 << 20, 1):
        monkeypatch.setattr(update, "PART", part)
        for name in ("r1", "new"):
            twice = pl.DataFrame({"token": [name, "r2", name], "age": [1, 2, 3]})
            refused(index, "duplicate-id", lambda twice=twice: index.update(twice))
    assert found(index, "age >= 2") == ["r2", "r3"]


def test_an_id_that_another_device_has_is_refused_and_two_may_change_theirs(tmp_path):
    index = at(tmp_path, BASE)
    taken = pl.DataFrame({"token": ["r3"], "tpns_token": ["t1"]})
    refused(index, "duplicate-id", lambda: index.update(taken))
    index.update(pl.DataFrame({"token": ["r1", "r2"], "tpns_token": ["t2", "t1"]}))
    assert found(index, "registration_id(t1)") == ["r2"]
    index.update(pl.DataFrame({"token": ["r2"], "tpns_token": [None]}, schema_overrides={"tpns_token": pl.String}))
    assert index.update(taken).changed == 1
    assert found(index, "registration_id(t1)") == ["r3"]


def test_an_id_that_names_two_devices_changes_neither(tmp_path):
    index = at(tmp_path, {"token": ["x", "y"], "tpns_token": ["y", "z"]})
    refused(index, "ambiguous-id", lambda: index.tag(["y"], add="a"))
    refused(index, "ambiguous-id", lambda: index.remove(["y"]))
    assert index.tag(["x", "z"], add="a").changed == 2


def test_a_table_without_an_id_that_the_index_has_is_refused(tmp_path):
    index = at(tmp_path, {"token": ["a"], "age": [1]})
    unknown = pl.DataFrame({"registration_id": ["a"], "age": [2]})
    refused(index, "no-id", lambda: index.update(unknown, new=["registration_id"]))


def test_an_update_that_says_nothing_changes_nothing(tmp_path):
    index = at(tmp_path, BASE)
    empty = pl.DataFrame({"token": [], "age": []}, schema={"token": pl.String, "age": pl.Int64})
    for source in (empty, empty.lazy()):
        assert index.update(source).snapshot == 1
    assert index.update(pl.DataFrame({"token": ["r1", "r9"]})).added == 1
    assert found(index, "age = 1 AND vip") == ["r1"]
    assert found(index, "NOT age >= 0") == ["r9"]


def test_everybody_may_leave_and_come_back(tmp_path):
    index = at(tmp_path, BASE)
    assert index.remove(["r1", "r2", "r3"]).removed == 3
    assert (len(index), index.count("NOT vip"), index.count("age > 0")) == (0, 0, 0)
    index.compact()
    assert index.remove(["r1"]).unknown == 1
    assert index.update(pl.DataFrame(BASE)).added == 3
    assert (found(index, "vip"), found(index, "age > 1")) == (["r1"], ["r2", "r3"])


def test_an_index_of_nobody_takes_devices(tmp_path):
    index = at(tmp_path, pl.DataFrame(BASE).clear())
    assert index.compact().snapshot == 1
    assert index.update(pl.DataFrame(BASE)).added == 3
    assert found(index, "vip OR age = 3") == ["r1", "r3"]


def test_an_index_of_ids_alone_takes_tags(tmp_path):
    index = at(tmp_path, {"token": ["r1", "r2"]})
    assert index.tag(["r1"], remove="x").changed == 0
    assert index.tag(["r1"], add=["x", "y"]).changed == 1
    assert index.tag(["r1", "r2"], add="x", remove="y").changed == 2
    assert (found(index, "x"), found(index, "y")) == (["r1", "r2"], [])


def test_one_id_is_not_its_letters_and_what_is_no_id_is_refused(tmp_path):
    index = at(tmp_path, BASE)
    assert index.tag("r1", add="x").changed == 1
    assert index.remove("r2").removed == 1
    for wrong in ([1], 5, None, [["r1"]], ["\ud800"]):
        refused(index, "bad-ids", lambda wrong=wrong: index.tag(wrong, add="x"))
        refused(index, "bad-ids", lambda wrong=wrong: index.remove(wrong))
    for wrong in ([""], [None], [["x"]], [1]):
        refused(index, "empty-name", lambda wrong=wrong: index.tag(["r1"], add=wrong))
    refused(index, "bad-name", lambda: index.tag(["r1"], add=["\ud800"]))
    for wait in (-1, float("nan")):
        refused(index, "bad-option", lambda wait=wait: index.remove(["r1"], wait=wait))


def test_a_tag_stays_with_the_column_of_yes_and_no_that_it_is_of(tmp_path):
    index = at(tmp_path, {"token": ["r1", "r2"], "vip": [False, False], "new": [True, False]})
    index.tag(["r1"], add=["vip", "other"], remove="new")
    assert (found(index, "vip"), found(index, "other"), found(index, "new")) == (["r1"], ["r1"], [])
    index.update(pl.DataFrame({"token": ["r1", "r2"], "vip": [False, True], "new": [True, True]}))
    assert (found(index, "vip"), found(index, "other"), found(index, "new")) == (["r2"], ["r1"], ["r1", "r2"])


def test_a_tag_of_two_columns_is_refused_unless_nobody_has_it_in_one_any_more(tmp_path, monkeypatch):
    monkeypatch.setattr(compaction, "MOST_DEAD", 1)
    index = at(tmp_path, {"token": ["r1", "r2"], "likes": [["music"], ["art"]], "hates": [["noise"], []]})
    hates = pl.DataFrame({"token": ["r2"], "hates": [["music"]]})
    refused(index, "same-tag", lambda: index.update(hates))
    index.update(pl.DataFrame({"token": ["r1"], "likes": [[]]}, schema_overrides={"likes": pl.List(pl.String)}))
    assert index.update(hates).changed == 1
    index.tag(["r1"], add="music")
    assert found(index, "music") == ["r1", "r2"]
    assert index.update(pl.DataFrame({"token": ["r1", "r2"], "likes": [["art"], ["art"]]})).changed == 2
    assert found(index, "music") == ["r1", "r2"]


def test_numbers_of_another_type_are_taken_where_one_type_holds_both(tmp_path):
    index = at(tmp_path, {"token": ["a", "b"], "n": [1, 2**60]})
    refused(index, "mixed-numbers", lambda: index.update(pl.DataFrame({"token": ["c"], "n": [0.5]})))
    index.update(pl.DataFrame({"token": ["b"], "n": [2.5]}))
    assert found(index, "n > 1") == ["b"]
    exact = pl.DataFrame({"token": ["c"], "n": [Decimal("0.1")]})
    refused(index, "mixed-numbers", lambda: index.update(exact))
    index.update(pl.DataFrame({"token": ["a", "b"], "n": [7, 8]}))
    index.compact()
    assert index.update(exact).added == 1
    index.compact()
    assert (found(index, "n = 0.1"), found(index, "n >= 7.0")) == (["c"], ["a", "b"])
    refused(index, "bad-value", lambda: index.update(pl.DataFrame({"token": ["a"], "n": ["many"]})))
    for wrong in (float("inf"), -float("inf")):
        refused(index, "bad-value", lambda wrong=wrong: index.update(pl.DataFrame({"token": ["a"], "n": [wrong]})))


def test_texts_lists_and_numbers_may_come_in_another_shape(tmp_path):
    index = at(tmp_path, {"token": ["a", "b"], "alias": ["u1", None], "city": ["x", "1"], "n": [1, 2]})
    index.update(pl.DataFrame({"token": ["b", "c"], "alias": [["u1", "u2"], []], "city": [1, 2], "n": ["3", None]}))
    assert (found(index, "alias(u1)"), found(index, "alias(u2)")) == (["a", "b"], ["b"])
    assert (found(index, "city:1"), found(index, "n >= 1")) == (["b"], ["a", "b"])
    assert index.resolve("everyone").to_frame().sort("token")["alias"].to_list() == [["u1"], ["u1", "u2"], []]
    index.compact()
    assert found(index, "alias(u1) AND city:x") == ["a"]


def test_more_devices_than_can_be_numbered_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MOST_DEVICES", 3)
    index = at(tmp_path, BASE)
    refused(index, "too-many-devices", lambda: index.update(pl.DataFrame({"token": ["r4"]})))
    with pytest.raises(TableError, match="build one index for each app or region"):
        DeviceIndex.build(pl.DataFrame({"token": list("abcd")}), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_column_is_new_only_when_that_is_said(tmp_path):
    index = at(tmp_path, BASE)
    more = pl.DataFrame({"token": ["r1"], "city": ["x"]})
    refused(index, "new-column", lambda: index.update(more))
    index.update(more, new=["city"])
    assert found(index, "city:x AND vip") == ["r1"]
    index.restore(1)
    with pytest.raises(ExpressionError, match="unknown-attribute"):
        index.count("city:x")


def test_what_cannot_be_kept_or_restored_is_refused(tmp_path):
    index = at(tmp_path, BASE)
    refused(index, "no-snapshot", lambda: index.restore(7))
    with pytest.raises(IndexFolderError, match="keep 1 at least"):
        index.vacuum(0)
    (index.folder / "history" / "1 copy.json").write_text("x")
    assert [moment.number for moment in index.history()] == [1]


def test_an_index_that_is_built_anew_in_its_place_is_seen(tmp_path):
    index = at(tmp_path, BASE)
    DeviceIndex.build(pl.DataFrame(BASE).head(1), index.folder, replace=True)
    assert (len(index), index.refresh(), len(index), index.refresh()) == (3, True, 1, False)


def test_open_shards_and_many_refreshes_keep_no_file_open(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "SHARD", 1)
    index = at(tmp_path, {"token": [f"r{number}" for number in range(30)]})
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(5):
        index.tag([f"r{number}"], add="x")
        assert DeviceIndex.open(index.folder).count("x") == number + 1
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_threads_that_ask_while_another_moves_on_see_one_snapshot_each(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "SHARD", 50)
    names = [f"r{number}" for number in range(200)]
    index = at(tmp_path, {"token": names, "n": list(range(200))})
    wrong, done = [], threading.Event()

    def ask():
        while not done.is_set():
            try:
                crowd = index.resolve("x OR n < 100") if "tag" in index.attributes else index.resolve("n < 100")
                some = set(crowd.tokens())
                if not some >= set(names[:100]) or index.count("n >= 100") != 100:
                    wrong.append(some)
            except Exception as error:  # noqa: BLE001
                wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(15):
        index.tag(names[number * 10 : number * 10 + 10], add="x")
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_ids_outlive_the_index_that_they_were_read_from(tmp_path):
    index = at(tmp_path, BASE)
    tokens, rows = index.resolve("everyone").tokens(), index.resolve("age > 1").rows()
    index.remove(["r1", "r2", "r3"])
    index.vacuum()
    del index
    assert (sorted(tokens), len(np.unique(rows))) == (["r1", "r2", "r3"], 2)


def test_days_at_both_ends_are_kept_through_changes(tmp_path):
    ends = [date(1, 1, 1), date(9999, 12, 31), date(1970, 1, 1)]
    index = at(tmp_path, {"token": ["a", "b", "c"], "day": ends, "n": [1, 2, 3]})
    index.update(pl.DataFrame({"token": ["a", "b"], "n": [4, 5]}))
    assert (found(index, "day = 0001-01-01"), found(index, "day >= 9999-12-31")) == (["a"], ["b"])


def test_the_public_names_have_the_error_of_a_locked_index():
    assert issubclass(LockedError, IndexFolderError)
