"""Layout of Arrow files as it is read without pyarrow, compared with what pyarrow reads."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.index.storage import arrow_file
from audience.index.storage.arrow_file import ArrowTable, LazyStrings
from audience.index.storage.polars_bridge import series_to_arrow

TEXTS = st.lists(st.none() | st.text(max_size=5), max_size=8)
BLOBS = st.lists(st.none() | st.binary(max_size=9), max_size=8)
NUMBER_TYPES = {"uint8": "B", "uint32": "I", "int64": "q", "uint64": "Q"}


def read_buffers(table: ArrowTable, data: bytes, name: str) -> list[bytes | None]:
    """The buffers of a column of *table*, whose file is *data*."""
    places = table.buffer_locations(name)
    return [None if place is None else data[place[0] : sum(place)] for place in places]


@given(texts=TEXTS, blobs=BLOBS, dtype=st.sampled_from([*NUMBER_TYPES]), metadata=st.binary(max_size=40))
def test_layout_is_that_of_pyarrow(texts, blobs, dtype, metadata):
    count = min(len(texts), len(blobs))
    texts, blobs, numbers = texts[:count], blobs[:count], np.arange(count, dtype=dtype) * 3
    columns = {
        "text": pa.array(texts, pa.large_string()),
        "blob": arrow_file.from_bytes(blobs),
        "number": arrow_file.from_numpy(numbers),
        "list": pa.array([[text, text] if text else None for text in texts], pa.large_list(pa.large_string())),
        "some": pa.array([None if text is None else 7 for text in texts], pa.uint32()),
    }
    data = arrow_file.to_ipc_bytes(columns, metadata)
    table, read = ArrowTable(memoryview(data)), pa.ipc.open_file(data)
    batch = read.get_batch(0)
    assert (len(table), table.metadata, table.column_names) == (count, metadata, list(columns))
    for name, column in columns.items():
        buffers = batch.column(name).buffers()
        assert read_buffers(table, data, name) == [None if each is None else each.to_pybytes() for each in buffers]
        assert (table.has_nulls(name), table.has_lists(name)) == (column.null_count > 0, name == "list")
        assert table.column(name).equals(column)
    assert table.view_numbers("number", NUMBER_TYPES[dtype]).tolist() == numbers.tolist()
    assert [*LazyStrings(*table.view_strings("text"), 0, count)] == [text or "" for text in texts]


def test_strings_of_a_range_are_those_of_the_column():
    values = ["ä", "", "guangdong", "z" * 70]
    table = ArrowTable(memoryview(arrow_file.to_ipc_bytes({"value": arrow_file.from_strings(values)})))
    strings = LazyStrings(*table.view_strings("value"), 1, 2)
    assert [*strings] == values[1:3]
    for position in (-1, 2):
        with pytest.raises(IndexError):
            strings[position]


def test_columns_of_polars_are_read(tmp_path):
    import polars as pl

    frame = pl.DataFrame({"value": ["b", None, "c"], "cardinality": pl.Series([1, None, 2**32 - 1], dtype=pl.UInt32)})
    file = tmp_path / "tags.arrow"
    arrow_file.write_arrow_file(file, {name: series_to_arrow(frame[name]) for name in frame.columns}, ["value"], b"x")
    table = ArrowTable(arrow_file.map_file(file))
    assert table.view_numbers("cardinality", "I")[0] == 1
    assert table.view_numbers("cardinality", "I")[2] == 2**32 - 1
    assert [*LazyStrings(*table.view_strings("value"), 0, 3)] == ["b", "", "c"]
    assert table.has_nulls("value")
