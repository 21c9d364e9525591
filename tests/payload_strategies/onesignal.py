"""Random payloads of OneSignal: filters in a row, where AND binds first and is what holds between neighbours."""

from hypothesis import strategies as st

from payload_strategies import IDS, NAMES, objects, some

FLAGS = ["isIos", "isAndroid", "isHuawei", "isAnyWeb"]


def onesignal_filter(field: str, relations: list[str], **members):
    """Filters of one field."""
    return objects({"field": st.just(field), "relation": st.sampled_from(relations), **members})


KEYS = st.sampled_from(["level", "city", "plan"])
FILTERS = st.one_of(
    onesignal_filter("tag", ["=", "!=", ">", "<"], key=KEYS, value=st.sampled_from(["1", "10"])),
    onesignal_filter("tag", ["exists", "not_exists"], key=KEYS),
    onesignal_filter("language", ["=", "!="], value=st.sampled_from(["en", "es"])),
    onesignal_filter("country", ["="], value=st.sampled_from(["US", "CN"])),
    onesignal_filter("session_count", ["=", ">", "<"], value=st.sampled_from(["1", "5"])),
    onesignal_filter("session_time", [">", "<"], value=st.sampled_from(["60", "3600"])),
    onesignal_filter("app_version", ["=", "!=", ">", "<"], value=st.sampled_from(["1.0.1", "2.0"])),
    st.sampled_from(["last_session", "first_session"]).flatmap(
        lambda field: onesignal_filter(field, [">", "<"], hours_ago=st.sampled_from(["1.1", "24"]))
    ),
)
OPERATORS = st.sampled_from([[], [{"operator": "AND"}], [{"operator": "OR"}]])
ROWS = st.tuples(FILTERS, st.lists(st.tuples(OPERATORS, FILTERS), max_size=6)).map(
    lambda pair: [pair[0], *(entry for operator, found in pair[1] for entry in (*operator, found))]
)
SEGMENTS = some(st.sampled_from(["Active Users", "Inactive Users"]), 2)
PAYLOADS = st.tuples(
    st.one_of(
        objects({"filters": ROWS}),
        objects({"include_subscription_ids": some(IDS)}),
        objects(
            {"include_aliases": objects({"external_id": some(NAMES)}), "target_channel": st.just("push")},
        ),
        objects({"included_segments": SEGMENTS}, {"excluded_segments": st.just(["Staff"])}),
        st.just({"included_segments": ["All"]}),
    ),
    st.just({}) | st.dictionaries(st.sampled_from(FLAGS), st.just(True), min_size=1, max_size=2),
).map(lambda pair: pair[0] if "include_subscription_ids" in pair[0] else {**pair[0], **pair[1]})
