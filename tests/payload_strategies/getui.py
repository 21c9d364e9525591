"""Random payloads of Getui: conditions of different keys, joined by AND."""

from hypothesis import strategies as st

from payload_strategies import IDS, NAMES, any_object, objects, some

VALUES = {
    "phone_type": st.sampled_from(["android", "ios"]),
    "region": st.sampled_from(["11000000", "33000000"]),
    "custom_tag": NAMES,
    "portrait": st.sampled_from(["si0901", "025000"]),
}


def getui_conditions(keys):
    """Conditions of these keys, of which one at least is not a `not`."""
    one_of_each = (
        objects(
            {
                "key": st.just(key),
                "values": some(VALUES[key]),
                "opt_type": st.sampled_from(["or", "not"] if key == "phone_type" else ["or", "and", "not"]),
            }
        )
        for key in keys
    )
    return st.tuples(*one_of_each).filter(lambda found: {condition["opt_type"] for condition in found} != {"not"})


TAGS = some(st.sampled_from(list(VALUES)), 4).flatmap(getui_conditions).map(list)
PAYLOADS = objects(
    {"audience": st.just("all") | any_object(cid=some(IDS), alias=some(NAMES), tag=TAGS, fast_custom_tag=NAMES)}
)
