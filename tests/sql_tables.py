"""A messy table of devices, in Parquet, DuckDB, Postgres and ClickHouse, and random questions about it."""

import random
from datetime import date, datetime
from decimal import Decimal

import polars as pl
from hypothesis import strategies as st
from strategies import threshold_exprs

from audience import (
    And,
    Anniversary,
    Between,
    Compare,
    Comparison,
    Everyone,
    Except,
    Has,
    Ids,
    Matches,
    Nobody,
    Not,
    Or,
    Tag,
    Within,
)
from audience.language.ast import COMPARE_OPS, LOW_OPS

ROWS = 240
ZONE = "Asia/Shanghai"
TEXTS = [
    *(
        "guangdong",
        "Guangdong",
        "guang dong",
        "guang_dong",
        "100%",
        "it's",
        'a"b',
        "back\\slash",
        "\\'; DROP TABLE devices; --",
    ),
    *(
        "straße",
        "STRASSE",
        "ẞ",
        "K",
        "\u212a",
        "k",
        "É",
        "é",
        "e\u0301",
        "广东",
        "😀",
        "new\nline",
        " padded ",
        "!",
        "a!b",
        "[x]",
        "x",
        "$1",
    ),
    *("007", "7", "true", "NULL", "{a,b}", "e'x'", "--", "/*", "?", "*", ";", "ı", "İ", "I", "i", "σ", "ς", "Σ"),
]
PLATFORMS = [
    "ios",
    "iOS",
    "IOS",
    "i-os",
    "android",
    "Harmony OS",
    "hmos",
    "HMOS",
    "TV",
    "tv",
    "mac os_x",
    "Quic\u212aApp",
]
VERSIONS = ["1.2", "1.2.0", "1.10", "1.9.9", "2", "2.0.0.0", "0", "0.0", "10.0.1", "01.2"]
FLOATS = [0.1, 0.30000001192092896, 30.0, -0.0, 1e300, -1e-300, 0.1 + 0.2, 41.5, 1e15, 9007199254740993.0, float("nan")]
INTS = [0, -1, 17, 18, 30, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
DECIMALS = [Decimal(text) for text in ("0.00", "-0.01", "19.99", "20.00", "1234567890123456789012.34")]
DAYS = [
    date(1969, 12, 31),
    date(2020, 2, 28),
    date(2020, 2, 29),
    date(2020, 3, 1),
    date(2024, 2, 29),
    date(2026, 11, 28),
]
MOMENTS = [
    datetime(1969, 12, 31, 23, 59, 59, 999999),
    datetime(2020, 2, 28, 15, 59, 59, 999999),
    datetime(2020, 2, 28, 16),
    datetime(2020, 2, 29),
    datetime(2020, 2, 29, 12, 30, 0, 1),
    datetime(2026, 11, 28, 23, 59, 59),
]
SEPARATED = [" red ;blue", ";;", "", "\u3000blue\u2003;\t8\n", "008", "Red;wasn't", " ; \x85", "blue;blue", "dark blue"]
COLORS = ["red", "blue", "8", "008", "Red", "wasn't", "dark blue", "dark", " red "]


def make_table() -> pl.DataFrame:
    """Return the same table every time."""
    chance = random.Random(20)

    def some(values, missing=0.15):
        return [None if chance.random() < missing else chance.choice(values) for _ in range(ROWS)]

    def lists(values, longest=3):
        return [
            None if chance.random() < 0.15 else [chance.choice(values) for _ in range(chance.randint(0, longest))]
            for _ in range(ROWS)
        ]

    return pl.DataFrame(
        {
            "token": [f"t{row}" if row % 3 else f"t'{row}\\" for row in range(ROWS)],
            "customer": pl.Series(range(ROWS), dtype=pl.Int64),
            "alias": pl.Series(lists(["u1", "u2", "", None, "it's"]), dtype=pl.List(pl.String)),
            "account": some(["a1", "A1", "", "a'2"]),
            "tags": pl.Series(lists([*TEXTS, "", None]), dtype=pl.List(pl.String)),
            "interests": pl.Series(lists([*TEXTS[:6], "", None]), dtype=pl.List(pl.String)),
            "vip": pl.Series(some([True, False]), dtype=pl.Boolean),
            'new"user': pl.Series(some([True, False]), dtype=pl.Boolean),
            "labels": some(SEPARATED),
            "city": some([*TEXTS, ""]),
            "platform": some([*PLATFORMS, ""]),
            "code": pl.Series(some([7, 77, -1]), dtype=pl.Int64),
            "age": pl.Series(some(INTS), dtype=pl.Int64),
            "small": pl.Series(some([0, 3, 200]), dtype=pl.UInt8),
            "score": pl.Series(some(FLOATS), dtype=pl.Float64),
            "ratio": pl.Series(some([0.1, 0.3, 0.5, 30.0, 1e10, float("nan")]), dtype=pl.Float32),
            "price": pl.Series(some(DECIMALS), dtype=pl.Decimal(38, 2)),
            "sizes": pl.Series(lists([36, 40, 44]), dtype=pl.List(pl.Int64)),
            "stock": some(["0", "7", "-3", "12"]),
            "version": some([*VERSIONS, ""]),
            "signup": pl.Series(some(DAYS), dtype=pl.Date),
            "visits": pl.Series(lists(DAYS), dtype=pl.List(pl.Date)),
            "day_text": some(["2020-02-29", "20200229", "20200301", "1999-12-31"]),
            "seen": pl.Series(some(MOMENTS), dtype=pl.Datetime("us")),
            "login": pl.Series(some(MOMENTS), dtype=pl.Datetime("us")).dt.replace_time_zone("UTC"),
            "cut": pl.Series(some(MOMENTS), dtype=pl.Datetime("us")).dt.replace_time_zone("UTC"),
        }
    )


ROLES = {
    "key": "customer",
    "typed": ["interests", "code"],
    "split": {"labels": ";"},
    "numbers": ["stock"],
    "dates": ["day_text", "cut"],
    "timezone": ZONE,
}
NEEDED_TYPES = {
    **{"stock": "text", "day_text": "text", "cut": "timestamptz"},
    **{"seen": "timestamp", "login": "timestamptz"},
}  # which an index does not know
ALL_TYPES = NEEDED_TYPES | {
    **dict.fromkeys(["token", "account", "city", "platform", "version", "interests", "alias", "labels"], "text"),
    **{
        "tags": "list",
        "vip": "boolean",
        'new"user': "boolean",
        "age": "number",
        "small": "number",
        "price": "number",
        "sizes": "number",
    },
    **{"score": "double", "ratio": "real", "signup": "date", "visits": "date"},
}
PATTERNS = [
    "g*",
    "*n*",
    "?",
    "??",
    "*'*",
    "*\\\\*",
    "*_*",
    "*%",
    "1*%",
    "K",
    "k",
    "*ss*",
    "*ß",
    "é",
    "*\n*",
    "!*",
    "*[x]",
    "i?s",
    "广*",
    "\\*",
    "$1",
    "0*7",
    "?*",
]
NUMBERS = {
    "age": ["-1", "17", "17.5", "30", "1e3", "9007199254740993", "9223372036854775807", "1e30", "-1e-400", "1e999999"],
    "small": ["0", "3", "-0.5", "199.99", "200"],
    "score": [
        "0.1",
        "0.1000000000000000055",
        "0.30000000000000004",
        "0.3",
        "30",
        "-1",
        "0",
        "1e300",
        "1e400",
        "1e-400",
        "41.5",
    ],
    "ratio": ["0.1", "0.100000001490116", "0.3", "0.5", "30", "1e10", "-1", "1e39"],
    "price": ["0", "19.99", "19.995", "1234567890123456789012.34", "-0.01", "1e40"],
    "sizes": ["36", "38.5", "44"],
    "stock": ["0", "7", "6.5", "-3"],
}
SOME_DAYS = [str(day) for day in (*DAYS, date(2020, 2, 27), date(1, 1, 1), date(9999, 12, 31))]
SOME_MOMENTS = [*SOME_DAYS, "2020-02-28T16:00Z", "2020-02-29T20:30:00.000001+08:00", "1969-12-31T23:59:59.999999Z"]
texts = st.sampled_from(TEXTS)
operators, low_operators = st.sampled_from(COMPARE_OPS), st.sampled_from(LOW_OPS)


def ordered(operands: dict[str, list[str]]):
    """Comparisons, ranges and values of attributes."""
    attributes = st.sampled_from(sorted(operands))

    def conditions(name):
        values = st.sampled_from(operands[name])
        return st.one_of(
            st.builds(Tag, st.just(name), values),
            st.builds(Compare, st.just(name), operators, values),
            st.builds(Between, st.just(name), values, values, low_operators, low_operators),
        )

    return attributes.flatmap(conditions)


DAY_ATTRIBUTES = {
    **dict.fromkeys(["signup", "visits", "day_text", "cut"], SOME_DAYS),
    **dict.fromkeys(["seen", "login"], SOME_MOMENTS),
}
EXISTING = [
    *("tag", *NUMBERS, *DAY_ATTRIBUTES, "city", "interests", "platform", "code", "version"),
    *("alias", "account", "token", "customer"),
]
leaves = st.one_of(
    st.sampled_from(
        [
            Everyone(),
            Nobody(),
            Tag("code", "7"),
            Tag("code", "007"),
            Tag("tag", "vip"),
            Tag("tag", "nothing"),
            Tag("tag", 'new"user'),
        ]
    ),
    st.builds(Tag, st.sampled_from(["tag", "city", "interests"]), texts),
    st.builds(Tag, st.just("tag"), st.sampled_from(COLORS)),
    st.builds(Tag, st.just("platform"), st.sampled_from(PLATFORMS)),
    st.builds(Tag, st.just("version"), st.sampled_from(VERSIONS)),
    st.builds(
        Matches, st.sampled_from(["tag", "city", "interests", "version"]), st.sampled_from(PATTERNS), st.booleans()
    ),
    st.builds(Has, st.sampled_from(EXISTING)),
    ordered(NUMBERS),
    ordered(DAY_ATTRIBUTES),
    ordered({"version": ["1.2", "1.2.0", "1.10", "2", "0", "0.0.1", "3"]}).filter(
        lambda expr: not isinstance(expr, Tag)
    ),
    st.builds(
        Within, st.sampled_from(sorted(DAY_ATTRIBUTES)), st.sampled_from([1, 2, 99999]), st.sampled_from(SOME_DAYS)
    ),
    st.builds(
        Anniversary,
        st.sampled_from(sorted(DAY_ATTRIBUTES)),
        st.sampled_from(["02-28", "02-29", "03-01", "12-31"]).map(lambda day: Comparison("=", day)),
    ),
    st.builds(
        Ids, st.just("alias"), st.lists(st.sampled_from(["u1", "it's", "u9"]), min_size=1, max_size=2).map(tuple)
    ),
    st.builds(
        Ids,
        st.sampled_from(["account", "token", "customer", "registration_id"]),
        st.lists(st.sampled_from(["a1", "a'2", "t1", "t'0\\", "5", "05", "x"]), min_size=1, max_size=3).map(tuple),
    ),
)


def _combine(operands):
    several = st.lists(operands, min_size=2, max_size=4).map(tuple)
    return st.one_of(
        operands.map(Not),
        several.map(And),
        several.map(Or),
        st.builds(Except, operands, operands),
        threshold_exprs(several),
    )


questions = st.recursive(leaves, _combine, max_leaves=6)


def list_conditions():
    """Return each kind of condition with each operand, about each column that can be asked so."""
    ordered_operands = NUMBERS | DAY_ATTRIBUTES | {"version": ["1.2", "1.2.0", "1.10", "2", "0", "0.0.1", "3"]}
    texts_of = dict.fromkeys(["tag", "city", "interests"], TEXTS) | {"platform": PLATFORMS, "version": VERSIONS}
    patterns = [
        Matches(name, pattern, ignoring)
        for name in ("tag", "city", "version")
        for pattern in PATTERNS
        for ignoring in (False, True)
    ]
    comparisons = [
        Compare(name, operator, text)
        for name, operands in ordered_operands.items()
        for text in operands
        for operator in COMPARE_OPS
    ]
    ranges = [
        Between(name, low, high, "<", "<=")
        for name, operands in ordered_operands.items()
        for low, high in zip(operands, [*operands[1:], operands[0]], strict=True)
    ]
    tags = [Tag(name, text) for name, operands in (NUMBERS | DAY_ATTRIBUTES | texts_of).items() for text in operands]
    days = [Within(name, 2, day) for name in DAY_ATTRIBUTES for day in SOME_DAYS]
    days += [Anniversary(name, Comparison("=", day)) for name in DAY_ATTRIBUTES for day in ("02-28", "02-29", "12-31")]
    return [
        *patterns,
        *comparisons,
        *ranges,
        *tags,
        *days,
        *(Tag("tag", color) for color in COLORS),
        *map(Has, EXISTING),
    ]
