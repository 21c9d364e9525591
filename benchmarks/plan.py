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
from audience.vendors import vendor_names
from benchmarks.expressions import check_plan, random_expression
from benchmarks.report import format_table, make_parser, save_json


@dataclass(frozen=True, slots=True)
class VendorPlanStats:
    """One vendor: the share that is wholly native, partly native, by ids; the mean of native requests; milliseconds."""

    vendor: str
    native_share: float
    partly_native_share: float
    by_ids_share: float
    mean_requests: float
    max_requests: int
    minimal_share: float
    milliseconds: float


def measure_vendor(vendor_name: str, exprs: list[Expr]) -> VendorPlanStats:
    started = time.perf_counter()
    plans = [plan(expr, vendor_name) for expr in exprs]
    seconds = time.perf_counter() - started
    for expr, found in zip(exprs, plans, strict=True):
        check_plan(expr, found)
    native = [len(found.native) for found in plans if found.native and found.by_ids is None]
    return VendorPlanStats(
        vendor_name,
        len(native) / len(plans),
        sum(bool(found.native) and found.by_ids is not None for found in plans) / len(plans),
        sum(not found.native and found.by_ids is not None for found in plans) / len(plans),
        mean(native),
        max(native),
        sum(found.is_minimal for found in plans if found.native) / sum(bool(found.native) for found in plans),
        seconds / len(plans) * 1_000,
    )


def _format_cells(row: VendorPlanStats) -> tuple[str, ...]:
    shares = (f"{share:.1%}" for share in (row.native_share, row.partly_native_share, row.by_ids_share))
    return (
        row.vendor,
        *shares,
        f"{row.mean_requests:.2f}",
        str(row.max_requests),
        f"{row.minimal_share:.1%}",
        f"{row.milliseconds:.2f}",
    )


def main() -> None:
    parser = make_parser(__doc__, "json")
    parser.add_argument("--expressions", type=int, default=2_000)
    chosen = parser.parse_args()
    chance = random.Random(42)
    exprs = [each for each in (random_expression(chance) for _ in range(chosen.expressions)) if each != Nobody()]
    rows = [measure_vendor(name, exprs) for name in vendor_names(can="emit")]
    print(f"{len(exprs):,} random expressions over 8 tags; every one of 256 devices reached once or not at all.")
    print("What is missing to 100 % comes to nobody.\n")
    head = ("vendor", "wholly native", "partly", "by ids", "requests, mean", "most", "known to be fewest", "ms a plan")
    print(format_table(head, list(map(_format_cells, rows))))
    save_json([asdict(row) for row in rows], chosen.json)


if __name__ == "__main__":
    main()
