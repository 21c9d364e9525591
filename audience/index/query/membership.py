"""Answer whether devices are in audiences, asked by their ids."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.errors import ExpressionError, PlanError, Problem
from audience.index.query.evaluate import evaluate_in_shard, exclude_deleted
from audience.index.query.row_tests import RowTest, make_row_test
from audience.index.query.stored_bitmaps import load_together
from audience.index.query.validate import validate_and_expand
from audience.index.schema.columns import IdColumn, list_id_calls, select_device_id_columns, select_id_columns
from audience.index.storage import bitmaps, id_search
from audience.index.storage.bitmaps import RowNumbers
from audience.index.storage.column_lookup import encode_id, hash_id
from audience.index.storage.snapshot import Snapshot, SnapshotLookup
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import Expr, ExprNode
from audience.language.parser import to_expr
from audience.language.printer import render
from audience.language.suggest import did_you_mean

ID, KNOWN = "id", "known"  # columns of the answer for many ids, before those of the expressions
MAX_KEPT_TESTS = 1_024  # expressions of a snapshot
MAX_SINGLE_ROWS = 128  # of a shard that are tested one by one; for more, all its rows are found


def select_member_columns(column: str | None, snapshot: Snapshot) -> list[IdColumn]:
    """Return the id columns in which devices are looked for: *column* as expressions name it, else all device ids.

    Raises:
        ExpressionError: The index has no such column.
    """
    if column is None:
        return select_device_id_columns(snapshot.id_columns)
    columns = select_id_columns(column, snapshot.id_columns)
    if not columns:
        names = list_id_calls(snapshot.id_columns)
        message = f"this index has no column of ids {column!r:.60}"
        raise ExpressionError(
            Problem("unknown-ids", message, hint=did_you_mean(column, names) or f"it holds {', '.join(names)}")
        )
    return columns


def match_device(
    identifier: str, exprs: Sequence[Expr], column: str | None, snapshot: Snapshot, as_of: AsOf | None
) -> list[bool]:
    """Return for each expression whether any live device with the id *identifier* matches it.

    Raises:
        ExpressionError: An expression refers to something that the index does not have, or there is no such column.
    """
    lookups = snapshot.lookups.get(column)
    if lookups is None:
        lookups = snapshot.lookups[column] = _open_lookups(column, snapshot)
    expanded = _expand_all(exprs, snapshot, as_of)
    stored = encode_id(identifier)
    hash_ = hash_id(stored)
    devices = [
        (number, row)
        for number, deleted, lookup in (lookups if stored else ())
        for row in lookup.find_rows(stored, hash_)
        if deleted is None or row not in deleted
    ]
    for number, _ in devices:
        if (shard := snapshot.shards[number]).is_remote:
            load_together(expanded, shard)
    return [any(find_row_test(expr, number, snapshot)(row) for number, row in devices) for expr in expanded]


def _open_lookups(column: str | None, snapshot: Snapshot) -> list[SnapshotLookup]:
    columns = select_member_columns(column, snapshot)
    return [
        (number, shard.deleted, lookup)
        for number, shard in enumerate(snapshot.shards)
        for each in columns
        if (lookup := shard.open_lookup(each)) is not None
    ]


def match_devices(
    identifiers: pl.Series,
    exprs: Mapping[str, Expr],
    column: str | None,
    snapshot: Snapshot,
    as_of: AsOf | None,
) -> pl.DataFrame:
    """Return a row for each id: whether a live device has it, and for each expression whether any of them matches.

    Raises:
        ExpressionError: An expression refers to something that the index does not have, or there is no such column.
    """
    columns = select_member_columns(column, snapshot)
    expanded = dict(zip(exprs, _expand_all([*exprs.values()], snapshot, as_of), strict=True))
    distinct = identifiers.drop_nulls().unique()
    answers = {name: np.zeros(len(distinct), dtype=np.bool_) for name in (KNOWN, *expanded)}
    for number, shard in enumerate(snapshot.shards):
        for id_column in columns:
            found = id_search.find_in_column(shard, id_column, distinct)
            rows, at = found["row"].to_numpy(), found["at"].to_numpy()
            answers[KNOWN][at] = True
            for name, expr in expanded.items():
                answers[name][at[_match_rows(expr, rows, number, snapshot)]] = True
    by_id = pl.DataFrame({ID: distinct, **answers}, schema={ID: pl.String, **dict.fromkeys(answers, pl.Boolean)})
    return (
        identifiers.to_frame(ID)
        .join(by_id, on=ID, how="left", maintain_order="left")
        .with_columns(pl.col(*answers).fill_null(False))
    )


def _expand_all(exprs: Sequence[Expr], snapshot: Snapshot, as_of: AsOf | None) -> list[Expr]:
    """Return *exprs* as they are evaluated, all of them asked at the same moment."""
    if as_of is None and len(exprs) > 1:
        as_of = read_as_of(default_timezone=snapshot.timezone)
    return [validate_and_expand(expr, snapshot, as_of) for expr in exprs]


def find_row_test(expr: Expr, shard_number: int, snapshot: Snapshot) -> RowTest:
    """Return the test of the live rows of a shard by *expr*, which is made once for an expression object."""
    kept = snapshot.row_tests.get(id(expr))
    if kept is None or kept[0] is not expr:
        if len(snapshot.row_tests) >= MAX_KEPT_TESTS:
            snapshot.row_tests.clear()
        kept = snapshot.row_tests[id(expr)] = expr, {}
    test = kept[1].get(shard_number)
    if test is None:
        test = kept[1][shard_number] = make_row_test(expr, snapshot.shards[shard_number])
    return test


def _match_rows(expr: Expr, rows: RowNumbers, shard_number: int, snapshot: Snapshot) -> NDArray[np.bool_]:
    """Return which of some live *rows* of a shard, in any order, match *expr*, which is expanded."""
    if len(rows) <= MAX_SINGLE_ROWS:
        test = find_row_test(expr, shard_number, snapshot)
        return np.fromiter(map(test, rows.tolist()), dtype=np.bool_, count=len(rows))
    shard = snapshot.shards[shard_number]
    matching = exclude_deleted(evaluate_in_shard(expr, shard), shard) & bitmaps.rows_to_bitmap(rows)
    return np.isin(rows, bitmaps.bitmap_to_rows(matching))


def read_identifiers(identifiers: pl.Series | Iterable[str | None]) -> pl.Series:
    """Return *identifiers* as a series of strings.

    Raises:
        TypeError: *identifiers* is one id, or some are neither strings nor null.
    """
    if isinstance(identifiers, str):
        raise TypeError(f"identifiers: expected a list of ids, got {identifiers!r:.60}")
    try:
        series = identifiers if isinstance(identifiers, pl.Series) else pl.Series(list(identifiers), dtype=pl.String)
    except (TypeError, UnicodeEncodeError) as error:
        raise TypeError(f"identifiers: expected strings of valid Unicode: {error}") from error
    if series.dtype not in (pl.String, pl.Null):
        raise TypeError(f"identifiers: expected strings, got a series of {series.dtype}")
    return series.cast(pl.String)


def list_exprs(exprs: Sequence[Expr | str]) -> list[Expr]:
    """Return *exprs*, parsed.

    Raises:
        TypeError: *exprs* is one expression.
        ExpressionError: One of them is invalid.
    """
    _require_several(exprs)
    return [to_expr(expr) for expr in exprs]


def name_exprs(exprs: Sequence[Expr | str] | Mapping[str, Expr | str]) -> dict[str, Expr]:
    """Return *exprs*, parsed, by name; the name of one in a sequence is its text.

    Raises:
        TypeError: *exprs* is one expression.
        ExpressionError: One of them is invalid.
        PlanError: Two expressions have one name, or one has the name of a column that every answer has.
    """
    _require_several(exprs)
    if not isinstance(exprs, Mapping):
        named = [(expr if isinstance(expr, str) else render(expr), to_expr(expr)) for expr in exprs]
    else:
        named = [(name, to_expr(expr)) for name, expr in exprs.items()]
    by_name: dict[str, Expr] = {}
    for name, expr in named:
        if name in by_name or name in (ID, KNOWN):
            message = f"two columns of the answer would have the name {name!r:.80}"
            raise PlanError(Problem("same-column", message, hint="pass a dict of names and expressions"))
        by_name[name] = expr
    return by_name


def _require_several(exprs: object) -> None:
    """Require more than a single expression, whose characters would be taken for expressions."""
    if isinstance(exprs, str | ExprNode):
        raise TypeError(f"exprs: expected a list of expressions, got {exprs!r:.60}")
