"""Ids that a vendor accepts are found from facts of their column where these suffice, and else by a search."""

import polars as pl
import pytest

from audience import DeviceIndex, batch_ids
from audience.index.storage.shard import Shard


@pytest.mark.parametrize(
    ("ids", "is_known"),
    [
        (["a-b", "c.9", "Z_z"], True),
        (["a-b", "c,9", "Z_z"], False),  # it has the comma
        (["a+b", "c|9", "Z_z"], False),  # it has none, but bytes below and above
        (["a-b", "c.99"], True),
        (["a-b", "四川"], False),
    ],
)
def test_bytes_of_ids_tell_that_they_need_no_search(ids, is_known, tmp_path, monkeypatch):
    index = DeviceIndex.build(pl.DataFrame({"registration_id": ids}), tmp_path / "index")
    searched = []
    read = Shard.contains_any, Shard.take_ids
    monkeypatch.setattr(Shard, "contains_any", lambda *words: searched.append(1) or read[0](*words))
    monkeypatch.setattr(Shard, "take_ids", lambda *words: searched.append(1) or read[1](*words))
    batches = batch_ids(index.resolve("everyone"), "emas")
    assert bool(searched) is not is_known
    assert len(batches.skipped_devices) == sum("," in each for each in ids)
