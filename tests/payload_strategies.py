"""Random payloads of every vendor that is written for, built by the grammar of its documents.

Nothing here comes from the code that writes payloads: keys, operators and limits are those of the vendors' pages.
"""

import json
from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "c", "d", "e", "vip", "会员", "t_1", "A"])
TOPICS = st.sampled_from(["news", "sports", "weather", "a.b", "T_1"])
IDS = st.sampled_from([f"id{number:030d}" for number in range(6)])
PLATFORMS = st.lists(st.sampled_from(["android", "ios"]), min_size=1, max_size=2, unique=True)
BOOLEANS = st.booleans()
FLAGS_OF_ONESIGNAL = ["isIos", "isAndroid", "isHuawei", "isAnyWeb"]


def some(values, max_size: int = 3):
    """Lists of one to *max_size* different *values*."""
    return st.lists(values, min_size=1, max_size=max_size, unique=True)


def objects(required: dict[str, Any], optional: dict[str, Any] | None = None):
    """JSON objects with the keys of *required*, and any of those of *optional*."""
    return st.fixed_dictionaries(required, optional=optional or {})


def any_object(**values):
    """Objects with one of the keys."""
    return st.one_of(*(objects({key: value}) for key, value in values.items()))


def with_member(payloads, key: str, values):
    """*payloads*, some with one of *values* under *key*."""
    added = st.none() | values
    return st.tuples(payloads, added).map(lambda pair: pair[0] if pair[1] is None else {**pair[0], key: pair[1]})


# JPush and EngageLab: lists under fixed keys, which are joined by AND. ----------------------------------------------

TAG_LISTS = {key: some(NAMES) for key in ("tag", "tag_and", "tag_not")}
ID_LISTS = {"alias": some(NAMES), "registration_id": some(IDS)}
JPUSH_CONSOLE = {key: st.just([f"{key}1"]) for key in ("segment", "abtest")}
JPUSH_AUDIENCES = st.one_of(
    st.just("all"),
    objects({}, {**TAG_LISTS, **ID_LISTS, **JPUSH_CONSOLE}).filter(bool),
    any_object(file=st.just({"file_id": "file1"}), live_activity_id=st.just("activity1")),
)
jpush = with_member(
    objects({"audience": JPUSH_AUDIENCES}),
    "platform",
    st.just("all") | some(st.sampled_from(["android", "ios", "hmos", "quickapp"]), 4),
)
ENGAGELAB_TARGETS = st.one_of(
    st.just("all"),
    objects({}, {**TAG_LISTS, **ID_LISTS}).filter(lambda to: to.keys() - {"tag_not"}),
    any_object(seg=st.just({"id": "seg1"}), live_activity_id=st.just("activity1")),
)
engagelab = with_member(
    objects({"to": ENGAGELAB_TARGETS}),
    "body",
    objects({"platform": st.just("all") | some(st.sampled_from(["android", "ios", "hmos"]))}),
)


# TPNS: rules of items of tags, at both levels joined by the operator of the later one. ------------------------------

