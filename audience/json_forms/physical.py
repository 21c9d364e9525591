"""Evaluation of an expression: the ways of its nodes, and the threads."""

from typing_extensions import TypedDict

from audience.index.query.physical_explanation import PhysicalExplanation, PhysicalLine, StoredForm, TakenWay


class TakenWayForm(TypedDict):
    """Way that a node takes in several shards.

    Attributes:
        way: `at once`, `roaring`, `words`, `merge`, `sorted runs`, `counters`, `sliced words`, `cached`, `union`,
            `computed` or `skipped`.
        shards: Numbers of the shards, from 1 on.
        estimated_microseconds: Estimated times of ways in all these shards together, as far as they were estimated.
        operands: Stored bitmaps that are combined in each shard.
        cached_operands: Those whose packed words were cached.
        block_bytes: Bytes of a block of each operand; 0 unless packed words are combined.
        remembered: Whether the operands were remembered from the last time.
    """

    way: str
    shards: list[int]
    estimated_microseconds: dict[str, float]
    operands: int
    cached_operands: int
    block_bytes: int
    remembered: bool


class StoredBitmapsForm(TypedDict):
    """Stored bitmaps of a tag, in all shards together.

    Attributes:
        rows: Rows, deleted ones among them.
        array_containers: Containers that are lists of rows.
        bitset_containers: Containers that are words.
        run_containers: Containers that are runs of rows.
        bytes: Bytes of the containers.
        shards_with_cached_words: Shards where the bitmap is cached as packed words.
    """

    rows: int
    array_containers: int
    bitset_containers: int
    run_containers: int
    bytes: int
    shards_with_cached_words: int


class PhysicalNodeForm(TypedDict):
    """Node of an expression as it is evaluated.

    Attributes:
        depth: Level in the tree.
        path: Position of the node among the operands of its parent, from the root on.
        text: The node; an operator without its operands.
        ways: Ways of the node; empty if it is a step of the way of a node above it.
        form: Stored bitmaps of a tag; null for other nodes, and for tags that no device has.
    """

    depth: int
    path: list[int]
    text: str
    ways: list[TakenWayForm]
    form: StoredBitmapsForm | None


class PhysicalForm(TypedDict):
    """Evaluation of an expression.

    Attributes:
        count: Devices that match.
        microseconds: Measured time of the count.
        asked: How often the expression was counted; this is the last time.
        shards: Number of shards.
        threads: Threads that evaluated them.
        lines: Nodes of the expression, parents before children.
    """

    count: int
    microseconds: float
    asked: int
    shards: int
    threads: int
    lines: list[PhysicalNodeForm]


def physical_json(explanation: PhysicalExplanation) -> PhysicalForm:
    """Return the JSON form of how an expression was counted."""
    return {
        "count": explanation.device_count,
        "microseconds": round(explanation.microseconds, 1),
        "asked": explanation.asked,
        "shards": explanation.shard_count,
        "threads": explanation.thread_count,
        "lines": [_line_json(line) for line in explanation.lines],
    }


def _line_json(line: PhysicalLine) -> PhysicalNodeForm:
    return {
        "depth": line.depth,
        "path": list(line.path),
        "text": line.text,
        "ways": [_way_json(way) for way in line.ways],
        "form": None if line.form is None else _form_json(line.form),
    }


def _way_json(way: TakenWay) -> TakenWayForm:
    return {
        "way": way.name,
        "shards": list(way.shards),
        "estimated_microseconds": {name: round(cost / 1_000, 1) for name, cost in way.costs.items()},
        "operands": way.operand_count,
        "cached_operands": way.cached_count,
        "block_bytes": way.block_bytes,
        "remembered": way.is_kept,
    }


def _form_json(form: StoredForm) -> StoredBitmapsForm:
    return {
        "rows": form.rows,
        "array_containers": form.array_containers,
        "bitset_containers": form.bitset_containers,
        "run_containers": form.run_containers,
        "bytes": form.nbytes,
        "shards_with_cached_words": form.cached_words,
    }
