"""How much of what people may ask can each vendor say natively, and in how many requests?

Random expressions over up to eight tags are planned for every vendor; all 256 devices there can be are asked, and each
must be reached once by the requests and by what is left to ids, or not at all.

    python -m benchmarks.plan [--expressions N] [--json FILE]
"""

import random
import time
from dataclasses import asdict, dataclass
from statistics import mean

from audience import Expr, Nobody, plan
from audience.vendors import reachable
from benchmarks.expressions import check, expression
from benchmarks.report import options, save, table


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


def _cells(row: Row) -> tuple[str, ...]:
    shares = (f"{share:.1%}" for share in (row.native, row.partly, row.by_ids))
    return (row.vendor, *shares, f"{row.requests:.2f}", str(row.most), f"{row.least:.1%}", f"{row.milliseconds:.2f}")


def main() -> None:
    parser = options(__doc__, "json")
    parser.add_argument("--expressions", type=int, default=2_000)
    chosen = parser.parse_args()
    chance = random.Random(42)
    exprs = [each for each in (expression(chance) for _ in range(chosen.expressions)) if each != Nobody()]
    rows = [measured(name, exprs) for name in reachable()]
    print(f"{len(exprs):,} random expressions over 8 tags; every one of 256 devices reached once or not at all.")
    print("What is missing to 100 % comes to nobody.\n")
    head = ("vendor", "wholly native", "partly", "by ids", "requests, mean", "most", "known to be fewest", "ms a plan")
    print(table(head, list(map(_cells, rows))))
    save([asdict(row) for row in rows], chosen.json)


if __name__ == "__main__":
    main()