OPERATORS = st.sampled_from(["AND", "OR"])
TYPED_TPNS_TAGS = {
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
    return objects({"tags": some(TYPED_TPNS_TAGS[tag_type]), "tag_type": st.just(tag_type), **operators})


TPNS_RULES = objects(
    {
        "tag_items": st.lists(st.sampled_from(list(TYPED_TPNS_TAGS)).flatmap(tpns_items), min_size=1, max_size=3),
        "operator": OPERATORS,
        "is_not": BOOLEANS,
    }
)


def tpns_request(audience_type: str, **members):
    """Requests of one type of audience."""
    return objects({"audience_type": st.just(audience_type), **members})


TPNS_REQUESTS = st.one_of(
    tpns_request("all"),
    tpns_request("tag", tag_rules=st.lists(TPNS_RULES, min_size=1, max_size=3)),
    tpns_request("tag", tag_list=objects({"tags": some(NAMES), "op": OPERATORS})),
    tpns_request("token", token_list=some(IDS, 1)),
    tpns_request("token_list", token_list=some(IDS)),
    tpns_request("account", account_list=some(NAMES, 1), account_push_type=st.sampled_from([0, 1])),
    tpns_request("account_list", account_list=some(NAMES), account_push_type=st.sampled_from([0, 1])),
    tpns_request("package_account_push", upload_id=st.integers(1, 3), account_push_type=st.sampled_from([0, 1])),
    tpns_request("package_token_push", upload_id=st.integers(1, 3)),
)
tpns = with_member(TPNS_REQUESTS, "platform", st.sampled_from(["android", "ios", "all"]))


# EMAS: a list between commas, or two levels of and/or with NOT over single tags, bounded by a tag. ------------------

EMAS_TAGS = objects({"tag": NAMES})
EMAS_LITERALS = EMAS_TAGS | EMAS_TAGS.map(lambda tag: {"not": tag})


def bounded_by_tag(operands):
    """Lists of operands of an `and` of which one at least is a tag."""
    return st.tuples(EMAS_TAGS, st.lists(operands, max_size=3)).map(lambda pair: [pair[0], *pair[1]])


EMAS_EXPRESSIONS = st.one_of(
    EMAS_TAGS,
    objects({"or": st.lists(EMAS_TAGS, min_size=1, max_size=4)}),
    objects({"and": bounded_by_tag(EMAS_LITERALS)}),
    objects({"and": bounded_by_tag(EMAS_LITERALS | objects({"or": st.lists(EMAS_LITERALS, min_size=1, max_size=3)}))}),
    objects({"or": st.lists(EMAS_TAGS | objects({"and": bounded_by_tag(EMAS_LITERALS)}), min_size=1, max_size=3)}),
)
EMAS_TARGETS = st.one_of(
    st.just(("ALL", "ALL")),
    st.tuples(st.just("TAG"), NAMES | EMAS_EXPRESSIONS.map(lambda tree: json.dumps(tree, ensure_ascii=False))),
    st.tuples(st.sampled_from(["DEVICE", "ACCOUNT", "ALIAS"]), some(IDS).map(",".join)),
)
emas = with_member(
    EMAS_TARGETS.map(lambda target: {"Target": target[0], "TargetValue": target[1]}),
    "DeviceType",
    st.sampled_from(["iOS", "ANDROID", "HARMONY", "ALL"]),
)


def to_push_v2(request: dict[str, str]) -> dict[str, dict[str, str]]:
    """Write a target of Push as one of PushV2, where ALL needs no value and a platform is optional."""
    kind, value, platform = request["Target"], request["TargetValue"], request.get("DeviceType")
    target = {"Type": kind} if kind == "ALL" else {"Type": kind, "Value": value}
    return {"Target": target if platform in (None, "ALL", "HARMONY") else {**target, "Platform": platform.upper()}}


emas_v2 = emas.map(to_push_v2)


# FCM and Huawei: topics in an infix text. ---------------------------------------------------------------------------

TOPIC_TERMS = TOPICS.map(lambda topic: f"'{topic}' in topics")


def conditions(operators, with_not: bool, max_topics: int = 5):
    """Conditions of at most *max_topics* topics, with brackets around every inner part."""

    def join(parts):
        return st.tuples(some_parts(parts), operators).map(lambda pair: f" {pair[1]} ".join(pair[0]))

    def some_parts(parts):
        bracketed = parts.map(lambda part: part if part.startswith("'") and part.count("'") == 2 else f"({part})")
        return st.lists(bracketed, min_size=2, max_size=3)

    def extend(parts):
        return st.one_of(join(parts), parts.map(lambda part: f"!({part})")) if with_not else join(parts)

    return st.recursive(TOPIC_TERMS, extend, max_leaves=max_topics).filter(
        lambda text: text.count(" in topics") <= max_topics
    )


def bounded(found):
    """*found* behind a topic that bounds it: FCM may refuse a NOT without one."""
    return st.tuples(TOPIC_TERMS, found).map(lambda pair: f"{pair[0]} && ({pair[1]})")


def left_to_right():
    """FCM conditions without brackets, which are read from left to right."""
    tails = st.lists(st.tuples(st.sampled_from(["&&", "||"]), TOPIC_TERMS), max_size=4)
    return st.tuples(TOPIC_TERMS, tails).map(
        lambda pair: " ".join([pair[0], *(word for tail in pair[1] for word in tail)])
    )


LOGIC = st.sampled_from(["&&", "||"])
FCM_CONDITIONS = bounded(conditions(LOGIC, with_not=True, max_topics=4)) | left_to_right()
fcm = st.one_of(
    objects({"message": any_object(topic=TOPICS, token=IDS, fid=IDS, condition=FCM_CONDITIONS)}),
    any_object(
        to=TOPICS.map("/topics/{}".format) | IDS,
        registration_ids=some(IDS),
        condition=FCM_CONDITIONS,
    ),
)
HUAWEI_CONDITIONS = bounded(conditions(LOGIC, with_not=True, max_topics=4))
huawei = objects({"message": any_object(topic=TOPICS, token=some(IDS), condition=HUAWEI_CONDITIONS)})


# Xiaomi: one list, or one operator over at most five topics. --------------------------------------------------------

XIAOMI_TOPICS = objects(
    {
        "topics": some(TOPICS, 5).map(";$;".join),
        "topic_op": st.sampled_from(["UNION", "INTERSECTION", "EXCEPT"]),
    }
)
xiaomi = any_object(
    regid=objects({"registration_id": some(IDS).map(",".join)}),
    alias=objects({"alias": some(NAMES).map(",".join)}),
    user_account=objects({"user_account": some(NAMES).map(",".join)}),
    topic=objects({"topic": TOPICS}),
    multi_topic=XIAOMI_TOPICS,
    all=st.just({}),
)


# Umeng: a tree under a top `and`. -----------------------------------------------------------------------------------

UMENG_LEAVES = any_object(
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


UMENG_TREES = st.lists(st.recursive(UMENG_LEAVES, umeng_nodes, max_leaves=8), min_size=1, max_size=3)
UMENG_FILTERS = UMENG_TREES.map(lambda terms: {"where": {"and": terms}})


def umeng_request(cast: str, **members):
    """Requests of one type of cast."""
    return objects({"type": st.just(cast), **members})


umeng = st.one_of(
    umeng_request("broadcast"),
    umeng_request("unicast", device_tokens=IDS),
    umeng_request("listcast", device_tokens=some(IDS).map(",".join)),
    umeng_request("groupcast", filter=UMENG_FILTERS),
    umeng_request("customizedcast", alias=some(NAMES).map(",".join), alias_type=st.just("weibo")),
    umeng_request("customizedcast", file_id=IDS, alias_type=st.just("weibo")),
    umeng_request("filecast", file_id=IDS),
)


# Getui: conditions of different keys, joined by AND. ----------------------------------------------------------------

GETUI_VALUES = {
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
                "values": some(GETUI_VALUES[key]),
                "opt_type": st.sampled_from(["or", "not"] if key == "phone_type" else ["or", "and", "not"]),
            }
        )
        for key in keys
    )
    return st.tuples(*one_of_each).filter(lambda found: {condition["opt_type"] for condition in found} != {"not"})


