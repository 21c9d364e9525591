"""List the values of an attribute that a condition asks for."""

from audience.index.query.attribute_rows import query_ranges
from audience.index.schema.value_types import value_type_of
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Condition, Has


def list_matching_values(condition: Condition | Has, snapshot: Snapshot, max_count: int) -> list[str] | None:
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
