"""Comparisons of numbers that are exact in SQL: with decimals of the table's own scale, or with the float that decides.

The index compares the shortest decimal text of a float with an operand: 0.1 is not 0.1000000000000000055.
"""

import struct
from decimal import Context, Decimal
from fractions import Fraction
from math import ceil, floor, isinf
from typing import Literal, TypeAlias

from audience.index.query.sql import nodes
from audience.index.query.sql.column_types import SqlColumn
from audience.index.query.sql.nodes import Node, SqlDialect
from audience.index.schema.value_types import limit_exponent
from audience.language.ast import CompareOp

NumberOp: TypeAlias = CompareOp | Literal["="]
MAX_DIGITS = 38  # of a decimal in the index, and in DuckDB
MAX_WHOLE = 1 << 63
LARGEST_FLOAT = "1.7976931348623157e308"
MAX_SINGLE, SINGLE_DIGITS = 3e38, 9  # of floats of 32 bits
EXACT = Context(prec=2 * MAX_DIGITS)


def compare_number(value: Node, operator: NumberOp, operand: Decimal, column: SqlColumn, dialect: SqlDialect) -> Node:
    """Return whether *value*, of *column*, is on one side of *operand*.

    >>> def write(operator, operand, scale):
    ...     number = SqlColumn("n", "number", scale=scale)
    ...     return nodes.write_sql(compare_number(nodes.column("n"), operator, operand, number, "duckdb"), "duckdb")
    >>> write("<", Decimal("30.5"), 0), write("<", Decimal("30.5"), 2), write("=", Decimal("0.5"), None)
    ('"n" <= 30', '"n" < 30.50', '"n" = 0.5e0')
    """
    if column.scale is None:
        return _compare_float(value, operator, operand, column, dialect)
    exact = Fraction(_as_decimal(operand)) * 10**column.scale
    limit = MAX_WHOLE if not column.scale and dialect == "clickhouse" else 10**MAX_DIGITS
    if abs(exact) >= limit:
        return _compare_beyond(value, operator, exact > 0)
    if exact.denominator == 1:
        return nodes.compare(_read_decimal(value, column, dialect), operator, _decimal(int(exact), column, dialect))
    if operator == "=":
        return nodes.constant(False)
    rounded, operator = (floor(exact), "<=") if operator in ("<", "<=") else (ceil(exact), ">=")
    return nodes.compare(_read_decimal(value, column, dialect), operator, _decimal(rounded, column, dialect))


def has_number(value: Node, column: SqlColumn, dialect: SqlDialect) -> Node:
    """Return whether there is a number; NaN is none."""
    if column.scale is not None:
        return nodes.is_present(value)
    if dialect == "clickhouse":
        return nodes.is_a_number(_read_float(value, column, dialect))
    return nodes.compare(_read_float(value, column, dialect), "<=", nodes.number(LARGEST_FLOAT))


def _as_decimal(operand: Decimal) -> Decimal:
    limited = limit_exponent(operand)
    assert isinstance(limited, Decimal)
    return limited


def _compare_beyond(value: Node, operator: NumberOp, is_large: bool) -> Node:
    """Return the comparison with a number that is larger than all, or smaller than all."""
    is_true = operator in (("<", "<=") if is_large else (">", ">="))
    return nodes.is_present(value) if is_true else nodes.constant(False)


def _decimal(scaled: int, column: SqlColumn, dialect: SqlDialect) -> Node:
    """Return a number with exactly as many decimal places as the column has: DuckDB rounds texts to those."""
    scale = column.scale or 0
    text = f"{Decimal(scaled).scaleb(-scale, EXACT):f}"
    if dialect == "clickhouse" and (scale or abs(scaled) >= MAX_WHOLE):
        return nodes.call("toDecimal128", nodes.string(text, dialect), nodes.number(str(scale)))
    return nodes.number(text)


def _read_decimal(value: Node, column: SqlColumn, dialect: SqlDialect) -> Node:
    if column.type != "text":
        return value
    return nodes.cast(value, f"DECIMAL({MAX_DIGITS}, {column.scale})" if column.scale else "BIGINT", dialect)


def _compare_float(value: Node, operator: NumberOp, operand: Decimal, column: SqlColumn, dialect: SqlDialect) -> Node:
    number = float(operand) + 0.0
    if isinf(number):
        return has_number(value, column, dialect) if _is_below(operator, number) else nodes.constant(False)
    shortest = Decimal(repr(number))
    if shortest != operand:
        if operator == "=":
            return nodes.constant(False)
        includes = shortest < operand if operator in ("<", "<=") else shortest > operand
        operator = _with_bound(operator, includes)
    read = _read_float(value, column, dialect, number)
    comparison = nodes.compare(read, operator, _float(number))
    if operator in (">", ">=") and dialect != "clickhouse":  # NaN is above all numbers there
        return nodes.conjunction([comparison, nodes.compare(read, "<=", nodes.number(LARGEST_FLOAT))])
    return comparison


def _is_below(operator: NumberOp, number: float) -> bool:
    return operator in (("<", "<=") if number > 0 else (">", ">="))


def _with_bound(operator: CompareOp, includes: bool) -> CompareOp:
    if operator in ("<", "<="):
        return "<=" if includes else "<"
    return ">=" if includes else ">"


def _float(number: float) -> Node:
    text = repr(number)
    return nodes.number(text if "e" in text else f"{text}e0")


def _read_float(value: Node, column: SqlColumn, dialect: SqlDialect, operand: float = 0.0) -> Node:
    """Return *value* as the index has read it: a 32-bit float is read from its shortest decimal text.

    The float and its text compare alike with an *operand* that is a 32-bit float itself, so only others need the text.
    """
    match column.type:
        case "double":
            return value
        case "text":
            return nodes.cast(value, "DOUBLE PRECISION", dialect)
    if _is_single_precision(operand):
        return value
    return nodes.cast(nodes.as_text(value, dialect), "DOUBLE PRECISION", dialect)


def _is_single_precision(number: float) -> bool:
    """Return whether 32 bits express *number*, and the shortest text for those 32 bits means it too.

    >>> [_is_single_precision(number) for number in (0.5, 30.0, 0.1, 0.30000001192092896, 1e300)]
    [True, True, False, False, False]
    """
    if abs(number) > MAX_SINGLE or _round_to_single(number) != number:
        return False
    texts = (f"{number:.{digits}g}" for digits in range(1, SINGLE_DIGITS + 1))
    return next(float(text) for text in texts if _round_to_single(float(text)) == number) == number


def _round_to_single(number: float) -> float:
    """Return the float of 32 bits that is nearest to *number*."""
    rounded: float = struct.unpack("f", struct.pack("f", number))[0]
    return rounded
