"""Random payloads of FCM: topics in an infix text."""

from hypothesis import strategies as st

from payload_strategies import IDS, LOGIC, TOPIC_TERMS, TOPICS, any_object, bounded, conditions, objects, some


def left_to_right():
    """FCM conditions without brackets, which are read from left to right."""
    tails = st.lists(st.tuples(st.sampled_from(["&&", "||"]), TOPIC_TERMS), max_size=4)
    return st.tuples(TOPIC_TERMS, tails).map(
        lambda pair: " ".join([pair[0], *(word for tail in pair[1] for word in tail)])
    )


CONDITIONS = bounded(conditions(LOGIC, with_not=True, max_topics=4)) | left_to_right()
PAYLOADS = st.one_of(
    objects({"message": any_object(topic=TOPICS, token=IDS, fid=IDS, condition=CONDITIONS)}),
    any_object(
        to=TOPICS.map("/topics/{}".format) | IDS,
        registration_ids=some(IDS),
        condition=CONDITIONS,
    ),
)
