"""Numbers of tables without rounding: as floats where these are exact, else as decimals of at most 38 digits.

A float counts as the number that its shortest decimal text names: 0.1 is a tenth.
"""

from decimal import Decimal

import polars as pl

MAX_DECIMAL_DIGITS = 38  # of the 128-bit decimals of Arrow
MAX_EXACT_FLOAT_DIGITS = 15  # every decimal of so many digits is the shortest text of its float
LONG_EXPONENT_PATTERN = r"[eE][+-]?[0-9]{3}"  # numbers that may be too large or too small for a float


def are_floats_exact(texts: pl.Series) -> bool:
    """Return whether each number in *texts* is the shortest decimal text of a float.

    >>> are_floats_exact(pl.Series(["0.1", "9007199254740992"])), are_floats_exact(pl.Series(["9007199254740993"]))
    (True, False)
    """
    digit_counts = texts.str.count_matches("[0-9]")
    uncertain = texts.filter((digit_counts > MAX_EXACT_FLOAT_DIGITS) | texts.str.contains(LONG_EXPONENT_PATTERN))
    return all(Decimal(text) == Decimal(repr(float(text))) for text in uncertain.unique().to_list())


def count_decimal_places(text: pl.Expr) -> pl.Expr:
    """Return the number of decimal places that each number needs, as in 2 for "1.50" and 4 for "1.5e-3"."""
    fraction_digits = text.str.extract(r"\.([0-9]*)").str.len_chars().fill_null(0).cast(pl.Int64)
    exponent = text.str.extract(r"[eE]([+-]?[0-9]+)$").cast(pl.Int64, strict=False).fill_null(0)
    return pl.max_horizontal(fraction_digits - exponent, pl.lit(0))


def find_max_decimal_places(texts: pl.Series) -> int:
    """Return the largest number of decimal places that a number in *texts* needs."""
    places = pl.select(count_decimal_places(pl.lit(texts)).max()).item()
    return int(places or 0)


def parse_decimal(text: pl.Expr, scale: int) -> pl.Expr:
    """Parse each number as a decimal with *scale* places; null if it does not fit exactly."""
    decimal = text.cast(pl.Decimal(MAX_DECIMAL_DIGITS, scale), strict=False)
    return pl.when(count_decimal_places(text) <= scale).then(decimal)


def floats_to_decimals(floats: pl.Expr, scale: int) -> pl.Expr:
    """Return the shortest decimal text of each float as a decimal with *scale* places."""
    return floats.cast(pl.String).cast(pl.Decimal(MAX_DECIMAL_DIGITS, scale))
