"""The sandbox's targeting against a slow oracle: Python reads the same expression, a device at a time."""

import json

from hypothesis import given
from hypothesis import strategies as st
from vendor_calls import EVERY, NAMES, NOTIFICATION, desks_of, emas, engagelab, jpush, message, push, say, tpns

from audience.sandbox.http_types import Call

CUSTOM = {"tag_type": "xg_user_define"}
OPERATORS = st.sampled_from(["AND", "OR"])
ITEMS = st.lists(
    st.fixed_dictionaries(
        {
            "tags": st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
            "tags_operator": OPERATORS,
            "items_operator": OPERATORS,
            "is_not": st.booleans(),
            "tag_type": st.just("xg_user_define"),
        }
    ),
    min_size=1,
    max_size=4,
)
RULES = st.lists(
    st.fixed_dictionaries({"tag_items": ITEMS, "operator": OPERATORS, "is_not": st.booleans()}), min_size=1, max_size=4
)
LITERALS = st.sampled_from(NAMES).map(lambda name: {"tag": name})
BRANCHES = st.one_of(LITERALS, LITERALS.map(lambda tag: {"not": tag}))
TREES = st.builds(
    lambda bound, word, parts: {"and": [bound, {word: parts}]},
    LITERALS,
    st.sampled_from(["and", "or"]),
    st.lists(BRANCHES, min_size=1, max_size=10),
)


def told_by(vendor: str, call: Call) -> set[str]:
    desks = desks_of(EVERY)
    reply = say(desks, vendor, call)
    assert reply.status in (200, 400), reply
    return set(desks.desks[vendor].told.by_id())


def devices_where(text: str) -> set[str]:
    """For whom the Python expression *text* holds, in which a device's tags are names."""
    return {
        name for name, tags in EVERY.rows() if eval(text, {"__builtins__": {}}, {tag: tag in tags for tag in NAMES})
    }


def written(rules) -> str:
    """tag_rules in Python's words, where AND binds before OR too."""

    def joined(parts, operator, text):
        words = [text(parts[0]), *(f"{part[operator].lower()} {text(part)}" for part in parts[1:])]
        return " ".join(words)

    def item(said):
        operator = f" {said['tags_operator'].lower()} "
        return f"{'not ' if said['is_not'] else ''}({operator.join(said['tags'])})"

    def rule(said):
        return f"{'not ' if said['is_not'] else ''}({joined(said['tag_items'], 'items_operator', item)})"

    return joined(rules, "operator", rule)


def spelled(node) -> str:
    """An EMAS tree in Python's words."""
    [(word, inner)] = node.items()
    match word:
        case "tag":
            return inner
        case "not":
            return f"(not {spelled(inner)})"
    return f"({f' {word} '.join(spelled(part) for part in inner)})"


@given(RULES)
def test_tag_rules_mean_what_python_reads_in_them(rules):
    assert told_by("tpns", tpns(message(audience_type="tag", tag_rules=rules))) == devices_where(written(rules))


@given(TREES)
def test_tag_trees_mean_what_python_reads_in_them(tree):
    assert told_by("emas", push(Target="TAG", TargetValue=json.dumps(tree))) == devices_where(spelled(tree))


@given(
    st.dictionaries(st.sampled_from(["tag", "tag_and"]), st.lists(st.sampled_from(NAMES), min_size=1, max_size=6)),
    st.lists(st.sampled_from(NAMES), max_size=6),
    st.sampled_from(["engagelab", "jpush"]),
)
def test_lists_mean_what_python_reads_in_them(lists, wrong, vendor):
    words = [f"({(' or ' if key == 'tag' else ' and ').join(names)})" for key, names in lists.items()]
    words += [f"not ({' or '.join(wrong)})"] if wrong else []
    audience = {**lists, "tag_not": wrong}
    call = engagelab({"to": audience, "body": NOTIFICATION})
    other = jpush({"audience": audience, "platform": "all", "notification": {"alert": "x"}})
    empty = not lists and (vendor == "engagelab" or not wrong)  # a NOT may stand alone at JPush only
    wanted = set() if empty else devices_where(" and ".join(words))
    assert told_by(vendor, call if vendor == "engagelab" else other) == wanted


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3) | st.just("all"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
SOUND = {
    "engagelab": {"to": {"tag": ["a"], "tag_not": ["b"]}, "body": {**NOTIFICATION, "options": {"time_to_live": 1}}},
    "jpush": {"audience": {"tag": ["a"]}, "platform": "all", "notification": {"alert": "x"}, "options": {"sendno": 1}},
    "tpns": message(audience_type="tag", seq=1, environment="dev", expire_time=1, tag_rules=[
        {"tag_items": [{"tags": ["a"], "tags_operator": "OR", "items_operator": "OR", "is_not": False, **CUSTOM}],
         "operator": "OR", "is_not": False}]),
    "emas": {"Target": {"Type": "TAG", "Value": "a"}, "Message": {"Title": "t"}, "Options": {"JobKey": "j"}},
}  # fmt: skip

MADE = {
    "engagelab": engagelab,
    "jpush": jpush,
    "tpns": tpns,
    "emas": lambda body: emas("PushV2", PushTask=json.dumps(body)),
}


def places(value, path=()):
    """Every place in *value*."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def replaced(value, path, other):
    """*value* with *other* at *path*."""
    if not path:
        return other
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], other)
    return copy


@given(st.data(), st.sampled_from(sorted(SOUND)), JSON)
def test_whatever_stands_anywhere_is_answered_in_the_vendor_s_words(data, vendor, other):
    body = replaced(SOUND[vendor], data.draw(st.sampled_from(list(places(SOUND[vendor])))), other)
    desks = desks_of()
    call = MADE[vendor](body)
    reply = say(desks, vendor, call)
    assert reply.status < 500
    assert bool(desks.desks[vendor].told.by_id()) <= (not reply.code)