GETUI_TAGS = some(st.sampled_from(list(GETUI_VALUES)), 4).flatmap(getui_conditions).map(list)
getui = objects(
    {"audience": st.just("all") | any_object(cid=some(IDS), alias=some(NAMES), tag=GETUI_TAGS, fast_custom_tag=NAMES)}
)


# Airship: selectors in and, or and not. -----------------------------------------------------------------------------

AIRSHIP_SELECTORS = st.one_of(
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


airship = with_member(
    objects({"audience": st.just("all") | st.recursive(AIRSHIP_SELECTORS, airship_nodes, max_leaves=8)}),
    "device_types",
    PLATFORMS | st.just("all"),
)


# OneSignal: filters in a row, where AND binds first and is what holds between neighbours. ---------------------------


def onesignal_filter(field: str, relations: list[str], **members):
    """Filters of one field."""
    return objects({"field": st.just(field), "relation": st.sampled_from(relations), **members})


ONESIGNAL_KEYS = st.sampled_from(["level", "city", "plan"])
ONESIGNAL_FILTERS = st.one_of(
    onesignal_filter("tag", ["=", "!=", ">", "<"], key=ONESIGNAL_KEYS, value=st.sampled_from(["1", "10"])),
    onesignal_filter("tag", ["exists", "not_exists"], key=ONESIGNAL_KEYS),
    onesignal_filter("language", ["=", "!="], value=st.sampled_from(["en", "es"])),
    onesignal_filter("country", ["="], value=st.sampled_from(["US", "CN"])),
    onesignal_filter("session_count", ["=", ">", "<"], value=st.sampled_from(["1", "5"])),
    onesignal_filter("session_time", [">", "<"], value=st.sampled_from(["60", "3600"])),
    onesignal_filter("app_version", ["=", "!=", ">", "<"], value=st.sampled_from(["1.0.1", "2.0"])),
    st.sampled_from(["last_session", "first_session"]).flatmap(
        lambda field: onesignal_filter(field, [">", "<"], hours_ago=st.sampled_from(["1.1", "24"]))
    ),
)
ONESIGNAL_OPERATORS = st.sampled_from([[], [{"operator": "AND"}], [{"operator": "OR"}]])
ONESIGNAL_ROWS = st.tuples(
    ONESIGNAL_FILTERS, st.lists(st.tuples(ONESIGNAL_OPERATORS, ONESIGNAL_FILTERS), max_size=6)
).map(lambda pair: [pair[0], *(entry for operator, found in pair[1] for entry in (*operator, found))])
ONESIGNAL_SEGMENTS = some(st.sampled_from(["Active Users", "Inactive Users"]), 2)
onesignal = st.tuples(
    st.one_of(
        objects({"filters": ONESIGNAL_ROWS}),
        objects({"include_subscription_ids": some(IDS)}),
        objects(
            {"include_aliases": objects({"external_id": some(NAMES)}), "target_channel": st.just("push")},
        ),
        objects({"included_segments": ONESIGNAL_SEGMENTS}, {"excluded_segments": st.just(["Staff"])}),
        st.just({"included_segments": ["All"]}),
    ),
    st.just({}) | st.dictionaries(st.sampled_from(FLAGS_OF_ONESIGNAL), st.just(True), min_size=1, max_size=2),
).map(lambda pair: pair[0] if "include_subscription_ids" in pair[0] else {**pair[0], **pair[1]})

PAYLOADS_BY_VENDOR = {
    "airship": airship,
    "emas": emas,
    "emas_v2": emas_v2,
    "engagelab": engagelab,
    "fcm": fcm,
    "getui": getui,
    "huawei": huawei,
    "jpush": jpush,
    "onesignal": onesignal,
    "tpns": tpns,
    "umeng": umeng,
    "xiaomi": xiaomi,
}
