"""Random payloads of Airship: selectors in and, or and not."""

from hypothesis import strategies as st

from payload_strategies import IDS, NAMES, PLATFORMS, any_object, objects, some, with_member

SELECTORS = st.one_of(
    any_object(tag=NAMES | some(NAMES), named_user=NAMES | some(NAMES), channel=IDS | some(IDS)),
    objects({"tag": NAMES, "group": st.sampled_from(["loyalty", "teams"])}),
    any_object(segment=IDS, static_list=st.just("list1"), subscription_list=st.just("letters")),
    objects(
        {"attribute": st.just("size"), "operator": st.sampled_from(["greater", "less"]), "value": st.integers(0, 9)}
    ),
    objects({"attribute": st.just("color"), "operator": st.just("equals"), "value": st.sampled_from(["red", "blue"])}),
    objects({"attribute": st.just("color"), "operator": st.just("is_empty")}),
)


def airship_nodes(nodes):
    """and, or and not in either case over *nodes*."""
    several = st.lists(nodes, min_size=1, max_size=3)
    return any_object(**dict.fromkeys(("AND", "OR", "and", "or"), several), NOT=nodes)


PAYLOADS = with_member(
    objects({"audience": st.just("all") | st.recursive(SELECTORS, airship_nodes, max_leaves=8)}),
    "device_types",
    PLATFORMS | st.just("all"),
)
