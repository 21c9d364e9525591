"""Events of the live devices of an index as a frame, read segment by segment, for comparison with what was recorded."""

import polars as pl

from audience.index.schema.columns import rank_id_columns
from audience.index.storage.device_numbers import join_partition
from audience.index.storage.polars_bridge import read_ids


def read_event_rows(index, event="delivered") -> pl.DataFrame:
    """Return `id`, `at` in microseconds, and the properties of the events, in the order of the ids and moments."""
    id_of = {}
    for shard, rows in index.resolve("everyone").shard_rows:
        ids = read_ids(shard, rank_id_columns(index.snapshot.id_columns)[0]).gather(rows).to_list()
        id_of |= dict(zip(shard.device_numbers(rows).tolist(), ids, strict=True))
    frames = [pl.DataFrame(schema={"id": pl.String, "at": pl.Int64})]
    for segment in index.snapshot.events.segments(event):
        start, stop = segment.row_starts[[0, -1]].tolist()
        numbers = join_partition(segment.partition, segment.load_numbers(start, stop)).tolist()
        columns = {"id": [id_of.get(number) for number in numbers], "at": segment.load_instants(start, stop).tolist()}
        for name, each in segment.properties.items():
            codes = each.load_codes(start, stop).tolist()
            columns[name] = [each.values()[code - 1] if code else None for code in codes]
        frames.append(pl.DataFrame(columns))
    return pl.concat(frames, how="diagonal").drop_nulls("id").sort("id", "at")
