"""Series whose values may be lists, when a device can have several values."""

import polars as pl


def is_list(values: pl.Series) -> bool:
    """Return whether each value of the series is a list."""
    return isinstance(values.dtype, pl.List)


def arrays_to_lists(values: pl.Series) -> pl.Series:
    """Return arrays of a fixed length as lists, and other values unchanged."""
    return values.cast(pl.List(element_type(values))) if isinstance(values.dtype, pl.Array) else values


def as_lists(values: pl.Series) -> pl.Series:
    """Return *values* as lists of one element each, null for null, unless they are lists already."""
    if is_list(values):
        return values
    lists = values.reshape((len(values), 1)).cast(pl.List(values.dtype))
    return pl.select(pl.when(values.is_not_null()).then(lists)).to_series()


def element_type(values: pl.Series) -> pl.DataType:
    """Return the type of a value, of lists and arrays the type of their elements.

    >>> element_type(pl.Series([[1], [2, 3]]))
    Int64
    """
    dtype = values.dtype
    element = dtype.inner if isinstance(dtype, pl.List | pl.Array) else dtype
    assert isinstance(element, pl.DataType)
    return element


def flatten_lists(values: pl.Series) -> pl.Series:
    """Return the elements of all lists in order; of other values, the values.

    >>> flatten_lists(pl.Series([[1], None, [2, 3], []])).to_list()
    [1, 2, 3]
    """
    return values.explode(empty_as_null=False, keep_nulls=False) if is_list(values) else values
