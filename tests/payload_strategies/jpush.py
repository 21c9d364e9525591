"""Random payloads of JPush: lists under fixed keys, which are joined by AND."""

from hypothesis import strategies as st

from payload_strategies import ID_LISTS, TAG_LISTS, any_object, objects, some, with_member

CONSOLE = {key: st.just([f"{key}1"]) for key in ("segment", "abtest")}
AUDIENCES = st.one_of(
    st.just("all"),
    objects({}, {**TAG_LISTS, **ID_LISTS, **CONSOLE}).filter(bool),
    any_object(file=st.just({"file_id": "file1"}), live_activity_id=st.just("activity1")),
)
PAYLOADS = with_member(
    objects({"audience": AUDIENCES}),
    "platform",
    st.just("all") | some(st.sampled_from(["android", "ios", "hmos", "quickapp"]), 4),
)
