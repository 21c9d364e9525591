"""How long does an expression take to be read: for the first time with its nodes, the tree alone, and again?

Times are those of one processor, the smallest of many repeats. What is read is asserted, written out again.

    python -m benchmarks.parse [--repeats N] [--json FILE]
"""

import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from timeit import repeat

from audience import parse, render
from audience.language.grammar import load_grammar
from audience.language.parser import to_expr
from benchmarks.report import format_table, make_parser, save_json

TEXTS = {
    "flagship": (
        "male AND active within 7 days of 2020-04-08 AND province in (guangdong, hunan) AND NOT version:1.0.2"
    ),
    "relative time": "signup before 30 days ago AND expires within next 7 days",
    "thresholds": 'at least 2 of (vip, city matches "gua*", age between 18 and 25) EXCEPT @staff',
    "1,000 tags": " OR ".join(f"tag{number:04}" for number in range(1_000)),
}
CALLS = 5  # of one repeat


@dataclass(frozen=True, slots=True)
class ParseTime:
    """One text: microseconds of the tree alone, of a first reading with its nodes, and of a repeated one."""

    text: str
    tree: float
    first: float
    repeated: float


def measure(run: Callable[[], object], repeats: int) -> float:
    return min(repeat(run, number=CALLS, repeat=repeats, timer=time.process_time)) / CALLS * 1e6


def measure_text(name: str, text: str, repeats: int) -> ParseTime:
    assert parse(render(parse(text))) == parse(text) == to_expr(text), name
    grammar = load_grammar()
    runs = (lambda: grammar.parse(text), lambda: parse(text), lambda: to_expr(text))
    return ParseTime(name, *(measure(run, repeats) for run in runs))


def measure_load() -> float:
    started = time.process_time()
    re.purge()
    assert [*load_grammar.__wrapped__().tokenize("a")]
    return (time.process_time() - started) * 1_000


def main() -> None:
    parser = make_parser(__doc__, "json")
    parser.add_argument("--repeats", type=int, default=300)
    chosen = parser.parse_args()
    rows = [measure_text(name, text, chosen.repeats) for name, text in TEXTS.items()]
    print(f"The grammar is loaded in {min(measure_load() for _ in range(10)):.0f} ms.\n")
    cells = [(row.text, f"{row.tree:,.0f}", f"{row.first:,.0f}", f"{row.repeated:.1f}") for row in rows]
    print(format_table(("expression", "tree µs", "first µs", "again µs"), cells))
    save_json([asdict(row) for row in rows], chosen.json)


if __name__ == "__main__":
    main()
