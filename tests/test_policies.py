"""Policies of an index: caps and suppression lists apply to all that is planned, and outlive its snapshots."""

import json
import stat
from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples

import audience
from audience import DeviceIndex, ExpressionError, PlanError
from audience.requests.campaign import plan_campaign, write_campaign
from audience.requests.json_bodies import extract_ids
from audience.requests.writer import write_requests
from audience.vendors import get_vendor, vendor_names

TAGS = ("male", "vip", "opted_out", "new")
DEVICE_COUNT = 60
EMITTING = vendor_names(can="emit")


def make_table(seed: int = 0) -> pl.DataFrame:
    """Return devices with an id, a person, some of the tags, and an age."""
    random = Random(seed)
    return pl.DataFrame(
        {
            "token": [f"t{number:02}" for number in range(DEVICE_COUNT)],
            "alias": [f"p{number // 2}" for number in range(DEVICE_COUNT)],
            "tags": [[tag for tag in TAGS if random.random() < 0.5] for _ in range(DEVICE_COUNT)],
            "age": [random.randrange(10, 40) for _ in range(DEVICE_COUNT)],
        }
    )


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    return DeviceIndex.build(make_table(), tmp_path / "devices.index")


@pytest.fixture(scope="module")
def shared_index(tmp_path_factory) -> DeviceIndex:
    """An index whose policies each example replaces."""
    return DeviceIndex.build(make_table(), tmp_path_factory.mktemp("law") / "devices.index")


def find_tokens(index: DeviceIndex, expr: str) -> set[str]:
    return set(index.resolve(expr).ids())


def list_requested(plan: audience.Plan) -> list[str]:
    """Return the ids of the requests of a plan, by the vendor's own parser."""
    assert not plan.native
    return [id_ for body in plan.requests() for id_ in get_vendor(plan.vendor).parse(body).values]


EXPRS = st.sampled_from(
    [
        "everyone",
        "nobody",
        "male",
        "NOT vip",
        "male OR (vip AND age < 30)",
        "age >= 20",
        "alias(p1, p2, p7)",
        "male EXCEPT new",
    ]
)
CAPS = st.sampled_from(["NOT opted_out", "age < 35", "NOT (new AND vip)", "everyone", "nobody", "NOT alias(p1)"])
LISTS = st.lists(st.integers(0, DEVICE_COUNT + 5).map("t{:02}".format), unique=True, max_size=20)


@settings(max_examples=scale_examples(60))
@given(
    expr=EXPRS,
    caps=st.lists(CAPS, max_size=3),
    suppressed=st.lists(LISTS, max_size=2),
    own=st.lists(CAPS, max_size=1),
    limit=st.none() | st.integers(1, 70),
    vendor=st.sampled_from(EMITTING),
)
def test_plan_reaches_exactly_the_fitting_devices(shared_index, expr, caps, suppressed, own, limit, vendor):
    index = shared_index
    for name in index.policies:
        index.drop_policy(name)
    for number, cap in enumerate(caps):
        index.set_policy(f"cap-{number}", cap=cap)
    for number, ids in enumerate(suppressed):
        index.set_policy(f"list-{number}", suppress=ids, column="token")
    whole = find_tokens(index, expr)
    fitting = [find_tokens(index, cap) for cap in caps]
    fitting += [{*index.resolve("everyone").ids()} - {*ids} for ids in suppressed]
    fitting += [find_tokens(index, cap) for cap in own]
    expected = whole.intersection(*fitting)
    asked = expr if limit is None else f"({expr}) limit {limit} seed law"
    plan = audience.plan(asked, vendor, index, caps=own)
    if not fitting:
        assert not plan.policies
        return
    requested = list_requested(plan)
    assert len(requested) == len(set(requested)) == min(len(expected), len(expected) if limit is None else limit)
    assert set(requested) <= expected
    assert [policy.removed for policy in plan.policies] == [len(whole - each) for each in fitting]
    assert plan.removed == len(whole - expected)
    assert [reason.code for reason in plan.reasons] == (["policy"] if plan.by_ids is not None else [])
    assert index.count(plan.target) == len(requested)


