"""List the values of an attribute that a condition asks for."""

from audience.index.query.attribute_rows import query_ranges
from audience.index.schema.value_types import value_type_of
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Condition, Has, Matches, Tag

MAX_DISTINGUISHED_VALUES = 1_000_000  # of all shards; a set of more needs too much memory


def list_matching_values(condition: Condition | Has | Tag, snapshot: Snapshot, max_count: int) -> list[str] | None:
    """Return the values in *snapshot* that fit *condition*, in order; None if they are more than *max_count*.

    None also if they are instants, or kept as numbers without a list of them.

    Raises:
        ExpressionError: An operand is not a value of the attribute.
    """
    values: set[str] = set()
    for shard in snapshot.shards:
        attribute = shard.attributes.get(condition.type)
        if attribute is None:
            continue
        if attribute.bit_slicing is not None or attribute.role == "time":
            return None
        whole = [(0, attribute.value_count)]
        ranges = whole if isinstance(condition, Has) else query_ranges(condition, attribute, shard)
        if sum(stop - start for start, stop in ranges) > max_count:
            return None
        texts = shard.attribute_values(attribute)
        values.update(texts[rank] for start, stop in ranges for rank in range(start, stop))
    role = snapshot.roles.get(condition.type)
    ordered = sorted(values, key=None if role is None else value_type_of(role).parse)
    return ordered if len(ordered) <= max_count else None


def count_matching_values(matches: Matches, snapshot: Snapshot) -> int | None:
    """Return how many values in *snapshot* fit a pattern; None if several shards have too many to compare.

    Values that only removed devices had count too, until the shards are compacted.
    """
    found = []
    for shard in snapshot.shards:
        attribute = shard.attributes.get(matches.type)
        if attribute is not None:
            ranges = query_ranges(matches, attribute, shard)
            found.append((shard.attribute_values(attribute), ranges, sum(stop - start for start, stop in ranges)))
    if len(found) < 2:
        return sum(count for *_, count in found)
    if sum(count for *_, count in found) > MAX_DISTINGUISHED_VALUES:
        return None
    return len({texts[rank] for texts, ranges, _ in found for start, stop in ranges for rank in range(start, stop)})
