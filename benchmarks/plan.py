"""How much of what people may ask can each vendor say natively, and in how many requests?

Random expressions over up to eight tags are planned for every vendor; all 256 devices there can be are asked, and each
must be reached once by the requests and by what is left to ids, or not at all. Then every vendor's expressions are
translated to every other.

    python -m benchmarks.plan [--expressions N] [--json FILE]
"""

import argparse
import json
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

from audience import And, Everyone, Expr, Nobody, Not, Or, Plan, Tag, plan, vendor
from audience.language.expr import bare
from audience.vendors import reachable

TAGS = [bare(name) for name in "abcdefgh"]
FULL = (1 << 256) - 1
BITS = {tag: sum(1 << device for device in range(256) if device >> at & 1) for at, tag in enumerate(TAGS)}


@dataclass(frozen=True, slots=True)
class Row:
    """One vendor: the share that is wholly native, partly native, by ids; the mean of native requests; milliseconds."""

    vendor: str
    native: float
    partly: float
    by_ids: float
    requests: float
    most: int
    least: float
    milliseconds: float


def expression(chance: random.Random, depth: int = 3) -> Expr:
    """A random expression over the eight tags."""
    if depth == 0 or chance.random() < 0.15:
        return chance.choice(TAGS)
    terms = tuple(expression(chance, depth - 1) for _ in range(chance.randint(2, 3)))
    kind = chance.choice(["and", "or", "not"])
    return And(terms) if kind == "and" else Or(terms) if kind == "or" else Not(terms[0])


def reached(expr: Expr) -> int:
    """The devices inside *expr*: one bit for each of the 256."""
    match expr:
        case Everyone():
            return FULL
        case Tag():
            return BITS[expr]
        case Not(term=term):
            return FULL & ~reached(term)
        case And(terms=terms):
            found = FULL
            for term in terms:
                found &= reached(term)
            return found
        case Or(terms=terms):
            found = 0
            for term in terms:
                found |= reached(term)
            return found
    return 0


def check(expr: Expr, found: Plan) -> None:
    """Every device that is meant is reached once, and nobody else."""
    said = [vendor(found.vendor).parse(payload) for payload in found.native]
    told = 0
    for part in [*said, *([found.by_ids] if found.by_ids is not None else [])]:
        assert told & reached(part) == 0, f"told twice: {expr}"
        told |= reached(part)
    assert told == reached(expr), f"not those who were meant: {expr}"


def measured(name: str, exprs: list[Expr]) -> Row:
    started = time.perf_counter()
    plans = [plan(expr, name) for expr in exprs]
    seconds = time.perf_counter() - started
    for expr, found in zip(exprs, plans, strict=True):
        check(expr, found)
    native = [len(found.native) for found in plans if found.native and found.by_ids is None]
    return Row(
        name,
        len(native) / len(plans),
        sum(bool(found.native) and found.by_ids is not None for found in plans) / len(plans),
        sum(not found.native and found.by_ids is not None for found in plans) / len(plans),
        mean(native),
        max(native),
        sum(found.least for found in plans if found.native) / sum(bool(found.native) for found in plans),
        seconds / len(plans) * 1_000,
    )


def pairs(exprs: list[Expr]) -> dict[tuple[str, str], tuple[int, int]]:
    """Of what one vendor says wholly natively: how many there are, and how many another says wholly natively too."""
    found = {}
    for source in reachable():
        plans = [plan(expr, source) for expr in exprs]
        said = [vendor(source).parse(each.native[0]) for each in plans if len(each.native) == 1 and each.by_ids is None]
        for target in reachable():
            if target != source:
                kept = [plan(expr, target) for expr in said]
                for expr, each in zip(said, kept, strict=True):
                    check(expr, each)
                found[source, target] = len(said), sum(each.by_ids is None for each in kept)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--expressions", type=int, default=2_000)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    chance = random.Random(42)
    exprs = [each for each in (expression(chance) for _ in range(chosen.expressions)) if each != Nobody()]
    rows = [measured(name, exprs) for name in reachable()]
    print(f"{len(exprs):,} random expressions over 8 tags; every one of 256 devices reached once or not at all.")
    print("What is missing to 100 % comes to nobody.\n")
    print("| vendor | wholly native | partly | by ids | requests, mean | most | known to be fewest | ms a plan |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        shares = f"{row.native:.1%} | {row.partly:.1%} | {row.by_ids:.1%}"
        print(
            f"| {row.vendor} | {shares} | {row.requests:.2f} | {row.most} | {row.least:.1%} | {row.milliseconds:.2f} |"
        )
    print("\n| from | to | said in one request by the first | wholly native at the second |\n|---|---|--:|--:|")
    for (source, target), (said, kept) in pairs(exprs[:300]).items():
        print(f"| {source} | {target} | {said} | {kept} |")
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
