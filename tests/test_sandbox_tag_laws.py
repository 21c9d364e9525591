"""The sandbox's tags against a slow oracle, a set of names for each device, and their targeting against Python."""

import json
from dataclasses import dataclass

import polars as pl
import pytest
from callers import CALLERS
from callers.fcm import fcm_call, fcm_topic_call
from hypothesis import given
from hypothesis import strategies as st
from test_sandbox_laws import tree_as_python
from test_sandbox_tags import tag_call
from vendor_calls import (
    NOTIFICATION,
    ManualClock,
    emas_call,
    engagelab_call,
    jpush_call,
    make_router,
    send_call,
    tpns_call,
    tpns_message,
)

from audience.sandbox.http_types import HttpCall
from audience.sandbox.router import Router

NAMES = ["a", "b", "c", "age_20", "new"]
DEVICES = pl.DataFrame(
    {
        "registration_id": [f"r{number}" for number in range(70)],  # more than 64: rows as lists and as bits
        "tags": [[name for place, name in enumerate(NAMES[:3]) if number >> place & 1] for number in range(70)],
        "age": [20 if number % 3 else None for number in range(70)],
        "platform": [("android", "ios", None)[number % 3] for number in range(70)],
    }
)
IDS = DEVICES["registration_id"].to_list()
PLATFORMS = dict(DEVICES.select("registration_id", "platform").rows())
VERSIONS = {"engagelab": "/v4", "jpush": "/v3"}
COLON_NAMES = ["a", "b", "level:1", "level:2", "test:1", "test:", ":x"]
names = st.sampled_from(NAMES)
tag_nodes = names.map(lambda name: {"tag": name})
tag_trees = st.builds(
    lambda bound, word, parts: {"and": [bound, {word: parts}]},
    tag_nodes,
    st.sampled_from(["and", "or"]),
    st.lists(tag_nodes | tag_nodes.map(lambda tag: {"not": tag}), min_size=1, max_size=4),
)
ids = st.lists(st.sampled_from(IDS), max_size=8)


def list_tags(with_age=True) -> dict[str, set[str]]:
    """The tags of each device at the start."""
    rows = DEVICES.select("registration_id", "tags", "age").rows()
    return {name: {*tags, *(["age_20"] if age and with_age else [])} for name, tags, age in rows}


@dataclass(frozen=True)
class TagChange:
    """A tag, and the devices that get it and then lose it."""

    tag: str
    added: list[str]
    removed: list[str]


@dataclass(frozen=True)
class DeviceChange:
    """A device, and the tags that it gets and then loses; or all of them."""

    name: str
    added: list[str]
    removed: list[str] | None


@dataclass(frozen=True)
class Deletion:
    """A tag that goes, on some platform or on all."""

    tag: str
    platform: str | None


changes = st.lists(
    st.one_of(
        st.builds(TagChange, names, ids, ids),
        st.builds(DeviceChange, st.sampled_from(IDS), st.lists(names, max_size=3), st.lists(names, max_size=3)),
        st.builds(DeviceChange, st.sampled_from(IDS), st.just([]), st.none()),
        st.builds(Deletion, names, st.sampled_from(["android", "ios", None])),
    ),
    max_size=8,
)


def apply_change(change: TagChange | DeviceChange | Deletion, tags: dict[str, set[str]]) -> None:
    match change:
        case TagChange(tag, added, removed):
            for name in added:
                tags[name].add(tag)
            for name in removed:
                tags[name].discard(tag)
        case DeviceChange(name, added, removed):
            tags[name] = set() if removed is None else (tags[name] | {*added}) - {*removed}
        case Deletion(tag, platform):
            for name, its in tags.items():
                if platform is None or PLATFORMS[name] in (platform, None):
                    its.discard(tag)


def send_change(change: TagChange | DeviceChange | Deletion, vendor: str, router: Router) -> None:
    version = VERSIONS[vendor]
    match change:
        case TagChange(tag, added, removed):
            body = {"registration_ids": {"add": added, "remove": removed}}
            call, is_empty = tag_call("POST", f"{version}/tags/{tag}", body), not added and not removed
        case DeviceChange(name, added, removed):
            body = {"tags": "" if removed is None else {"add": added, "remove": removed}}
            call, is_empty = tag_call("POST", f"{version}/devices/{name}", body), removed == [] == added
        case Deletion(tag, platform):
            query = f"?platform={platform}" if platform else ""
            call, is_empty = tag_call("DELETE", f"{version}/tags/{tag}{query}"), False
    reply = send_call(router, vendor, call)
    assert bool(reply.code) == is_empty, reply


