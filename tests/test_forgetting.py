"""Forget a person: afterwards no file has the id, and nothing else has changed."""

from pathlib import Path

import polars as pl
import pytest

import audience
from audience import DeviceIndex, ExpressionError, PlanError, TableError

COUNT = 40


def make_table() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "token": [f"token-{number:04}" for number in range(COUNT)],
            "alias": [f"person-{number // 2:04}" for number in range(COUNT)],
            "note": [f"remark-{number:04}" for number in range(COUNT)],
            "tags": [["male"] * (number % 2) for number in range(COUNT)],
            "age": [number % 30 for number in range(COUNT)],
        }
    )


def make_events() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "token": [f"token-{number % COUNT:04}" for number in range(100)],
            "event": ["open", "buy"] * 50,
            "at": ["2026-11-01T10:00:00", "2026-11-02T10:00:00"] * 50,
            "item": [f"item-{number % COUNT:04}" for number in range(100)],
            "referrer": [f"token-{(number + 1) % COUNT:04}" for number in range(100)],
        }
    ).with_columns(pl.col("at").str.to_datetime())


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    """An index with changes, events, segments and policies that name some ids."""
    index = DeviceIndex.build(make_table(), tmp_path / "devices.index")
    index.add_events(make_events())
    index.tag(["token-0004", "token-0005"], add="vip")
    index.save_segment("staff", "token(token-0004, token-0007) OR vip")
    index.save_ids("list", ["token-0004", "token-0009"], "token")
    index.set_policy("complaints", suppress=["token-0004", "token-0011"], column="token")
    return index


def find_files(folder: Path, *texts: str) -> list[str]:
    """Return the files below *folder* that contain one of *texts*, as bytes."""
    return sorted(
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if file.is_file() and any(text.encode() in file.read_bytes() for text in texts)
    )


def count_events(index: DeviceIndex, event: str) -> int:
    return sum(segment.row_count for segment in index.snapshot.events.segments(event))


def describe(index: DeviceIndex) -> pl.DataFrame:
    """Return all that an index has of each device."""
    devices = index.resolve("everyone").to_frame().sort("token")
    exprs = {expr: expr for expr in ("male", "vip", "age < 10", "has(note)")}
    return devices.hstack(index.members(devices["token"], exprs).drop("id"))


def test_no_file_has_the_id_afterwards(index):
    assert find_files(index.folder, "token-0004", "person-0002")
    before = describe(index)
    found = index.forget(["token-0004"], column="token")
    assert (found.devices, found.ids) == (1, ("token-0004",))
    assert find_files(index.folder, "token-0004", "remark-0004", "item-0004") == []
    assert describe(index).equals(before.filter(pl.col("token") != "token-0004"))
    assert index.verify()
    assert DeviceIndex.open(index.folder).count("everyone") == COUNT - 1
    assert found.segments == ("staff", "list")
    assert found.policies == ("complaints",)
    assert found.events == {"open": 3}
    assert index.segments["staff"] == audience.parse("token(token-0007) OR vip")
    assert index.segments["list"].values == ("token-0009",)


def test_events_of_others_stay(index):
    before = count_events(index, "open"), count_events(index, "buy")
    index.forget(["token-0004"])
    assert (count_events(index, "open"), count_events(index, "buy")) == (before[0] - 3, before[1])


def test_shared_id_forgets_all_devices_that_have_it(index):
    found = index.forget(["person-0003"], column="alias")
    assert (found.devices, sorted(found.ids)) == (2, ["person-0003", "token-0006", "token-0007"])
    assert find_files(index.folder, "person-0003", "token-0006", "token-0007") == []
    assert len(index) == COUNT - 2


def test_snapshots_with_the_id_are_dropped(index):
    index.update(pl.DataFrame({"token": ["token-0001"], "age": [99]}))
    numbers = [snapshot.number for snapshot in index.history()]
    found = index.forget(["token-0004"])
    assert found.dropped_snapshots == tuple(numbers)
    assert [snapshot.number for snapshot in index.history()] == [numbers[-1] + 1] == [found.snapshot]
    assert index.history()[0].description == "forget: 1 device"


