"""Count completions within what the other conditions of a text select."""

from collections.abc import Sequence
from dataclasses import replace

from audience.errors import ExpressionError
from audience.index.query.counting import count_in_shard
from audience.index.query.evaluate import evaluate_in_shard, exclude_deleted
from audience.index.query.shard_threads import map_expr
from audience.index.query.validate import validate_and_expand
from audience.index.storage.bitmaps import RowSet, bitmap_nbytes, count_intersection
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import Everyone, Expr
from audience.language.attribute_names import UNTYPED
from audience.language.completion import Completion, Place, find_place
from audience.language.completion_context import find_context
from audience.language.parser import parse
from audience.language.printer import quote_name

MAX_COUNTED = 100  # completions


def count_within(
    completions: Sequence[Completion], text: str, position: int, snapshot: Snapshot, as_of: AsOf | None = None
) -> list[Completion]:
    """Return *completions* with the number of devices that the rest of *text* selects and that have them.

    Values and tags of attributes, segments and events are counted. Nothing is counted if no expression can be made of
    the rest, or the index cannot answer it.
    """
    place = find_place(text, position)
    context = None if place is None else find_context(text, place)
    if place is None or context is None:
        return [*completions]
    asked = as_of or read_as_of(default_timezone=snapshot.timezone)
    conditions = [_find_condition(each, place, snapshot, asked) for each in completions[:MAX_COUNTED]]
    known = [condition for condition in conditions if condition is not None]
    try:
        expanded = validate_and_expand(context, snapshot, asked)
        by_shard = map_expr(
            lambda expr, shard: _count_in_shard(expr, known, shard), expanded, snapshot.evaluated_shards
        )
    except ExpressionError:
        return [*completions]
    counts = iter([sum(parts) for parts in zip(*by_shard, strict=True)])
    counted = [
        each if condition is None else replace(each, within=next(counts))
        for each, condition in zip(completions, conditions, strict=False)
    ]
    return [*counted, *completions[MAX_COUNTED:]]


def _find_condition(completion: Completion, place: Place, snapshot: Snapshot, asked: AsOf) -> Expr | None:
    """Return the devices that a completion is about, validated; None if it is about none."""
    match completion.kind:
        case "tag" | "segment" if not place.event:
            text = completion.text
        case "value" if not place.event:
            text = f"{quote_name(place.attribute or UNTYPED)}:{completion.text}"
        case "event":
            text = f"did({completion.text})"
        case _:
            return None
    try:
        return validate_and_expand(parse(text, folder=None), snapshot, asked)
    except ExpressionError:
        return None


def _count_in_shard(context: Expr, conditions: Sequence[Expr], shard: Shard) -> list[int]:
    if isinstance(context, Everyone):
        return [count_in_shard(condition, shard) for condition in conditions]
    live = exclude_deleted(evaluate_in_shard(context, shard), shard)
    rows = RowSet(live, nbytes=bitmap_nbytes(live))
    return [
        count_intersection([rows, evaluate_in_shard(condition, shard)], shard.row_count) for condition in conditions
    ]
