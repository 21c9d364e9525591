"""Random payloads of Umeng: a tree under a top `and`."""

from hypothesis import strategies as st

from payload_strategies import IDS, NAMES, any_object, objects, some

LEAVES = any_object(
    tag=NAMES,
    app_version=st.sampled_from(["1.0", "1.2"]),
    channel=st.sampled_from(["360", "xiaomi"]),
    device_model=st.just("MI 9 SE"),
    province=st.sampled_from(["北京", "广东"]),
    launch_from=st.sampled_from(["2020-04-06", "2020-04-08"]),
    not_launch_from=st.just("2020-04-08"),
)


def umeng_nodes(nodes):
    """and, or and not over *nodes*; not takes one of them."""
    several = st.lists(nodes, min_size=1, max_size=3)
    return objects({"and": several}) | objects({"or": several}) | objects({"not": nodes})


TREES = st.lists(st.recursive(LEAVES, umeng_nodes, max_leaves=8), min_size=1, max_size=3)
FILTERS = TREES.map(lambda terms: {"where": {"and": terms}})


def umeng_request(cast: str, **members):
    """Requests of one type of cast."""
    return objects({"type": st.just(cast), **members})


PAYLOADS = st.one_of(
    umeng_request("broadcast"),
    umeng_request("unicast", device_tokens=IDS),
    umeng_request("listcast", device_tokens=some(IDS).map(",".join)),
    umeng_request("groupcast", filter=FILTERS),
    umeng_request("customizedcast", alias=some(NAMES).map(",".join), alias_type=st.just("weibo")),
    umeng_request("customizedcast", file_id=IDS, alias_type=st.just("weibo")),
    umeng_request("filecast", file_id=IDS),
)
