"""Write expressions over tags as programs over packed words."""

from collections.abc import Iterator, Mapping, Sequence

from audience.index.storage.word_programs import (
    ALL_ROWS,
    NO_ROWS,
    ProgramWriter,
    Value,
    WordProgram,
    write_threshold,
)
from audience.language.ast import And, Everyone, Except, Expr, Nobody, Not, Or, Tag, Threshold


def write_program(expr: Expr, tags: Sequence[Tag]) -> WordProgram | None:
    """Return the program of *expr*, in which there are no atoms but *tags*; None if it means everyone or nobody."""
    slots = {tag: Value(slot) for slot, tag in enumerate(tags)}
    writer = ProgramWriter(len(tags))
    result = _write_expr(expr, writer, slots)
    return None if result.slot is None else writer.finish(result)


def _write_expr(expr: Expr, writer: ProgramWriter, slots: Mapping[Tag, Value]) -> Value:
    match expr:
        case Tag():
            return slots[expr]
        case Not(term=term):
            return ~_write_expr(term, writer, slots)
        case And(terms=terms):
            return _write_intersection((_write_expr(term, writer, slots) for term in terms), writer)
        case Or(terms=terms):
            return ~_write_intersection((~_write_expr(term, writer, slots) for term in terms), writer)
        case Except(term=term, excluded=excluded):
            rows, excluded_rows = (_write_expr(each, writer, slots) for each in (term, excluded))
            return writer.intersect(rows, ~excluded_rows)
        case Threshold():
            return _write_count(expr, writer, slots)
        case Everyone():
            return ALL_ROWS
        case Nobody():
            return NO_ROWS
    raise AssertionError(f"{expr!r} is not over tags")


def _write_intersection(values: Iterator[Value], writer: ProgramWriter) -> Value:
    """Unite all complements before they are subtracted: a subtraction takes two steps, a union one."""
    plain, complemented = ALL_ROWS, ALL_ROWS
    for value in values:
        if value.complemented:
            complemented = writer.intersect(complemented, value)
        else:
            plain = writer.intersect(plain, value)
    return writer.intersect(plain, complemented)


def _write_count(expr: Threshold, writer: ProgramWriter, slots: Mapping[Tag, Value]) -> Value:
    exactly = expr.operator == "exactly" and expr.count > 0
    count = expr.count if exactly or expr.operator == "at least" else expr.count + 1
    if count > len(expr.terms):
        return ALL_ROWS  # at most all of them
    operands = (_write_expr(term, writer, slots) for term in expr.terms)
    if count == len(expr.terms):
        reached = _write_intersection(operands, writer)
        return reached if exactly or expr.operator == "at least" else ~reached
    reached = write_threshold(writer, operands, len(expr.terms), count, exactly=exactly)
    return reached if exactly or expr.operator == "at least" else ~reached
