"""The sandbox's tags against a slow oracle, a set of names for each device, and their targeting against Python."""

import json
from dataclasses import dataclass

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from test_sandbox_tags import tag_call
from vendor_calls import NOTIFICATION, engagelab_call, jpush_call, make_router, send_call

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
names = st.sampled_from(NAMES)
ids = st.lists(st.sampled_from(IDS), max_size=8)


def list_tags() -> dict[str, set[str]]:
    """The tags of each device at the start."""
    rows = DEVICES.select("registration_id", "tags", "age").rows()
    return {name: {*tags, *(["age_20"] if age else [])} for name, tags, age in rows}


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