def test_smaller_limit_is_part_of_larger_one_under_policies(index):
    index.set_policy("consent", cap="NOT opted_out")
    small, large = (
        list_requested(audience.plan(f"everyone limit {count} seed x", "engagelab", index)) for count in (5, 12)
    )
    assert (len(small), len(large)) == (5, 12)
    assert set(small) < set(large)


def test_top_is_chosen_among_fitting_devices(index):
    index.set_policy("consent", cap="NOT opted_out")
    requested = list_requested(audience.plan("everyone top 7 by age", "engagelab", index))
    assert set(requested) == find_tokens(index, "(NOT opted_out) top 7 by age")


def test_everyone_is_no_broadcast_under_a_policy(index):
    assert audience.plan("everyone", "engagelab", index).native == ({"to": "all"},)
    index.set_policy("none", suppress=[])
    plan = audience.plan("everyone", "engagelab", index, vendor_has="all")
    assert (plan.native, [reason.code for reason in plan.reasons]) == ((), ["policy"])
    assert len(list_requested(plan)) == DEVICE_COUNT


def test_policy_is_overridden_by_its_name_only(index):
    index.set_policy("consent", cap="NOT opted_out")
    index.set_policy("complaints", suppress="t01")
    plan = audience.plan("everyone", "engagelab", index, without_policies=["consent"])
    assert ([policy.name for policy in plan.policies], plan.without_policies) == (["complaints"], ("consent",))
    plan = audience.plan("everyone", "engagelab", index, without_policies=["consent", "complaints"])
    assert (plan.native, plan.without_policies) == (({"to": "all"},), ("consent", "complaints"))
    with pytest.raises(PlanError, match=r"no policy .consnt.(.|\n)*did you mean consent"):
        audience.plan("everyone", "engagelab", index, without_policies=["consnt"])


def test_questions_do_not_ask_policies(index):
    before = (
        index.count("everyone"),
        len(index.resolve("opted_out")),
        [line.device_count for line in index.explain("male")],
    )
    index.set_policy("consent", cap="NOT opted_out")
    assert (index.count("everyone"), len(index.resolve("opted_out"))) == before[:2]
    assert [line.device_count for line in index.explain("male")] == before[2]


def test_caps_of_a_plan_need_an_index():
    with pytest.raises(PlanError, match="no-index"):
        audience.plan("male", "engagelab", caps="NOT opted_out")


def test_relative_days_of_a_cap_are_those_of_each_plan(tmp_path):
    table = pl.DataFrame({"token": ["a", "b"], "messaged": ["2026-11-01", "2026-11-20"]})
    index = DeviceIndex.build(table, tmp_path / "x.index", dates=["messaged"])
    index.set_policy("pause", cap="NOT messaged within 7 days")
    plan = audience.plan("everyone", "engagelab", index, as_of="2026-11-22")
    assert (list_requested(plan), plan.policies[0].removed) == (["a"], 1)
    assert list_requested(audience.plan("everyone", "engagelab", index, as_of="2026-11-03")) == ["b"]
    assert list_requested(audience.plan("everyone", "engagelab", index, as_of="2026-12-24")) == ["a", "b"]


