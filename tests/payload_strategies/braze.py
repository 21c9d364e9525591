"""Random payloads of Braze: filters of a connected audience in AND and OR, users by ids and aliases, a segment."""

from hypothesis import strategies as st

from payload_strategies import NAMES, objects, some


def attributes(comparison: str, *names: str, values=None):
    """Filters of custom attributes of one type, by one comparison."""
    value = {} if values is None else {"value": values}
    name = {"custom_attribute_name": st.sampled_from(names)}
    return objects({"custom_attribute": objects({**name, "comparison": st.just(comparison), **value})})


NUMBERS, TEXTS = st.sampled_from([-1, 0, 7, 12.5]), st.sampled_from(["Rome", "rome", "北京", "a.b*"])
STATUSES = st.sampled_from(["opted_in", "subscribed", "unsubscribed"])
MOMENTS = st.sampled_from(["2019-07-22T13:17:55+0000", "2026-11-01T00:00:00+08:00"])
ORDERS = ["greater_than", "greater_than_or_equal_to", "less_than", "less_than_or_equal_to"]
DAYS = ["less_than_x_days_ago", "greater_than_x_days_ago", "less_than_x_days_in_the_future"]
FILTERS = st.one_of(
    *(attributes(each, "age", "points", values=NUMBERS) for each in ("equals", "not_equal", *ORDERS)),
    *(attributes(each, "city", values=TEXTS) for each in ("equals", "not_equal")),
    *(attributes(each, "genres", values=NAMES) for each in ("includes_value", "does_not_include_value")),
    *(attributes(each, "vip", values=st.booleans()) for each in ("equals", "not_equal", "does_not_equal")),
    *(attributes(each, "age", "city", "vip", "genres") for each in ("exists", "does_not_exist")),
    *(attributes(each, "bought", values=MOMENTS) for each in ("after", "before")),
    *(attributes(each, "bought", values=st.integers(0, 3)) for each in DAYS),
    *(
        attributes(each, "city", values=st.sampled_from(["^ro", "o.e$", "^(a|b)"]))
        for each in ("matches_regex", "does_not_match_regex")
    ),
    *(
        objects({key: objects({"comparison": st.sampled_from(["is", "is_not"]), "value": STATUSES})})
        for key in ("push_subscription_status", "email_subscription_status")
    ),
    objects({"last_used_app": objects({"comparison": st.sampled_from(["after", "before"]), "value": MOMENTS})}),
)
AUDIENCES = st.recursive(
    FILTERS,
    lambda inner: (
        objects({"AND": st.lists(inner, min_size=1, max_size=3)})
        | objects({"OR": st.lists(inner, min_size=1, max_size=3)})
    ),
    max_leaves=6,
)
ALIASES = objects({"alias_name": NAMES, "alias_label": st.sampled_from(["crm", "web"])})
PAYLOADS = st.one_of(
    objects({"audience": AUDIENCES}, {"broadcast": st.just(True)}),
    objects({"external_user_ids": some(NAMES)}),
    objects({"user_aliases": st.lists(ALIASES, min_size=1, max_size=3)}),
    objects({"segment_id": st.sampled_from(["s1", "s2"]), "broadcast": st.just(True)}),
    objects({"recipients": st.lists(objects({"external_user_id": NAMES}), min_size=1, max_size=3)}),
)
