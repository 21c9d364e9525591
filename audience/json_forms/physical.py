"""Evaluation of an expression: the ways of its nodes, and the threads."""

from typing import Any

from audience.index.query.physical_explanation import PhysicalExplanation, PhysicalLine, StoredForm, TakenWay


def physical_json(explanation: PhysicalExplanation) -> dict[str, Any]:
    """Return how an expression was counted as JSON data."""
    return {
        "count": explanation.device_count,
        "microseconds": round(explanation.microseconds, 1),
        "asked": explanation.asked,
        "shards": explanation.shard_count,
        "threads": explanation.thread_count,
        "lines": [_line_json(line) for line in explanation.lines],
    }


def _line_json(line: PhysicalLine) -> dict[str, Any]:
    return {
        "depth": line.depth,
        "path": list(line.path),
        "text": line.text,
        "ways": [_way_json(way) for way in line.ways],
        "form": None if line.form is None else _form_json(line.form),
    }


def _way_json(way: TakenWay) -> dict[str, Any]:
    return {
        "way": way.name,
        "shards": list(way.shards),
        "estimated_microseconds": {name: round(cost / 1_000, 1) for name, cost in way.costs.items()},
        "operands": way.operand_count,
        "cached_operands": way.cached_count,
        "block_bytes": way.block_bytes,
        "remembered": way.is_kept,
    }


def _form_json(form: StoredForm) -> dict[str, int]:
    return {
        "rows": form.rows,
        "array_containers": form.array_containers,
        "bitset_containers": form.bitset_containers,
        "run_containers": form.run_containers,
        "bytes": form.nbytes,
        "shards_with_cached_words": form.cached_words,
    }