def check_tags(vendor: str, router: Router, tags: dict[str, set[str]]) -> None:
    """Check each device and each tag of the vendor."""
    store = router.states[vendor].tags
    assert {name: {*store.tags_of(row)} for row, name in enumerate(IDS)} == tags
    for tag in NAMES:
        wanted = [row for row, name in enumerate(IDS) if tag in tags[name]]
        assert store.rows_with_tag(tag).tolist() == wanted
        assert (store.count(tag), store.devices_with_tag(tag).sum()) == (len(wanted), len(wanted))
        assert [store.has(row, tag) for row in range(5)] == [row in wanted for row in range(5)]
    assert store.tag_counts.tolist() == [len(tags[name]) for name in IDS]


def matching_devices(text: str, tags: dict[str, set[str]]) -> set[str]:
    """For whom the Python expression *text* holds, in which a device's tags are names."""
    known = {name: {tag: tag in its for tag in NAMES} for name, its in tags.items()}
    return {name for name, values in known.items() if eval(text, {"__builtins__": {}}, values)}


@given(
    changes,
    st.dictionaries(st.sampled_from(["tag", "tag_and"]), st.lists(names, min_size=1, max_size=4), min_size=1),
    st.lists(names, max_size=4),
    st.sampled_from(sorted(VERSIONS)),
)
def test_pushes_follow_any_calls_about_tags(calls, lists, wrong, vendor):
    router, tags = make_router(DEVICES, rate=None), list_tags()
    for change in calls:
        apply_change(change, tags)
        send_change(change, vendor, router)
    check_tags(vendor, router, tags)
    words = [f"({(' or ' if key == 'tag' else ' and ').join(its)})" for key, its in lists.items()]
    words += [f"not ({' or '.join(wrong)})"] if wrong else []
    audience = {**lists, "tag_not": wrong}
    body = {"audience": audience, "platform": "all", "notification": {"alert": "x"}}
    call = engagelab_call({"to": audience, "body": NOTIFICATION}) if vendor == "engagelab" else jpush_call(body)
    send_call(router, vendor, call)
    assert set(router.states[vendor].delivery_log.counts_by_id()) == matching_devices(" and ".join(words), tags)


# TPNS


@dataclass(frozen=True)
class Operation:
    """An operator of TPNS with its lists."""

    number: int
    tokens: list[str]
    tags: list[str]


operations = st.builds(
    Operation,
    st.integers(1, 10),
    st.lists(st.sampled_from(IDS), min_size=1, max_size=4),
    st.lists(st.sampled_from(COLON_NAMES), min_size=1, max_size=3),
)


def apply_operation(operation: Operation, tags: dict[str, set[str]]) -> None:
    first, its = operation.tokens[0], operation.tags
    pairs = [(tag, token) for tag in its for token in operation.tokens]
    match operation.number:
        case 1 | 3:
            tags[first] |= {*its[: 1 if operation.number == 1 else None]}
        case 2 | 4:
            tags[first] -= {*its[: 1 if operation.number == 2 else None]}
        case 5:
            tags[first] = set()
        case 6:
            kinds = [tag.split(":")[0] + ":" for tag in its]
            is_whole = any(":" not in tag for tag in its)
            tags[first] = {tag for tag in tags[first] if not is_whole and not tag.startswith(tuple(kinds))} | {*its}
        case 7 | 8 | 9 | 10:
            for tag, token in pairs if operation.number > 8 else [(its[0], token) for token in operation.tokens]:
                (tags[token].add if operation.number % 2 else tags[token].discard)(tag)


def build_operation(operation: Operation) -> HttpCall:
    pairs = [{"tag": tag, "token": token} for tag in operation.tags for token in operation.tokens]
    lists = {"token_list": operation.tokens, "tag_list": operation.tags}
    body = {"operator_type": operation.number, **({"tag_token_list": pairs} if operation.number > 8 else lists)}
    return tag_call("POST", "/v3/device/tag", body)


