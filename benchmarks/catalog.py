"""How long do large catalogs take to be checked, and plans with their facts to be made and proved?

Times are those of one processor. Each answer is asserted: the names that are read, and the devices that a plan is for.

    python -m benchmarks.catalog [--values N] [--attributes N] [--json FILE]
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from audience import CatalogError, Plan, parse, plan
from audience.planning.catalog.catalog import Catalog
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog
from benchmarks.report import format_table, make_parser, save_json


@dataclass(frozen=True, slots=True)
class CatalogTime:
    """One case, and its time in milliseconds."""

    case: str
    milliseconds: float


def measure(case: str, run: Callable[[], bool]) -> CatalogTime:
    """Time *run*, which returns whether its answer is right."""
    started = time.process_time()
    assert run(), case
    return CatalogTime(case, (time.process_time() - started) * 1_000)


def build_closed_catalog(value_count: int) -> Catalog:
    values = [f"c{number:04}" for number in range(value_count)]
    names = 'names.tpns = "{value}"\nnames.engagelab = "{value}"\nnames.emas = "{value}"'
    return parse_catalog(f"[city]\nvalues = {values}\nexclusive = true\nexhaustive = true\n{names}")


def build_builtin_catalog(value_count: int) -> Catalog:
    return parse_catalog(f'[province]\nvalues = {[f"p{n:04}" for n in range(value_count)]}\nbuiltin = ["tpns"]')


def write_wide_catalog(attribute_count: int, separator: str) -> str:
    return "\n".join(
        f'[a{number}]\nvalues = ["x", "y", "z"]\nexclusive = true\n'
        f'names.engagelab = "a{number}{separator}{{value}}"\nnames.emas = "{{type}}_{{value}}"'
        for number in range(attribute_count)
    )


def count_problems(text: str) -> int:
    try:
        validate_catalog(parse_catalog(text))
    except CatalogError as error:
        return len(error.problems)
    return 0


def is_native(made: Plan) -> bool:
    return made.by_ids is None and len(made.native) == 1


def is_by_ids(made: Plan) -> bool:
    return made.by_ids is not None


def measure_plans(value_count: int) -> list[CatalogTime]:
    catalog, builtin_catalog = build_closed_catalog(value_count), build_builtin_catalog(value_count)
    provinces = parse(" OR ".join(f"province:{value}" for value in builtin_catalog.attributes["province"].values))
    every, half = (
        " OR ".join(f"city:{value}" for value in (catalog.attributes["city"].values or ())[:count])
        for count in (value_count, value_count // 2)
    )
    plan("NOT city:c0001", "tpns", catalog=catalog)  # loads what plans need

    def is_right(text: str, vendor: str, expected: Callable[[Plan], bool]) -> Callable[[], bool]:
        expr = parse(text)
        return lambda: expected(plan(expr, vendor, catalog=catalog))

    return [
        measure(f"plan of {value_count:,} values, TPNS", is_right(every, "tpns", is_native)),
        measure(f"plan of {value_count:,} values, EngageLab", is_right(every, "engagelab", is_by_ids)),
        measure("plan of NOT one of them, EngageLab", is_right("NOT city:c0003", "engagelab", is_by_ids)),
        measure("plan of a tag AND half of them, TPNS", is_right(f"vip AND ({half})", "tpns", is_native)),
        measure(
            f"plan of {value_count:,} built-in values, TPNS",
            lambda: is_native(plan(provinces, "tpns", catalog=builtin_catalog)),
        ),
    ]


def main() -> None:
    parser = make_parser(__doc__, "json")
    parser.add_argument("--values", type=int, default=1_600)
    parser.add_argument("--attributes", type=int, default=800)
    chosen = parser.parse_args()
    legal, illegal = (write_wide_catalog(chosen.attributes, separator) for separator in "_-")
    names = 3 * chosen.attributes
    rows = [
        measure(f"check of {chosen.attributes:,} attributes", lambda: count_problems(legal) == 0),
        measure(f"check of {names:,} illegal names", lambda: count_problems(illegal) == names),
        *measure_plans(chosen.values),
    ]
    print(format_table(("case", "ms"), [(row.case, f"{row.milliseconds:,.0f}") for row in rows]))
    save_json([asdict(row) for row in rows], chosen.json)


if __name__ == "__main__":
    main()
