"""Random expressions, devices and tables."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import polars as pl
import xxhash
from hypothesis import strategies as st

from audience import (
    Aggregate,
    And,
    Anniversary,
    Between,
    Compare,
    Comparison,
    Did,
    EventFilter,
    EventMoment,
    Everyone,
    Except,
    Has,
    Ids,
    Interval,
    Limit,
    Matches,
    Nobody,
    Not,
    Or,
    Period,
    Reference,
    Relative,
    RelativeTime,
    Sample,
    Segment,
    Split,
    Tag,
    Threshold,
    Top,
    Within,
)
from audience.language.ast import (
    AGGREGATE_FUNCTIONS,
    AGGREGATE_OPS,
    COMPARE_OPS,
    ID_KINDS,
    LOW_OPS,
    MOMENT_FUNCTIONS,
    THRESHOLD_OPS,
    TOP_ORDERS,
)
from audience.language.patterns import escape_pattern
from audience.language.windows import CLOCK_UNITS, TIME_UNITS, WINDOW_OPS, window_times
from audience.testing.oracle import TOP_SEED, OracleDevice

BARE_TAGS = [Tag("tag", name) for name in "abcdef"]
TYPED_TAGS = [Tag("province", "guangdong"), Tag("province", "hunan"), Tag("province", "四川"), Tag("brand", "Mi")]
AGES = [0, 17, 18, 30, 41.5]
DAYS = [date(2020, 4, 1) + timedelta(days) for days in range(12)]
VERSIONS = ["1.0.2", "1.2", "1.2.0", "1.10", "2.0.0.1"]
ALIASES = ["u1", "u2", "u3"]


def boolean_exprs(leaves, max_leaves: int = 12):
    """Expressions over *leaves*."""

    def combine(operands):
        several = st.lists(operands, min_size=2, max_size=4).map(tuple)
        return st.one_of(operands.map(Not), several.map(And), several.map(Or))

    return st.recursive(leaves, combine, max_leaves=max_leaves)


RESERVED_WORDS = ["and", "OR", "Not", "in", "within", "everyone", "NOBODY", "tag", "alias", "days", "sample", "split"]
AWKWARD_NAMES = [
    "a b",
    'q"q',
    "b\\",
    "@vip",
    "xg_auto_province",
    "xg_user_define.male",
    "xg_auto_x.y",
    "a:b",
    "#",
    "c#",
    "10%",
]
SCRIPT_NAMES = ["城市", "हिन्दी", "ภาษาไทย", "العربية", "-1.5", "u@x.com"]
names = st.text(min_size=1, max_size=12) | st.sampled_from(RESERVED_WORDS + AWKWARD_NAMES + SCRIPT_NAMES)
ALL_MILLIONTHS = 10**8  # of a percent, in all


@st.composite
def split_exprs(draw, names, seeds):
    """Splits of one to four sides, all of them or one."""
    sides = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    shares = draw(st.lists(percents(ALL_MILLIONTHS // len(sides)), min_size=len(sides), max_size=len(sides)))
    return Split(tuple(zip(sides, shares, strict=True)), draw(seeds), draw(st.none() | st.sampled_from(sides)))


def percents(max_millionths: int = ALL_MILLIONTHS):
    """Shares of at most *most* millionths of a percent, as texts."""
    numbers = st.integers(1, max_millionths) | st.integers(1, max_millionths // 10**6).map(
        lambda percent: percent * 10**6
    )
    return numbers.map(lambda number: f"{Decimal(number).scaleb(-6):f}")


units = st.sampled_from(TIME_UNITS)
relative_times = st.one_of(
    st.sampled_from([RelativeTime("today"), RelativeTime("now")]),
    st.builds(
        RelativeTime, st.just("today"), st.integers(-999, 999), st.sampled_from(["day", "week", "month", "year"])
    ),
    st.builds(RelativeTime, st.just("now"), st.integers(-999, 999), st.sampled_from(CLOCK_UNITS)),
).map(lambda time: time if time.amount else RelativeTime(time.anchor))


def is_short_number(time) -> bool:
    """Whether a day or moment is a number such as 3, which is how often something was done."""
    return isinstance(time, str) and time.isdecimal() and len(time) < len("20261128")


relative_windows = st.one_of(
    st.builds(Comparison, st.sampled_from(WINDOW_OPS), relative_times),
    st.builds(Interval, relative_times, relative_times | names),
    st.builds(Interval, names, relative_times),
    st.builds(Period, st.integers(1, 999), units, st.sampled_from(["past", "next"]), st.none() | relative_times),
    st.builds(Period, st.integers(1, 999), units, st.just("next"), names),
)
month_days = st.dates().map(lambda day: Comparison("=", f"{day:%m-%d}"))
anniversary_windows = st.one_of(
    month_days, relative_windows.filter(lambda window: not isinstance(window, Comparison) or window.operator == "=")
)
windows = relative_windows | st.one_of(
    st.builds(Comparison, st.sampled_from(WINDOW_OPS), names),
    st.builds(Interval, names, names),
    st.builds(Period, st.integers(1, 999), units, st.just("past"), names),
)
moment_windows = windows.filter(lambda window: not any(map(is_short_number, window_times(window))))
event_windows = moment_windows.filter(
    lambda window: not isinstance(window, Comparison) or window.operator not in ("<=", ">=")
)
patterns = st.builds(lambda text, end: f"{escape_pattern(text)}{end}", names, st.sampled_from(["", "*", "?", "*?"]))
property_leaf = st.one_of(
    st.builds(Between, names, names, names, st.sampled_from(LOW_OPS), st.sampled_from(LOW_OPS)),
    st.builds(Matches, names, patterns, st.booleans()),
    st.builds(Relative, names, relative_windows),
    st.builds(Tag, names | st.just("tag"), names),
    st.builds(Compare, names, st.sampled_from(COMPARE_OPS), names),
    st.builds(Within, names, st.integers(1, 999), names),
    st.builds(Has, names | st.just("tag")),
)
EVENT_WORDS = ["did", "where", "sum", "first", "last", "times", "within", "purchase", "a.b", "x.", ".y"]
event_names = names | st.sampled_from(EVENT_WORDS)
property_names = event_names.map(lambda name: name.replace(".", "_"))


def event_filters(events=event_names, windows=event_windows, properties=property_leaf):
    """Filters of events by their properties, and by a window if there are *windows*."""
    wheres = st.none() | boolean_exprs(properties, max_leaves=4)
    return st.builds(EventFilter, events, wheres, st.none() | windows if windows is not None else st.none())


counts = st.sampled_from([(1, None), (1, 1), (0, 0), (0, 3)]) | st.tuples(
    st.integers(1, 10**9), st.none() | st.just(10**9)
)
event_leaf = st.one_of(
    st.builds(lambda events, count: Did(events, *count), event_filters(), counts),
    st.builds(
        Aggregate,
        st.sampled_from(AGGREGATE_FUNCTIONS),
        event_filters(),
        property_names,
        st.sampled_from(AGGREGATE_OPS),
        st.decimals(allow_nan=False, allow_infinity=False).map(str) | st.integers().map(str),
    ),
    st.builds(EventMoment, st.sampled_from(MOMENT_FUNCTIONS), event_filters(windows=None), moment_windows),
)
any_leaf = st.one_of(
    event_leaf,
    st.builds(Between, names, names, names, st.sampled_from(LOW_OPS), st.sampled_from(LOW_OPS)),
    st.builds(Matches, names, patterns, st.booleans()),
    st.builds(Relative, names, relative_windows),
    st.builds(Anniversary, names, anniversary_windows),
    st.just(Everyone()),
    st.just(Nobody()),
    st.builds(Tag, names | st.just("tag"), names),
    st.builds(Ids, st.sampled_from(ID_KINDS) | names, st.lists(names, min_size=1, max_size=3).map(tuple)),
    st.builds(Compare, names, st.sampled_from(COMPARE_OPS), names),
    st.builds(Within, names, st.integers(1, 999), names),
    st.builds(Has, names | st.just("tag")),
    st.builds(Reference, names, names, names),
    st.builds(Segment, names),
    st.builds(Sample, percents(), names),
    split_exprs(names, names),
)


LARGE_LIMITS = st.integers(1, 10**6)


@st.composite
def threshold_exprs(draw, terms):
    """Thresholds over *terms* with every count that is allowed."""
    some, operator = draw(terms), draw(st.sampled_from(THRESHOLD_OPS))
    first, last = (operator == "at least"), len(some) - (operator == "at most")
    return Threshold(operator, draw(st.integers(first, last)), some)


def exprs_without_limits(leaves, max_leaves: int = 12):
    """Expressions over *leaves* with differences and thresholds too."""

    def combine(operands):
        several = st.lists(operands, min_size=2, max_size=4).map(tuple)
        differences = st.builds(Except, operands, operands)
        return st.one_of(operands.map(Not), several.map(And), several.map(Or), differences, threshold_exprs(several))

    return st.recursive(leaves, combine, max_leaves=max_leaves)


def exprs_of_all_forms(leaves, max_leaves: int = 12, limits=LARGE_LIMITS, seeds=names, by=names):
    """Expressions over *leaves* with differences, thresholds and limits too."""

    def combine(operands):
        several = st.lists(operands, min_size=2, max_size=4).map(tuple)
        return st.one_of(
            operands.map(Not),
            several.map(And),
            several.map(Or),
            st.builds(Except, operands, operands),
            threshold_exprs(several),
            st.builds(Limit, operands, limits, seeds),
            st.builds(Top, operands, limits, by, st.sampled_from(TOP_ORDERS)),
        )

    return st.recursive(leaves, combine, max_leaves=max_leaves)


any_expr = exprs_of_all_forms(any_leaf)

tag_expr = boolean_exprs(st.sampled_from(BARE_TAGS))
mixed_tag_leaf = st.sampled_from(BARE_TAGS[:3] + TYPED_TAGS) | st.sampled_from([Everyone(), Nobody()])
mixed_tag_expr = boolean_exprs(mixed_tag_leaf)
mixed_tag_form = exprs_without_limits(mixed_tag_leaf)
INDEX_BOUNDS = {
    "age": st.sampled_from(["-1", "17", "17.5", "30", "41.5", "99"]),
    "active": st.sampled_from(DAYS).map(str),
    "version": st.sampled_from([*VERSIONS, "1.1", "3"]),
}
INDEX_PATTERNS = ["*", "g*", "*n*", "?unan", "四?", "M?", "m?", "1.2*", "1.?.*", "*0", "vivo", "?", "\\*"]
text_queries = st.builds(
    Matches,
    st.sampled_from(["tag", "province", "brand", "version"]),
    st.sampled_from(INDEX_PATTERNS[1:]),
    st.booleans(),
)
ranges = st.sampled_from(list(INDEX_BOUNDS)).flatmap(
    lambda type_: st.builds(
        Between,
        st.just(type_),
        INDEX_BOUNDS[type_],
        INDEX_BOUNDS[type_],
        st.sampled_from(LOW_OPS),
        st.sampled_from(LOW_OPS),
    )
)
anniversaries = st.sampled_from([*DAYS, date(2024, 2, 29)]).map(
    lambda day: Anniversary("active", Comparison("=", f"{day:%m-%d}"))
)
index_leaf = st.one_of(
    text_queries,
    ranges,
    anniversaries,
    st.sampled_from(BARE_TAGS + TYPED_TAGS),
    st.sampled_from([Everyone(), Nobody(), Tag("tag", "nobody has it"), Tag("age", "30"), Tag("active", "20200403")]),
    st.sampled_from([Tag("version", version) for version in [*VERSIONS, "9.9"]]),
    st.sampled_from([Has(type_) for type_ in ("tag", "province", "brand", "age", "active", "version")]),
    st.builds(
        Compare, st.just("age"), st.sampled_from(COMPARE_OPS), st.sampled_from(["-1", "17", "17.5", "30", "41.5", "99"])
    ),
    st.builds(Compare, st.just("active"), st.sampled_from(COMPARE_OPS), st.sampled_from(DAYS).map(str)),
    st.builds(Compare, st.just("version"), st.sampled_from(COMPARE_OPS), st.sampled_from([*VERSIONS, "1.1", "3"])),
    st.builds(Within, st.just("active"), st.integers(1, 5), st.sampled_from(DAYS).map(str)),
    st.builds(Ids, st.just("alias"), st.lists(st.sampled_from([*ALIASES, "u9"]), min_size=1, max_size=2).map(tuple)),
    st.builds(Ids, st.just("registration_id"), st.lists(st.sampled_from(["r0", "r3", "rx"]), min_size=1).map(tuple)),
)
index_expr = boolean_exprs(index_leaf)

SEEDS = ["summer", "winter"]
MASK_64_BITS = (1 << 64) - 1


def index_forms(leaves, max_leaves: int = 8):
    """Expressions over *leaves* in all forms that an index answers."""
    by = st.sampled_from(list(INDEX_BOUNDS))
    return exprs_of_all_forms(leaves, max_leaves, st.integers(1, 8), st.sampled_from(SEEDS), by)


def bucket_of(identifier: str, seed: str) -> Fraction:
    """Return the position of a device in [0, 1): hashes of its id and of the seed, mixed by SplitMix64."""
    mixed = _hash_40_bits(identifier) ^ (_hash_40_bits(seed) << 24)
    mixed = (mixed + 0x9E3779B97F4A7C15) & MASK_64_BITS
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MASK_64_BITS
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK_64_BITS
    return Fraction(mixed ^ (mixed >> 31), 1 << 64)


def _hash_40_bits(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode()) >> 24


def buckets_of(identifier: str) -> dict[str, Fraction]:
    """Return the position of a device under every seed of the expressions."""
    return {seed: bucket_of(identifier, seed) for seed in (*SEEDS, TOP_SEED)}


SHARE_EXPRS = [
    st.builds(Sample, percents(), st.sampled_from(SEEDS)),
    split_exprs(st.sampled_from("ab"), st.sampled_from(SEEDS)),
]
SEGMENT_NAMES = [f"s{number}" for number in range(4)]
id_only_leaf = st.one_of(*map(st.just, BARE_TAGS[:3]), *SHARE_EXPRS, st.builds(Segment, st.sampled_from(SEGMENT_NAMES)))
id_only_expr = boolean_exprs(id_only_leaf, max_leaves=8)


@st.composite
def segment_definitions(draw):
    """What is saved under the names of SAVED: each mentions only those before it."""
    mentioned = [st.just(Segment(name)) for name in SEGMENT_NAMES]
    leaves = [
        st.one_of(*map(st.just, BARE_TAGS[:3]), *SHARE_EXPRS, *mentioned[:at]) for at in range(len(SEGMENT_NAMES))
    ]
    return {name: draw(boolean_exprs(leaf, max_leaves=5)) for name, leaf in zip(SEGMENT_NAMES, leaves, strict=True)}


device_rows = st.fixed_dictionaries(
    {
        "tags": st.lists(st.sampled_from([tag.value for tag in BARE_TAGS]), max_size=4),
        "province": st.sampled_from([None, "guangdong", "hunan", "四川"]),
        "brand": st.sampled_from([None, "Mi", "vivo"]),
        "age": st.sampled_from([None, *AGES]),
        "active": st.lists(st.sampled_from(DAYS), max_size=2),
        "version": st.sampled_from([None, *VERSIONS]),
        "alias": st.lists(st.sampled_from(ALIASES), max_size=2),
    }
)
DEVICE_SCHEMA = {
    "tags": pl.List(pl.String),
    "province": pl.String,
    "brand": pl.String,
    "age": pl.Float64,
    "active": pl.List(pl.Date),
    "version": pl.String,
    "alias": pl.List(pl.String),
}


def make_table(devices: list[dict]) -> pl.DataFrame:
    """*devices* as a table, with the registration ids r0, r1, …"""
    ids = pl.Series("registration_id", [f"r{at}" for at in range(len(devices))], dtype=pl.String)
    return pl.DataFrame(devices, schema=DEVICE_SCHEMA).with_columns(ids)


def make_oracle_devices(devices: list[dict]) -> dict[str, OracleDevice]:
    """The same devices for the oracle, by their registration ids."""
    return {f"r{at}": _make_oracle_device(f"r{at}", row) for at, row in enumerate(devices)}


def _make_oracle_device(identifier: str, row: dict) -> OracleDevice:
    tags = {("tag", name) for name in row["tags"]}
    tags |= {(name, row[name]) for name in ("province", "brand", "version") if row[name]}
    return OracleDevice(
        tags=frozenset(tags),
        ids={"alias": row["alias"], "registration_id": [identifier]},
        ages=() if row["age"] is None else (row["age"],),
        days=tuple(row["active"]),
        versions=(row["version"],) if row["version"] else (),
        buckets=buckets_of(identifier),
    )
