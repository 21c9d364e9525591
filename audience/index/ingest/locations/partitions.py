"""Columns that the names of Hive folders give, as in `country=cn/day=2026-11-28/part-0.parquet`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import unquote

import polars as pl
from polars import selectors

from audience.errors import Problem, TableError

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
PATH_COLUMN = "__audience_path__"
INTEGER_PATTERN = r"^(0|-?[1-9][0-9]{0,17})$"
FLOAT_PATTERN = r"^-?(0|[1-9][0-9]{0,6})\.([0-9]{0,7}[1-9]|0)$"
DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}$"


def read_partitions(folders: Iterable[str], name: str) -> dict[str, str | None]:
    """Return the columns that *folders* above the file *name* give, with their values as text.

    Raises:
        TableError: Two folders give one column, or a column has no name.

    >>> read_partitions(["data", "country=cn", "city=%E6%9D%AD"], "part-0.parquet")
    {'country': 'cn', 'city': '杭'}
    """
    partitions: dict[str, str | None] = {}
    for folder in folders:
        key, equals, text = folder.partition("=")
        if not equals:
            continue
        column, value = unquote(key), None if text == NULL_PARTITION else unquote(text)
        if not column or column in partitions:
            message = f"{name}: the folder {folder!r} " + ("names no column" if not column else "gives a column twice")
            raise TableError(Problem("bad-partition", message, hint="name each folder COLUMN=VALUE, each column once"))
        partitions[column] = value
    return partitions


def require_same_partitions(files: Sequence[tuple[str, Mapping[str, str | None]]]) -> None:
    """Raise TableError if the folders of two *files*, given by name and partitions, give different columns."""
    first_name, first = files[0]
    for name, partitions in files[1:]:
        if partitions.keys() != first.keys():
            column = min(partitions.keys() ^ first.keys())
            message = f"{first_name} and {name} are in different folders: only one gives the column {column!r}"
            raise TableError(Problem("bad-partition", message, hint="build from one Hive folder"))


def add_partitions(
    scan: Callable[[str | None], pl.LazyFrame],
    files: Sequence[tuple[str, Mapping[str, str | None]]],
    read_values: Callable[[str, pl.Series], pl.Series],
) -> pl.LazyFrame:
    """Return the table of *files*, given by path and partitions, with the columns of its Hive folders.

    Args:
        scan: Scans the files, with a column of their paths if it is given a name.
        files: Files and their partitions.
        read_values: Returns the values of a column in their type, from its name and the texts.

    Raises:
        TableError: A file has one of these columns with another value, or files are of different folders.
    """
    require_same_partitions(files)
    if not files[0][1]:
        return scan(None)
    lazy_frame = scan(PATH_COLUMN)
    paths = [path for path, _ in files]
    added = []
    for column in files[0][1]:
        texts = pl.Series([partitions[column] for _, partitions in files], dtype=pl.String)
        if column in lazy_frame.collect_schema():
            _require_equal_values(lazy_frame, column, paths, texts)
            continue
        added.append(_by_path(paths, read_values(column, texts)).alias(column))
    return lazy_frame.with_columns(added).drop(PATH_COLUMN)


def infer_partition_type(texts: pl.Series) -> pl.Series:
    """Return the values of a column of Hive folders as whole numbers, numbers, Booleans or days if all are; else text.

    >>> infer_partition_type(pl.Series(["7", "10"])).dtype, infer_partition_type(pl.Series(["007", "10"])).dtype
    (Int64, String)
    """
    present = texts.drop_nulls()
    if present.is_empty():
        return texts
    if present.str.contains(INTEGER_PATTERN).all():
        return texts.cast(pl.Int64)
    if present.str.contains(f"{INTEGER_PATTERN}|{FLOAT_PATTERN}").all():
        return texts.cast(pl.Float64)
    if present.is_in(["true", "false"]).all():
        return texts == "true"
    if present.str.contains(DATE_PATTERN).all():
        dates = texts.str.to_date("%Y-%m-%d", strict=False)
        return dates if dates.null_count() == texts.null_count() else texts
    return texts


def cast_text(texts: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Return *texts* in another type; null for what is not one of its values."""
    if dtype == pl.Boolean:
        return texts.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None, return_dtype=dtype)
    return texts.cast(dtype, strict=False)


def _by_path(paths: Sequence[str], values: pl.Series) -> pl.Expr:
    unique = dict(zip(paths, values.to_list(), strict=True))
    column = selectors.by_name(PATH_COLUMN).as_expr()
    return column.replace_strict(list(unique), pl.Series(list(unique.values()), dtype=values.dtype))


def _require_equal_values(lazy_frame: pl.LazyFrame, column: str, paths: Sequence[str], texts: pl.Series) -> None:
    """Raise TableError if a file has the column of its folder with other values; some engines write it into both."""
    own = selectors.by_name(column).as_expr()
    dtype = lazy_frame.collect_schema()[column]
    given = _by_path(paths, texts)
    expected = _by_path(paths, cast_text(texts, dtype))
    is_other = expected.ne_missing(own) | (expected.is_null() != given.is_null())
    other = lazy_frame.filter(is_other).select(PATH_COLUMN, value=own.cast(pl.String, strict=False)).head(1).collect()
    if len(other):
        path, value = other.row(0)
        message = f"{path}: column {column!r} holds {value!r}, its folder gives another value"
        raise TableError(Problem("bad-partition", message, hint=f"drop the column {column!r} from the files"))