@given(
    st.lists(operations, max_size=8),
    st.lists(st.sampled_from(COLON_NAMES), min_size=1, max_size=3),
    st.booleans(),
    st.sampled_from(["AND", "OR"]),
)
def test_pushes_of_tpns_follow_any_operators(calls, wanted, is_not, operator):
    router, tags = make_router(DEVICES.drop("age"), rate=None), list_tags(with_age=False)
    for operation in calls:
        apply_operation(operation, tags)
        assert send_call(router, "tpns", build_operation(operation)).code == ""
    store = router.states["tpns"].tags
    assert {name: {*store.tags_of(row)} for row, name in enumerate(IDS)} == tags
    item = {"tags": wanted, "tags_operator": operator, "items_operator": "OR", "is_not": is_not}
    rules = [{"tag_items": [{**item, "tag_type": "xg_user_define"}], "operator": "OR", "is_not": False}]
    assert send_call(router, "tpns", tpns_call(tpns_message(audience_type="tag", tag_rules=rules))).code == ""
    holds = {"AND": all, "OR": any}[operator]
    told = {name for name, its in tags.items() if holds(tag in its for tag in wanted) != is_not}
    assert set(router.states["tpns"].delivery_log.counts_by_id()) == told


# EMAS


@dataclass(frozen=True)
class Binding:
    """A call of EMAS, and the seconds until the next."""

    action: str
    kind: str
    keys: list[str]
    tags: list[str]
    seconds: int


KEYS = {"DEVICE": IDS[:9], "ALIAS": ["u0", "u1", "u2"], "ACCOUNT": ["x0", "x1"]}
DEVICES_OF_KEYS = {  # as in the columns below
    "DEVICE": {name: {name} for name in IDS},
    "ALIAS": {f"u{each}": {name for row, name in enumerate(IDS) if row % 5 == each} for each in range(3)},
    "ACCOUNT": {f"x{each}": {name for row, name in enumerate(IDS) if row % 7 in (each, 6)} for each in range(2)},
}
bindings = st.sampled_from(sorted(KEYS)).flatmap(
    lambda kind: st.builds(
        Binding,
        st.sampled_from(["BindTag", "BindTag", "UnbindTag", "RemoveTag"]),
        st.just(kind),
        st.lists(st.sampled_from(KEYS[kind]), min_size=1, max_size=4),
        st.lists(names, min_size=1, max_size=3),
        st.integers(0, 700),
    )
)


def replay_bindings(calls: list[Binding], last: float) -> dict[tuple[str, str], set[str]]:
    """The tags of each key by the calls that are not later than *last*."""
    tags = {(kind, key): set() for kind, its in DEVICES_OF_KEYS.items() for key in its}
    tags |= {("DEVICE", name): its for name, its in list_tags().items()}
    now = 0
    for call in calls:
        if now <= last:
            for key in tags if call.action == "RemoveTag" else [(call.kind, key) for key in call.keys]:
                match call.action:
                    case "BindTag":
                        tags[key] |= {*call.tags}
                    case "UnbindTag":
                        tags[key] -= {*call.tags}
                    case _:
                        tags[key].discard(call.tags[0])
        now += call.seconds
    return tags


@given(st.lists(bindings, max_size=6), tag_trees)
def test_pushes_of_emas_follow_any_bindings_ten_minutes_later(calls, tree):
    alias = [f"u{row % 5}" if row % 5 < 3 else None for row in range(70)]
    account = [["x0", "x1"] if row % 7 == 6 else [f"x{row % 7}"] if row % 7 < 2 else [] for row in range(70)]
    clock = ManualClock()
    router = make_router(DEVICES.with_columns(pl.Series("alias", alias), pl.Series("account", account)), clock=clock)
    for call in calls:
        parameters = {"TagName": call.tags[0] if call.action == "RemoveTag" else ",".join(call.tags)}
        if call.action != "RemoveTag":
            parameters |= {"ClientKey": ",".join(call.keys), "KeyType": call.kind}
        assert send_call(router, "emas", emas_call(call.action, clock.now, **parameters)).code == ""
        clock.now += call.seconds
    for (kind, key), its in replay_bindings(calls, float("inf")).items():
        if key in KEYS[kind]:
            query = emas_call("QueryTags", clock.now, ClientKey=key, KeyType=kind)
            found = send_call(router, "emas", query).body["TagInfos"]["TagInfo"]
            assert {info["TagName"] for info in found} == its
    push = {"Target": "TAG", "TargetValue": json.dumps(tree), "PushType": "NOTICE", "DeviceType": "ALL", "Title": "t"}
    assert send_call(router, "emas", emas_call("Push", clock.now, **push)).code == ""
    seen = replay_bindings(calls, sum(call.seconds for call in calls) - 600)
    keys = matching_devices(tree_as_python(tree), {f"{kind} {key}": its for (kind, key), its in seen.items()})
    wanted = {name for each in keys for kind, key in [each.split()] for name in DEVICES_OF_KEYS[kind][key]}
    assert set(router.states["emas"].delivery_log.counts_by_id()) == wanted


