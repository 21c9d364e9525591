"""Streams of Arrow record batches, written to a Parquet file on disk: each is read once, with bounded memory."""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import polars as pl
import pyarrow as pa
from polars import selectors

from audience.errors import Problem, TableError
from audience.index.ingest.exact_numbers import MAX_DECIMAL_DIGITS, count_decimal_places, parse_decimal
from audience.progress import Progress

MAX_GROUP_ROWS = 1 << 17  # of a row group; as much is in memory at once
MAX_GROUP_BYTES = 1 << 26
INDEX_COLUMN_PREFIX = "__index_level_"  # pandas' name for an index without a name
POSTGRES_TYPE = b"POSTGRESQL:type"
LOSSY_POSTGRES_TYPES = (b"money", b"oid")  # the driver makes whole numbers of them, of cents or with a sign
PLAIN_NUMBER_PATTERN = r"^-?[0-9]+(\.[0-9]+)?$"
LIST_KINDS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_list_view, pa.types.is_large_list_view)
UUID_SLICES = ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))


@runtime_checkable
class ArrowStream(Protocol):
    """Object with a table in the Arrow PyCapsule interface: of pyarrow, DuckDB, pandas, Ibis, …."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a capsule with a stream of record batches."""


@dataclass(frozen=True, slots=True)
class _SpoolColumn:
    """Column of a stream: the type in which it is stored, and how it is read back.

    Attributes:
        name: Its name.
        stored: Type in the file.
        restore: Expression that makes of an element what the table means; None for the element itself.
        is_numeric: Whether its elements are texts of decimals of any size.
    """

    name: str
    stored: pa.DataType
    restore: Callable[[pl.Expr], pl.Expr] | None = None
    is_numeric: bool = False


def spool_stream(stream: ArrowStream, file: Path, ignore: Container[str], progress: Progress) -> pl.LazyFrame:
    """Write the record batches of *stream* to the Parquet *file*, and return the table in it.

    Args:
        stream: Object with record batches; they are read once.
        file: File to write.
        ignore: Columns that may be of any type, because nobody reads them.
        progress: Progress callback.

    Raises:
        TableError: A column has a type that cannot be kept exactly, two columns have one name, or the stream breaks.
    """
    from pyarrow.parquet import ParquetWriter  # loads slowly, and files do not need it

    try:
        reader = pa.RecordBatchReader.from_stream(stream)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError) as error:
        message = f"the object of type {type(stream).__name__} holds no table: {_first_line(error)}"
        raise TableError(Problem("not-a-table", message, hint="pass an object with named columns")) from None
    columns = [_plan_column(field, ignore) for field in _table_fields(reader.schema)]
    schema = pa.schema([(column.name, column.stored) for column in columns])
    done = 0
    with ParquetWriter(file, schema, compression="zstd", compression_level=1) as writer:
        for group in _iter_groups(reader):
            progress("fetching rows", done, 0)
            writer.write_table(_store_group(group, columns, schema), row_group_size=MAX_GROUP_ROWS)
            done += group.num_rows
    return _restore_columns(pl.scan_parquet(file, glob=False), columns)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].partition(". Detail: ")[0]


def _table_fields(schema: pa.Schema) -> list[Any]:
    """Return the fields of *schema* without an unnamed index of pandas. Raises TableError if two have one name."""
    is_pandas = b"pandas" in (schema.metadata or {})
    fields = [field for field in schema if not (is_pandas and field.name.startswith(INDEX_COLUMN_PREFIX))]
    names = [field.name for field in fields]
    for name in names:
        if names.count(name) > 1:
            hint = f"rename one of them, in a query with {name} AS …"
            raise TableError(Problem("same-name", f"two columns are called {name!r}", hint=hint))
    return fields


def _iter_groups(reader: Any) -> Iterator[Any]:
    """Yield the record batches of *reader* as tables of at most about `MAX_GROUP_ROWS` rows or `MAX_GROUP_BYTES`."""
    pending: list[Any] = []
    rows = nbytes = 0
    for batch in _iter_batches(reader):
        pending.append(batch)
        rows, nbytes = rows + batch.num_rows, nbytes + batch.nbytes
        if rows >= MAX_GROUP_ROWS or nbytes >= MAX_GROUP_BYTES:
            yield pa.Table.from_batches(pending, reader.schema)
            pending, rows, nbytes = [], 0, 0
    yield pa.Table.from_batches(pending, reader.schema)


def _iter_batches(reader: Any) -> Iterator[Any]:
    try:
        yield from reader
    except (pa.ArrowException, OSError) as error:
        hint = "nothing was written; correct what the message says, or try again"
        raise TableError(
            Problem("unreadable", f"the rows cannot be fetched: {_first_line(error)}", hint=hint)
        ) from None


def _plan_column(field: Any, ignore: Container[str]) -> _SpoolColumn:
    """Return how the column of *field* is stored. Raises TableError if that cannot be done exactly."""
    dtype, is_list = field.type, False
    if any(is_kind(dtype) for is_kind in LIST_KINDS):
        dtype, is_list = dtype.value_type, True
    postgres_type = (field.metadata or {}).get(POSTGRES_TYPE, b"").removeprefix(b"_")
    stored = None if postgres_type in LOSSY_POSTGRES_TYPES else _stored_type(dtype)
    if stored is None:
        if field.name in ignore:
            return _SpoolColumn(field.name, pa.null())
        described = postgres_type.decode() or dtype
        message = f"column {field.name!r} of type {described} can be neither ids nor an attribute"
        hint = f"convert it in the query, as CAST({field.name} AS text), or use --ignore {field.name}"
        raise TableError(Problem("no-role", message, hint=hint))
    is_uuid = getattr(dtype, "extension_name", "") == "arrow.uuid"
    is_numeric = getattr(dtype, "type_name", "") == "numeric"
    return _SpoolColumn(
        field.name, pa.large_list(stored) if is_list else stored, _format_uuid if is_uuid else None, is_numeric
    )


