"""Functions of other languages, and what to write instead."""

LIMIT_EXAMPLES = "write vip limit 1000 seed summer for any 1000 devices, vip top 1000 by spend for the largest"
OTHER_CALLS = {
    **dict.fromkeys(("count", "times", "number", "done", "event", "events", "performed"), "write did(purchase) >= 3"),
    **dict.fromkeys(("average", "mean"), "write avg(purchase.amount) > 50"),
    **dict.fromkeys(("total", "sum_of"), "write sum(purchase.amount) > 100"),
    "maximum": "write max(purchase.amount) > 100",
    "minimum": "write min(purchase.amount) > 20",
    "earliest": "write first(purchase) within 7 days",
    "latest": "write last(purchase) within 7 days",
    **dict.fromkeys(
        ("exists", "exist", "isset", "notnull", "isnotnull", "is_not_null", "hasvalue"), "write has(email)"
    ),
    **dict.fromkeys(("missing", "isnull", "is_null", "empty", "isempty", "is_empty", "blank"), "write NOT has(email)"),
    **dict.fromkeys(("contains", "includes", "like"), "write city contains gua"),
    **dict.fromkeys(("startswith", "starts_with", "prefix"), "write city starts with gua"),
    **dict.fromkeys(("endswith", "ends_with", "suffix"), "write city ends with zhou"),
    **dict.fromkeys(
        ("matches", "regex", "regexp", "rlike"), 'write city matches "gua*"; * is any text, ? one character'
    ),
    **dict.fromkeys(("lower", "upper", "casefold"), 'write city matches "gua*" ignoring case'),
    "between": "write age between 18 and 25",
    **dict.fromkeys(("limit", "top", "bottom", "first_n", "rank"), LIMIT_EXAMPLES),
    **dict.fromkeys(("random", "rand", "percent"), "write sample(10%, summer)"),
    **dict.fromkeys(("date", "day", "datetime", "timestamp"), "write the day alone: signup >= 2026-11-01"),
    **dict.fromkeys(("ago", "days_ago", "dateadd", "date_sub", "date_add"), "write signup before 30 days ago"),
    **dict.fromkeys(
        ("days_since", "datediff", "date_diff"), "write signup before 30 days ago, or active within 7 days"
    ),
    **dict.fromkeys(("today", "yesterday", "tomorrow", "now"), "leave the brackets out: active = today"),
    **dict.fromkeys(("any", "any_of", "anyof", "some"), "write a OR b, or at least 1 of (a, b)"),
    **dict.fromkeys(("all", "all_of", "allof"), "write a AND b, or exactly 2 of (a, b)"),
    **dict.fromkeys(("none", "none_of", "noneof"), "write NOT (a OR b)"),
    **dict.fromkeys(("at_least", "atleast"), "write at least 2 of (a, b, c)"),
    **dict.fromkeys(("at_most", "atmost"), "write at most 2 of (a, b, c)"),
    "exactly": "write exactly 2 of (a, b, c)",
    **dict.fromkeys(("segment", "segments", "list"), "write @vip for the segment vip"),
}
