"""Random payloads of TPNS: rules of items of tags, at both levels joined by the operator of the later one."""

from hypothesis import strategies as st

from payload_strategies import BOOLEANS, IDS, NAMES, objects, some, with_member

OPERATORS = st.sampled_from(["AND", "OR"])
TYPED_TAGS = {
    "xg_user_define": NAMES,
    "xg_auto_version": st.sampled_from(["1.0.1", "1.0.2"]),
    "xg_auto_province": st.sampled_from(["guangdong", "hunan"]),
    "xg_auto_active": st.sampled_from(["20200406", "20200407"]),
    "xg_auto_systemlanguage": st.sampled_from(["zh", "en"]),
    "xg_auto_devicebrand": st.sampled_from(["Mi", "huawei"]),
}


def tpns_items(tag_type: str):
    """Items of one type of tag."""
    operators = {"tags_operator": OPERATORS, "items_operator": OPERATORS, "is_not": BOOLEANS}
    return objects({"tags": some(TYPED_TAGS[tag_type]), "tag_type": st.just(tag_type), **operators})


RULES = objects(
    {
        "tag_items": st.lists(st.sampled_from(list(TYPED_TAGS)).flatmap(tpns_items), min_size=1, max_size=3),
        "operator": OPERATORS,
        "is_not": BOOLEANS,
    }
)


def tpns_request(audience_type: str, **members):
    """Requests of one type of audience."""
    return objects({"audience_type": st.just(audience_type), **members})


REQUESTS = st.one_of(
    tpns_request("all"),
    tpns_request("tag", tag_rules=st.lists(RULES, min_size=1, max_size=3)),
    tpns_request("tag", tag_list=objects({"tags": some(NAMES), "op": OPERATORS})),
    tpns_request("token", token_list=some(IDS, 1)),
    tpns_request("token_list", token_list=some(IDS)),
    tpns_request("account", account_list=some(NAMES, 1), account_push_type=st.sampled_from([0, 1])),
    tpns_request("account_list", account_list=some(NAMES), account_push_type=st.sampled_from([0, 1])),
    tpns_request("package_account_push", upload_id=st.integers(1, 3), account_push_type=st.sampled_from([0, 1])),
    tpns_request("package_token_push", upload_id=st.integers(1, 3)),
)
PAYLOADS = with_member(REQUESTS, "platform", st.sampled_from(["android", "ios", "all"]))