def test_cap_may_name_segments_and_files(index, tmp_path):
    (tmp_path / "staff.txt").write_text("t01\nt02\n")
    index.save_segment("quiet", "opted_out")
    index.set_policy("caps", cap=audience.parse("NOT @quiet AND NOT token(@staff.txt)", folder=tmp_path))
    (tmp_path / "staff.txt").unlink()
    reopened = DeviceIndex.open(index.folder)
    expected = find_tokens(index, "NOT opted_out AND NOT token(t01, t02)")
    assert set(list_requested(audience.plan("everyone", "engagelab", reopened))) == expected
    with pytest.raises(ExpressionError, match="used-segment: @quiet is mentioned by policy caps"):
        index.drop_segment("quiet")
    index.restore(index.history()[0].number)  # to a snapshot before the segment
    with pytest.raises(ExpressionError, match="policy caps: unknown segment 'quiet'"):
        audience.plan("everyone", "engagelab", DeviceIndex.open(index.folder))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cap": "agee > 3"}, "policy x: this index has no attribute 'agee'(.|\n)*did you mean age"),
        ({"cap": "male AND"}, "missing-operand"),
        ({"cap": "male", "suppress": ["t01"]}, "not both"),
        ({}, "expected a cap or a list of ids"),
        ({"suppress": ["t01"], "column": "tokn"}, "policy x: .*tokn"),
    ],
)
def test_invalid_policy_changes_nothing(index, arguments, message):
    with pytest.raises(audience.AudienceError, match=message):
        index.set_policy("x", **arguments)
    assert index.policies == {}


@pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "../x"])
def test_policy_name_is_a_word(index, name):
    with pytest.raises(PlanError, match="is not a name of a policy"):
        index.set_policy(name, cap="male")


def test_policies_outlive_all_changes_of_the_index(index):
    index.set_policy("consent", cap="NOT opted_out")
    index.set_policy("complaints", suppress=["t01", "t99"], column="token")
    policies = dict(index.policies)
    index.remove(["t05"])
    index.restore(1)
    index.compact()
    index.vacuum()
    assert index.policies == policies
    index = DeviceIndex.build(make_table(1), index.folder, replace=True)
    assert index.policies == policies
    index.update(pl.DataFrame({"token": ["t99"], "age": [30]}))
    assert "t99" not in list_requested(audience.plan("age = 30", "engagelab", index))
    index.backup(copy := index.folder.with_name("copy.index"))
    assert DeviceIndex.open(copy).policies == policies


def test_only_the_owner_can_read_policies(index):
    index.set_policy("complaints", suppress=["t01"])
    files = [path for path in (index.folder / "records").rglob("*") if path.is_file()]
    assert files
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_policy_that_the_index_cannot_answer_is_an_error_with_its_name(index):
    index.set_policy("adults", cap="age >= 18")
    index = DeviceIndex.build(make_table().drop("age"), index.folder, replace=True, allow_loss="names")
    with pytest.raises(ExpressionError, match="policy adults: this index has no attribute 'age'"):
        audience.plan("male", "engagelab", index)
    plan = audience.plan("male", "engagelab", index, without_policies="adults")
    assert plan.without_policies == ("adults",)


