"""Random payloads of every vendor that is written for: <name>.py builds those of one by the grammar of its documents.

Nothing here comes from the code that writes payloads: keys, operators and limits are those of the vendors' pages.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "c", "d", "e", "vip", "会员", "t_1", "A"])
TOPICS = st.sampled_from(["news", "sports", "weather", "a.b", "T_1"])
IDS = st.sampled_from([f"id{number:030d}" for number in range(6)])
PLATFORMS = st.lists(st.sampled_from(["android", "ios"]), min_size=1, max_size=2, unique=True)
BOOLEANS = st.booleans()


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


# What several vendors have. -------------------------------------------------------------------------------------------

TAG_LISTS = {key: some(NAMES) for key in ("tag", "tag_and", "tag_not")}
ID_LISTS = {"alias": some(NAMES), "registration_id": some(IDS)}
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


LOGIC = st.sampled_from(["&&", "||"])

PAYLOADS_BY_VENDOR = {
    name: import_module(f"{__name__}.{name}").PAYLOADS for name in sorted(each.name for each in iter_modules(__path__))
}
