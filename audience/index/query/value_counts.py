"""Count devices by the number of rows of each value of an attribute, without finding the rows."""

from audience.index.query.attribute_rows import query_ranges
from audience.index.schema.rank_ranges import sum_ranges
from audience.index.storage import arrow_file
from audience.index.storage.joined_shard import JoinedShard
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.shard import Shard
from audience.language.ast import Matches

MAX_KEPT_COUNTS = 4_096  # of each shard


def count_values(expr: Matches, shard: Shard) -> int | None:
    """Return how many devices of *shard* match *expr*; None if it takes their rows, or if these are cached."""
    known = shard.value_counts.get(expr)
    if known is not None:
        return known
    if shard.deleted is not None or shard.cache.get(shard.name, expr) is not None:
        return None
    counts = [_count_in_part(expr, part) for part in (shard.parts if isinstance(shard, JoinedShard) else [shard])]
    found = [count for count in counts if count is not None]
    if len(found) < len(counts):
        return None
    if len(shard.value_counts) >= MAX_KEPT_COUNTS:
        shard.value_counts.clear()
    shard.value_counts[expr] = sum(found)
    return sum(found)


def _count_in_part(expr: Matches, shard: Shard) -> int | None:
    attribute = shard.attributes.get(expr.type)
    if attribute is None:
        return 0
    if shard.deleted is not None or not attribute.is_single_valued:
        return None
    return _sum_counts(expr, attribute, shard)


def _sum_counts(expr: Matches, attribute: StoredAttribute, shard: Shard) -> int | None:
    """Return how many rows have a value that *expr* asks for; None if a file of an earlier version does not say."""
    stored = shard.value_column("cardinality").slice(attribute.start, attribute.value_count)
    if stored.null_count:
        return None
    return sum_ranges(query_ranges(expr, attribute, shard), arrow_file.as_uint32(stored))