def test_removed_device_is_forgotten_too(index):
    index.remove(["token-0004"])
    found = index.forget(["token-0004"])
    assert (found.devices, found.events) == (0, {"open": 3})
    assert find_files(index.folder, "token-0004", "person-0002-") == []
    assert len(index) == COUNT - 1


def test_dry_run_changes_nothing(index):
    before = {file: file.read_bytes() for file in index.folder.rglob("*") if file.is_file() and "lock" not in file.name}
    looked = index.forget(["token-0004"], dry_run=True)
    assert before == {file: file.read_bytes() for file in before}
    assert sorted(before) == sorted(
        file for file in index.folder.rglob("*") if file.is_file() and "lock" not in file.name
    )
    found = index.forget(["token-0004"])
    assert (looked.devices, looked.ids, looked.events, looked.dropped_snapshots) == (
        found.devices,
        found.ids,
        found.events,
        found.dropped_snapshots,
    )


def test_forgotten_person_who_returns_is_suppressed(index):
    index.forget(["person-0003"], column="alias")
    table = pl.DataFrame(
        {"token": ["token-0006", "token-new", "token-other"], "alias": ["person-9", "person-0003", "p"]}
    )
    index.update(table)
    plan = audience.plan("token(token-0006, token-new, token-other)", "engagelab", index)
    assert [*plan.requests()] == [{"to": {"registration_id": ["token-other"]}}]
    assert [(policy.name, policy.removed) for policy in plan.policies] == [("complaints", 0), ("forgotten", 2)]
    assert str(plan.policies[1]) == "forgotten: salted hashes of 3 ids"
    plan = audience.plan("everyone", "engagelab", index, without_policies=["forgotten", "complaints"])
    assert plan.native


def test_forgotten_ids_are_kept_as_hashes_through_builds(index):
    index.forget(["token-0004"])
    index = DeviceIndex.build(make_table(), index.folder, replace=True, allow_loss=["names"])
    assert len(index) == COUNT
    requested = [
        id_
        for body in audience.plan("everyone", "engagelab", index).requests()
        for id_ in body["to"]["registration_id"]
    ]
    assert len(requested) == COUNT - 2
    assert "token-0004" not in requested


def test_unknown_id_is_only_suppressed(index):
    number = index.snapshot.manifest.number
    found = index.forget(["token-9999"])
    assert (found.devices, found.dropped_snapshots, index.snapshot.manifest.number) == (0, (), number)
    index.update(pl.DataFrame({"token": ["token-9999"]}))
    plan = audience.plan("token(token-9999)", "engagelab", index)
    assert [*plan.requests()] == []


def test_policy_of_forgotten_ids_is_not_set_by_hand(index):
    index.forget(["token-0004"])
    with pytest.raises(PlanError, match="forgotten"):
        index.set_policy("forgotten", cap="male")
    with pytest.raises(PlanError, match="forgotten"):
        index.drop_policy("forgotten")


def test_unknown_column_is_an_error(index):
    with pytest.raises(ExpressionError, match="tokn"):
        index.forget(["token-0004"], column="tokn")


def test_waiting_events_are_forgotten(index):
    events = make_events().with_columns(pl.col("token").str.replace("token", "later"))
    index.add_events(events, batch="waiting", unknown="keep")
    assert find_files(index.folder, "later-0004", "item-0004")
    index.forget(["later-0004", "token-0004"])
    assert find_files(index.folder, "later-0004", "item-0004", "token-0004") == []
    before = count_events(index, "open")
    index.update(pl.DataFrame({"token": ["later-0004", "later-0006"]}))
    assert count_events(index, "open") == before + 3


def test_batches_stay_known(index):
    index.add_events(make_events()[4:5], batch="own")
    index.forget(["token-0004"])
    assert index.add_events(make_events()[4:5], batch="own").added == 0


def test_last_device_can_be_forgotten(tmp_path):
    index = DeviceIndex.build(pl.DataFrame({"token": ["only-one"], "age": [3]}), tmp_path / "x.index")
    index.forget(["only-one"])
    assert (len(index), find_files(index.folder, "only-one")) == (0, [])
    index.update(pl.DataFrame({"token": ["another"], "age": [4]}))
    assert index.count("age = 4") == 1


def test_empty_id_is_refused(index):
    with pytest.raises(TableError, match="bad-ids: an id is empty"):
        index.forget(["token-0004", ""])
    assert len(index) == COUNT