def test_manifest_has_index_and_policies(index, tmp_path):
    index.set_policy("consent", cap="NOT opted_out")
    index.set_policy("complaints", suppress=["t01"])
    plan = audience.plan("everyone", "engagelab", index, caps="age < 30", without_policies=["complaints"])
    result = write_requests(plan, index, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    expected = find_tokens(index, "NOT opted_out AND age < 30")
    assert manifest["index"] == str(index.folder.absolute())
    assert [(each["name"], each["kind"], each["policy"]) for each in manifest["policies"]] == [
        ("consent", "cap", "NOT opted_out"),
        ("cap 1", "cap", "age < 30"),
    ]
    assert (manifest["caps"], manifest["without_policies"]) == (["age < 30"], ["complaints"])
    assert (manifest["devices"], manifest["id_count"], manifest["native"]) == (len(expected), len(expected), 0)
    assert manifest["removed"] == result.removed == DEVICE_COUNT - len(expected)
    assert manifest["policies_digest"]


def test_nobody_fits_means_nothing_to_send(index, tmp_path):
    index.set_policy("freeze", cap="nobody")
    plan = audience.plan("male", "engagelab", index)
    assert (plan.native, plan.by_ids, [*plan.requests()]) == ((), None, [])
    result = write_requests(plan, index, tmp_path / "out")
    assert (result.devices, result.batches, result.files) == (0, 0, ())


def test_campaign_reaches_fitting_devices_only(index, tmp_path):
    index.set_policy("consent", cap="NOT opted_out")
    campaign = plan_campaign("everyone limit 20 seed x", ["engagelab"], index, caps=["age < 35"])
    write_campaign(campaign, tmp_path / "out")
    lines = [line for file in (tmp_path / "out").glob("*/requests-*.ndjson") for line in file.read_bytes().splitlines()]
    ids = [id_ for line in lines for id_ in extract_ids(line, get_vendor("engagelab"))]
    expected = find_tokens(index, "NOT opted_out AND age < 35")
    assert len(ids) == min(20, len(expected))
    assert set(ids) <= expected
    assert [policy.name for policy in campaign.policies] == ["consent", "cap 1"]
    assert json.loads((tmp_path / "out" / "campaign.json").read_text())["removed"] == DEVICE_COUNT - len(expected)


def test_commands_show_policies(index, audience_command):
    path = str(index.folder)
    (index.folder.parent / "list.txt").write_text("t01\nt02\nt99\n")
    (index.folder.parent / "empty.txt").write_text("")
    code, out, _ = audience_command("policy", "set", path, "consent", "--cap", "NOT opted_out")
    opted_out = index.count("opted_out")
    assert (code, out) == (0, f"policy consent set: NOT opted_out; takes out {opted_out} of 60 devices\n")
    file = str(index.folder.parent / "list.txt")
    code, out, _ = audience_command("policy", "set", path, "complaints", "--suppress", file, "--column", "token")
    assert (code, out) == (0, "policy complaints set: 3 ids of token; takes out 2 of 60 devices\n")
    code, out, _ = audience_command("policy", "set", path, "e", "--suppress", str(index.folder.parent / "empty.txt"))
    assert (code, out) == (0, "policy e set: no ids; takes out 0 of 60 devices\n")
    code, out, _ = audience_command("policy", "list", path, "--json")
    assert [(each["name"], each["removed"]) for each in json.loads(out)] == [
        ("consent", opted_out),
        ("complaints", 2),
        ("e", 0),
    ]
    assert audience_command("policy", "drop", path, "e")[:2] == (0, "policy e deleted\n")
    code, out, _ = audience_command("plan", path, "everyone", "--vendor", "engagelab")
    assert f"policy     consent: NOT opted_out; takes out {opted_out} devices\n" in out
    code, out, _ = audience_command("plan", path, "everyone", "--vendor", "engagelab", "--without-policy", "consent")
    assert "overridden policy consent\n" in out
    code, out, err = audience_command("plan", path, "everyone", "--vendor", "engagelab", "--without-policy", "no")
    assert (code, out) == (2, "")
    assert err.startswith("unknown-policy: ")
    code, out, _ = audience_command("explain", path, "everyone", "--policies")
    assert "60" in out
    assert "policy     complaints: 3 ids of token; takes out 2 devices" in out


@pytest.fixture
def audience_command(audience, folder):
    """Run a command, see the fixture `audience`."""
    return audience


@pytest.mark.parametrize(
    "words",
    [
        ["set", "INDEX", "x"],
        ["set", "INDEX", "x", "--cap", "a", "--suppress", "b"],
        ["set", "INDEX", "x", "--cap", "a", "--column", "token"],
        ["set", "INDEX", "x", "--suppress", "missing.txt"],
        ["drop", "INDEX", "x"],
    ],
    ids=" ".join,
)
def test_wrong_commands_end_with_2(index, audience_command, words):
    code, out, err = audience_command("policy", *[str(index.folder) if word == "INDEX" else word for word in words])
    assert (code, out) == (2, "")
    assert "hint" in err
    assert index.policies == {}