def _stored_type(dtype: Any) -> Any:
    """Return the type that stores values of *dtype* exactly, or None if there is none."""
    if isinstance(dtype, pa.BaseExtensionType):
        is_known = dtype.extension_name in ("arrow.uuid", "arrow.json", "arrow.bool8")
        is_numeric = getattr(dtype, "type_name", "") == "numeric"
        return _stored_type(dtype.storage_type) if is_known or is_numeric else None
    if pa.types.is_dictionary(dtype) or pa.types.is_run_end_encoded(dtype):
        return _stored_type(dtype.value_type)
    if pa.types.is_interval(dtype) or pa.types.is_duration(dtype) or _is_nested(dtype):
        return None
    if pa.types.is_string(dtype) or pa.types.is_string_view(dtype):
        return pa.large_string()
    if pa.types.is_binary_view(dtype):
        return pa.large_binary()
    return dtype


def _is_nested(dtype: Any) -> bool:
    """Return whether a value is made of several: of a list that is an element, a struct, a map or a union."""
    return pa.types.is_nested(dtype) and not pa.types.is_fixed_size_list(dtype)


def _store_group(group: Any, columns: list[_SpoolColumn], schema: Any) -> Any:
    arrays = [_store_array(group.column(column.name), column) for column in columns]
    return pa.table(arrays, schema=schema)


def _store_array(values: Any, column: _SpoolColumn) -> Any:
    if pa.types.is_null(column.stored):
        return pa.chunked_array([pa.nulls(len(values))])
    return pa.chunked_array([_to_stored(chunk, column.stored) for chunk in values.chunks], column.stored)


def _to_stored(values: Any, stored: Any) -> Any:
    """Return the array *values* without what only Arrow knows: extensions, dictionaries, runs and views."""
    if isinstance(values, pa.ExtensionArray):
        return _to_stored(values.storage, stored)
    from pyarrow import compute  # loads slowly, and files do not need it

    if isinstance(values, pa.RunEndEncodedArray):
        return _to_stored(compute.run_end_decode(values), stored)
    if isinstance(values, pa.ListViewArray | pa.LargeListViewArray):
        return _list_view_to_stored(values, stored)
    if isinstance(values, pa.ListArray | pa.LargeListArray):
        elements = _to_stored(values.values, stored.value_type)
        offsets = compute.add(values.offsets.cast(pa.int64()), 0)  # a copy: a slice of offsets takes no mask
        mask = values.is_null() if values.null_count else None
        return pa.LargeListArray.from_arrays(offsets, elements, type=stored, mask=mask)
    return values.cast(stored)


def _list_view_to_stored(values: Any, stored: Any) -> Any:
    """Return lists that are views as ordinary ones; pyarrow's own cast of them makes offsets that are out of bounds."""
    from pyarrow import compute

    lengths = compute.fill_null(compute.list_value_length(values).cast(pa.int64()), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), compute.cumulative_sum(lengths)])
    elements = _to_stored(compute.list_flatten(values), stored.value_type)
    mask = values.is_null() if values.null_count else None
    return pa.LargeListArray.from_arrays(offsets, elements, type=stored, mask=mask)


def _format_uuid(values: pl.Expr) -> pl.Expr:
    digits = values.bin.encode("hex")
    return pl.concat_str([digits.str.slice(start, length) for start, length in UUID_SLICES], separator="-")


def _restore_columns(lazy_frame: pl.LazyFrame, columns: list[_SpoolColumn]) -> pl.LazyFrame:
    restored = []
    for column in columns:
        restore = _find_decimal_parser(lazy_frame, column) if column.is_numeric else column.restore
        if restore is not None:
            values = selectors.by_name(column.name).as_expr()
            is_list = pa.types.is_large_list(column.stored)
            restored.append(values.list.eval(restore(pl.element())) if is_list else restore(values))
    return lazy_frame.with_columns(restored) if restored else lazy_frame


def _find_decimal_parser(lazy_frame: pl.LazyFrame, column: _SpoolColumn) -> Callable[[pl.Expr], pl.Expr]:
    """Return the parser of a column of decimals of any size, with as many decimal places as the longest one has.

    Raises:
        TableError: A value is not a number, or has too many digits.
    """
    texts = selectors.by_name(column.name).as_expr()
    texts = texts.list.explode() if pa.types.is_large_list(column.stored) else texts
    frame = lazy_frame.select(text=texts).filter(pl.col("text").is_not_null())
    text = pl.col("text")
    places = frame.select(count_decimal_places(text).max()).collect(engine="streaming").item() or 0
    is_bad = ~text.str.contains(PLAIN_NUMBER_PATTERN) | (text.str.count_matches("[0-9]") > MAX_DECIMAL_DIGITS)
    is_bad = is_bad | parse_decimal(text, min(places, MAX_DECIMAL_DIGITS)).is_null()
    bad = frame.filter(is_bad).head(1).collect(engine="streaming")
    if len(bad):
        message = (
            f"column {column.name!r} holds {bad.item()!r:.80}, expected numbers of at most {MAX_DECIMAL_DIGITS} digits"
        )
        hint = f"convert it in the query, as CAST({column.name} AS text), or leave such rows out"
        raise TableError(Problem("bad-value", message, hint=hint))
    return lambda values: parse_decimal(values, places)
