"""Random payloads of EngageLab: lists under fixed keys, which are joined by AND."""

from hypothesis import strategies as st

from payload_strategies import ID_LISTS, TAG_LISTS, any_object, objects, some, with_member

TARGETS = st.one_of(
    st.just("all"),
    objects({}, {**TAG_LISTS, **ID_LISTS}).filter(lambda to: to.keys() - {"tag_not"}),
    any_object(seg=st.just({"id": "seg1"}), live_activity_id=st.just("activity1")),
)
PAYLOADS = with_member(
    objects({"to": TARGETS}),
    "body",
    objects({"platform": st.just("all") | some(st.sampled_from(["android", "ios", "hmos"]))}),
)
