"""Text of how an expression was evaluated, in lines of at most 80 columns."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from audience.counts import format_count
from audience.index.query.insight.text_layout import shorten
from audience.span import display_width

if TYPE_CHECKING:  # an explanation prints itself
    from audience.index.query.physical_explanation import PhysicalExplanation, PhysicalLine, StoredForm, TakenWay

WIDTH = 80
MAX_INDENT = 40
SENTENCES = {
    "at once": "stored bitmaps at once",
    "roaring": "roaring operations one after another",
    "words": "packed words",
    "merge": "bitmaps merged into levels",
    "sorted runs": "first and last rows of all runs, sorted",
    "counters": "a counter for each row",
    "sliced words": "packed words, added up in binary digits",
    "cached": "rows from the cache",
    "union": "union when it is needed",
    "computed": "found by the condition",
    "skipped": "not needed: no device was left before",
}


def format_physical(explanation: "PhysicalExplanation") -> str:
    """Return an explanation as text."""
    shards = format_count(explanation.shard_count, "shard")
    threads = format_count(explanation.thread_count, "thread")
    devices = format_count(explanation.device_count, "device")
    heading = f"{devices} in {format_microseconds(explanation.microseconds)}: {shards} in {threads}"
    return "\n".join([heading, *(text for line in explanation.lines for text in _format_line(line, explanation))])


def _format_line(line: "PhysicalLine", explanation: "PhysicalExplanation") -> Iterator[str]:
    indent = min(2 * line.depth, MAX_INDENT)
    yield " " * indent + shorten(line.text[: 2 * WIDTH], WIDTH - indent)  # of a long list, shortening all takes long
    for way in line.ways:
        subject = _format_shards(way.shards, explanation.shard_count)
        yield from wrap_words(f"{subject}: {_describe_way(way)}", indent + 4)
    if line.form is not None:
        yield from wrap_words(_describe_form(line.form, explanation.shard_count), indent + 4)


def _describe_way(way: "TakenWay") -> str:
    parts = [SENTENCES[way.name]]
    if way.is_kept:
        parts.append("on operands that were remembered")
    if way.operand_count and way.name in ("words", "at once", "union"):
        parts.append(format_count(way.operand_count, "operand"))
    if way.name == "words":
        cached = "all" if way.cached_count == way.operand_count else f"{way.cached_count:,}"
        parts += [f"blocks of {format_size(way.block_bytes)}", f"{cached} cached"]
    costs = _describe_costs(way.costs)
    return ", ".join(parts) + (f"; estimated {costs}" if costs else "")


def _describe_costs(costs: Mapping[str, float]) -> str:
    if len(costs) == 1:
        return f"{format_microseconds(sum(costs.values()) / 1_000)}"
    return ", ".join(f"{name} {format_microseconds(cost / 1_000)}" for name, cost in costs.items())


def _describe_form(form: "StoredForm", shard_count: int) -> str:
    kinds = {"array": form.array_containers, "bitset": form.bitset_containers, "run": form.run_containers}
    containers = ", ".join(format_count(number, kind) for kind, number in kinds.items() if number)
    text = f"{format_count(form.rows, 'row')}, {containers or 'no containers'}, {format_size(form.nbytes)}"
    if not form.cached_words:
        return text
    return f"{text}; words cached" + (f" in {form.cached_words:,} of {shard_count:,} shards" if shard_count > 1 else "")


def _format_shards(numbers: Sequence[int], shard_count: int) -> str:
    """Return which shards have *numbers*.

    >>> _format_shards((1, 2, 3, 7), 9), _format_shards((4,), 9), _format_shards((1, 2), 2)
    ('shards 1-3, 7', 'shard 4', 'all shards')
    """
    if len(numbers) == shard_count > 1:
        return "all shards"
    runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    ranges = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"{'shard' if len(numbers) == 1 else 'shards'} {', '.join(ranges)}"


def format_microseconds(microseconds: float) -> str:
    """Return a duration.

    >>> format_microseconds(0.34), format_microseconds(410.2), format_microseconds(12_345)
    ('0.3 µs', '410 µs', '12,345 µs')
    """
    return f"{microseconds:.1f} µs" if microseconds < 10 else f"{microseconds:,.0f} µs"


def format_size(nbytes: int) -> str:
    """Return a size.

    >>> format_size(90), format_size(65_536), format_size(1_500_000)
    ('90 bytes', '66 kB', '1.5 MB')
    """
    if nbytes < 1_000:
        return format_count(nbytes, "byte")
    return f"{nbytes / 1_000:,.0f} kB" if nbytes < 1_000_000 else f"{nbytes / 1_000_000:,.1f} MB"


def wrap_words(text: str, indent: int) -> Iterator[str]:
    """Yield the lines of *text*, all but the first indented more; a number and its unit are on one line."""
    line = " " * indent
    for word in re.split(" (?!µs|kB|MB)", text):
        if line.strip() and display_width(line) + display_width(word) >= WIDTH:
            yield line
            line = " " * (indent + 2)
        line = f"{line} {word}" if line.strip() else f"{line}{word}"
    yield line
