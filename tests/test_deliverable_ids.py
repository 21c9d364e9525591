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
    with monkeypatch.context() as patch:
        if is_known:
            patch.setattr(Shard, "contains_any", None)
            patch.setattr(Shard, "take_ids", None)
        batches = batch_ids(index.resolve("everyone"), "emas")
    (shard,) = index.snapshot.shards
    assert shard.lacks_bytes(shard.id_columns[0], b",\xc2\xe3") == is_known
    assert len(batches.skipped_devices) == sum("," in each for each in ids)
