"""The sandbox's targeting against a slow oracle: Python reads the same expression, a device at a time."""

import json

from callers import CALLERS, service_of
from hypothesis import given
from hypothesis import strategies as st
from vendor_calls import (
    ALL_TAG_SETS,
    NOTIFICATION,
    TAG_NAMES,
    emas_push_call,
    engagelab_call,
    jpush_call,
    make_router,
    send_call,
    tpns_call,
    tpns_message,
)

from audience.sandbox.http_types import HttpCall

operators = st.sampled_from(["AND", "OR"])
tag_items = st.lists(
    st.fixed_dictionaries(
        {
            "tags": st.lists(st.sampled_from(TAG_NAMES), min_size=1, max_size=3),
            "tags_operator": operators,
            "items_operator": operators,
            "is_not": st.booleans(),
            "tag_type": st.just("xg_user_define"),
        }
    ),
    min_size=1,
    max_size=4,
)
tag_rules = st.lists(
    st.fixed_dictionaries({"tag_items": tag_items, "operator": operators, "is_not": st.booleans()}),
    min_size=1,
    max_size=4,
)
tag_nodes = st.sampled_from(TAG_NAMES).map(lambda name: {"tag": name})
tree_branches = st.one_of(tag_nodes, tag_nodes.map(lambda tag: {"not": tag}))
tag_trees = st.builds(
    lambda bound, word, parts: {"and": [bound, {word: parts}]},
    tag_nodes,
    st.sampled_from(["and", "or"]),
    st.lists(tree_branches, min_size=1, max_size=10),
)


def delivered_ids(vendor: str, call: HttpCall) -> set[str]:
    desks = make_router(ALL_TAG_SETS)
    reply = send_call(desks, vendor, call)
    assert reply.status in (200, 400), reply
    return set(desks.states[vendor].delivery_log.counts_by_id())


def matching_devices(text: str) -> set[str]:
    """For whom the Python expression *text* holds, in which a device's tags are names."""
    return {
        name
        for name, tags in ALL_TAG_SETS.rows()
        if eval(text, {"__builtins__": {}}, {tag: tag in tags for tag in TAG_NAMES})
    }


def rules_as_python(rules) -> str:
    """tag_rules in Python's words, where AND binds before OR too."""

    def join_parts(parts, operator, text):
        words = [text(parts[0]), *(f"{part[operator].lower()} {text(part)}" for part in parts[1:])]
        return " ".join(words)

    def format_item(item):
        operator = f" {item['tags_operator'].lower()} "
        return f"{'not ' if item['is_not'] else ''}({operator.join(item['tags'])})"

    def format_rule(rule):
        return f"{'not ' if rule['is_not'] else ''}({join_parts(rule['tag_items'], 'items_operator', format_item)})"

    return join_parts(rules, "operator", format_rule)


def tree_as_python(node) -> str:
    """An EMAS tree in Python's words."""
    [(word, inner)] = node.items()
    match word:
        case "tag":
            return inner
        case "not":
            return f"(not {tree_as_python(inner)})"
    return f"({f' {word} '.join(tree_as_python(part) for part in inner)})"


@given(tag_rules)
def test_tag_rules_match_python_evaluation(rules):
    assert delivered_ids("tpns", tpns_call(tpns_message(audience_type="tag", tag_rules=rules))) == matching_devices(
        rules_as_python(rules)
    )


@given(tag_trees)
def test_tag_trees_match_python_evaluation(tree):
    assert delivered_ids("emas", emas_push_call(Target="TAG", TargetValue=json.dumps(tree))) == matching_devices(
        tree_as_python(tree)
    )


@given(
    st.dictionaries(st.sampled_from(["tag", "tag_and"]), st.lists(st.sampled_from(TAG_NAMES), min_size=1, max_size=6)),
    st.lists(st.sampled_from(TAG_NAMES), max_size=6),
    st.sampled_from(["engagelab", "jpush"]),
)
def test_tag_lists_match_python_evaluation(lists, wrong, vendor):
    words = [f"({(' or ' if key == 'tag' else ' and ').join(names)})" for key, names in lists.items()]
    words += [f"not ({' or '.join(wrong)})"] if wrong else []
    audience = {**lists, "tag_not": wrong}
    call = engagelab_call({"to": audience, "body": NOTIFICATION})
    other = jpush_call({"audience": audience, "platform": "all", "notification": {"alert": "x"}})
    empty = not lists and (vendor == "engagelab" or not wrong)  # a NOT may stand alone at JPush only
    wanted = set() if empty else matching_devices(" and ".join(words))
    assert delivered_ids(vendor, call if vendor == "engagelab" else other) == wanted


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3) | st.just("all"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
VALID_BODIES = {name: caller.sound_body for name, caller in CALLERS.items() if caller.sound_body is not None}


def all_paths(value, path=()):
    """Every place in *value*."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from all_paths(each, (*path, key))


def replace_at(value, path, replacement):
    """*value* with *other* at *path*."""
    if not path:
        return replacement
    copy = value.copy()
    copy[path[0]] = replace_at(value[path[0]], path[1:], replacement)
    return copy


@given(st.data(), st.sampled_from(sorted(VALID_BODIES)), json_values)
def test_any_body_gets_a_vendor_reply(data, vendor, other):
    body = replace_at(VALID_BODIES[vendor], data.draw(st.sampled_from(list(all_paths(VALID_BODIES[vendor])))), other)
    desks = make_router()
    reply = send_call(desks, service_of(vendor), CALLERS[vendor].post(body))
    assert reply.status < 500
    assert bool(desks.states[service_of(vendor)].delivery_log.counts_by_id()) <= (not reply.code)