# FCM


@dataclass(frozen=True)
class Subscription:
    """A topic, the tokens that get it or lose it, and whether each is in a call of its own."""

    topic: str
    tokens: list[str]
    is_adding: bool
    is_single: bool


subscriptions = st.builds(
    Subscription,
    names,
    st.lists(st.sampled_from([*IDS[:6], "nobody", "a b"]), min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
)


def send_subscription(change: Subscription, router: Router) -> list[bool]:
    """Make the calls, and return which tokens are taken for known."""
    verb, place = ("POST", "?topic_name=") if change.is_adding else ("DELETE", "/")
    if not change.is_single:
        body = {"to": f"/topics/{change.topic}", "registration_tokens": change.tokens}
        path = "/iid/v1:batchAdd" if change.is_adding else "/iid/v1:batchRemove"
        results = send_call(router, "fcm", fcm_topic_call("POST", path, body)).body["results"]
        return [result == {} for result in results]
    replies = []
    for token in change.tokens:
        path = f"/v1/projects/p1/registrations/{token}/topicSubscriptions{place}{change.topic}"
        query = "" if change.is_adding else "?allow_missing=true"
        replies.append(send_call(router, "fcm", fcm_topic_call(verb, path + query)).status in (200, 409))
    return replies


@given(st.lists(subscriptions, max_size=6), st.lists(names, min_size=1, max_size=3, unique=True), st.booleans())
def test_pushes_of_fcm_follow_any_subscriptions(calls, wanted, is_any):
    router, tags = make_router(DEVICES.drop("age"), rate=None), list_tags(with_age=False)
    for change in calls:
        assert send_subscription(change, router) == [token in tags for token in change.tokens]
        for token in tags.keys() & {*change.tokens}:
            (tags[token].add if change.is_adding else tags[token].discard)(change.topic)
    check_tags("fcm", router, tags)
    condition = (" || " if is_any else " && ").join(f"'{name}' in topics" for name in wanted)
    body = {"message": {"condition": condition, "data": {"n": "1"}}}
    assert send_call(router, "fcm", fcm_call(body)).code == ""
    told = matching_devices((" or " if is_any else " and ").join(wanted), tags)
    assert set(router.states["fcm"].delivery_log.counts_by_id()) == told


# Vendors whose calls change one tag of many ids, and that push to any or to all of some tags


PLAIN_VENDORS = [name for name, caller in CALLERS.items() if caller.change_tag is not None]


@pytest.mark.parametrize("vendor", PLAIN_VENDORS)
@given(
    calls=st.lists(st.tuples(names, st.lists(st.sampled_from(IDS[:6]), min_size=1, max_size=6), st.booleans())),
    wanted=st.lists(names, min_size=1, max_size=3, unique=True),
    is_any=st.booleans(),
)
def test_pushes_follow_any_plain_changes(vendor, calls, wanted, is_any):
    caller = CALLERS[vendor]
    router, tags = make_router(DEVICES.drop("age"), rate=None), list_tags(with_age=False)
    for tag, changed, is_adding in calls:
        assert send_call(router, vendor, caller.change_tag(tag, changed, is_adding)).code == ""
        for each in changed:
            (tags[each].add if is_adding else tags[each].discard)(tag)
    check_tags(vendor, router, tags)
    assert send_call(router, vendor, caller.send(caller.to_tags(wanted, is_any))).code in ("", "20301")
    told = matching_devices((" or " if is_any else " and ").join(wanted), tags)
    assert set(router.states[vendor].delivery_log.counts_by_id()) == told


# Any bytes


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3) | st.just("r1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["add", "remove", "x"]), inner),
    max_leaves=6,
)


@given(
    st.sampled_from(["/tags/a", "/devices/r1", "/devices/status", "/tags/a/registration_ids/r1", "/tags", "/tags//x"]),
    st.sampled_from(["GET", "POST", "DELETE", "PUT"]),
    st.dictionaries(st.sampled_from(["tags", "registration_ids", "x"]), json_values) | json_values,
    st.sampled_from(sorted(VERSIONS)),
)
def test_any_body_gets_a_vendor_reply(path, method, body, vendor):
    reply = send_call(make_router(), vendor, tag_call(method, VERSIONS[vendor] + path, json.dumps(body)))
    assert reply.status < 500, reply
    assert (reply.status == 200) == (not reply.code)
