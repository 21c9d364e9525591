"""Random payloads of EMAS: a list between commas, or two levels of and/or with NOT over tags, one of them bare."""

import json

from hypothesis import strategies as st

from payload_strategies import IDS, NAMES, objects, some, with_member

TAGS = objects({"tag": NAMES})
LITERALS = TAGS | TAGS.map(lambda tag: {"not": tag})


def bounded_by_tag(operands):
    """Lists of operands of an `and` of which one at least is a tag."""
    return st.tuples(TAGS, st.lists(operands, max_size=3)).map(lambda pair: [pair[0], *pair[1]])


EXPRESSIONS = st.one_of(
    TAGS,
    objects({"or": st.lists(TAGS, min_size=1, max_size=4)}),
    objects({"and": bounded_by_tag(LITERALS)}),
    objects({"and": bounded_by_tag(LITERALS | objects({"or": st.lists(LITERALS, min_size=1, max_size=3)}))}),
    objects({"or": st.lists(TAGS | objects({"and": bounded_by_tag(LITERALS)}), min_size=1, max_size=3)}),
)
TARGETS = st.one_of(
    st.just(("ALL", "ALL")),
    st.tuples(st.just("TAG"), NAMES | EXPRESSIONS.map(lambda tree: json.dumps(tree, ensure_ascii=False))),
    st.tuples(st.sampled_from(["DEVICE", "ACCOUNT", "ALIAS"]), some(IDS).map(",".join)),
)
PAYLOADS = with_member(
    TARGETS.map(lambda target: {"Target": target[0], "TargetValue": target[1]}),
    "DeviceType",
    st.sampled_from(["iOS", "ANDROID", "HARMONY", "ALL"]),
)
