"""Random payloads of Xiaomi: one list, or one operator over at most five topics."""

from hypothesis import strategies as st

from payload_strategies import IDS, NAMES, TOPICS, any_object, objects, some

TOPIC_LISTS = objects(
    {
        "topics": some(TOPICS, 5).map(";$;".join),
        "topic_op": st.sampled_from(["UNION", "INTERSECTION", "EXCEPT"]),
    }
)
PAYLOADS = any_object(
    regid=objects({"registration_id": some(IDS).map(",".join)}),
    alias=objects({"alias": some(NAMES).map(",".join)}),
    user_account=objects({"user_account": some(NAMES).map(",".join)}),
    topic=objects({"topic": TOPICS}),
    multi_topic=TOPIC_LISTS,
    all=st.just({}),
)
