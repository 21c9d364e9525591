"""Audiences divided by variant, language and time zone, compared with an oracle that looks at one device at a time."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples

import audience
from audience import DeliveryError, DeviceIndex, ExpressionError, MessageError, PlanError, parse
from audience.index.ingest import build
from audience.messages import parse_message
from audience.requests.campaign import plan_campaign, write_campaign
from audience.requests.division import Division, divide_by, require_same_division
from audience.requests.parts import Part, PartLines, label_positions
from audience.requests.platform_counts import PlatformCount, unreached_platforms
from audience.requests.reader import open_requests
from audience.requests.redaction import redact_requests
from audience.requests.writer import write_requests
from audience.testing import fake_vendor
from audience.testing.fake_vendor import BATCH_SIZE

SPLIT = "split(a:45%, b:30%, summer)"
MESSAGE = {
    "title": "Sale",
    "body": "Everything",
    "split": SPLIT,
    "variants": {"a": {}, "b": {"localized": {"en": None, "pt-PT": {"body": "Tudo"}}}},
    "localized": {"zh-Hans": {"body": "全部"}, "en": {"body": "All of it"}},
}
# What tables say of a device, and which languages it gets in each variant; the base is "-".
LANGUAGES = {
    "zh_CN": ("zh-Hans", "zh-Hans"),
    "ZH-cn": ("zh-Hans", "zh-Hans"),
    "zh_CN_#Hans": ("zh-Hans", "zh-Hans"),
    "zh": ("zh-Hans", "zh-Hans"),
    "zh-TW": ("-", "-"),
    "en-AU": ("en", "-"),
    "EN_us": ("en", "-"),
    "pt-BR": ("-", "pt-PT"),
    "xx-invalid": ("-", "-"),
    "english": ("-", "-"),
    "": ("-", "-"),
    None: ("-", "-"),
}
ZONES = {
    "Asia/Shanghai": "Asia/Shanghai",
    "asia/shanghai": "Asia/Shanghai",
    "+08:00": "+08:00",
    "GMT+8": "+08:00",
    "UTC+8": "+08:00",
    "Asia/Calcutta": "Asia/Calcutta",
    "Etc/GMT-8": "Etc/GMT-8",
    "Mars/Base": None,
    "CST": None,
    "": None,
    None: None,
}
DEFAULT_ZONE = "Europe/Berlin"


@pytest.fixture(autouse=True, scope="module")
def vendors():
    """Register fake vendors, one of which takes a single id in a request."""
    base = fake_vendor.make_vendor
    undo = audience.vendors.register_vendors(
        base(name="fake"), base(name="other"), replace(base(name="one"), max_ids=1)
    )
    yield
    undo()


device_rows = st.fixed_dictionaries(
    {
        "lang": st.sampled_from([*LANGUAGES]),
        "tz": st.sampled_from([*ZONES]),
        "platform": st.sampled_from(["iOS", "android", "hmos", None]),
        "vip": st.booleans(),
        "reached_by": st.sampled_from(["fake", "other", "one", "none"]),
    }
)


def build_index(rows, folder: Path) -> DeviceIndex:
    """Build an index in which each device has an id of its own and one at the vendor that reaches it."""
    table = pl.DataFrame(
        {
            "device_id": [f"d{number}" for number in range(len(rows))],
            **{
                f"{name}_token": [
                    f"{name}{number}" if row.get("reached_by", "fake") == name else None
                    for number, row in enumerate(rows)
                ]
                for name in ("fake", "other", "one")
            },
            **{name: [row.get(name) for row in rows] for name in ("lang", "tz", "platform")},
            "vip": [row.get("vip", True) for row in rows],
        },
        schema_overrides=dict.fromkeys(("fake_token", "other_token", "one_token", "lang", "tz", "platform"), pl.String),
    )
    tokens = {name: f"{name}_token" for name in ("fake", "other", "one")}
    return DeviceIndex.build(table, folder, tokens=tokens, typed=["lang", "tz", "platform"])


def find_variants(index) -> dict[str, str | None]:
    """Return the variant of each device, as the expressions of the split select it."""
    by_expr = {name: index.resolve(f"{SPLIT} = {name}") for name in "ab"}
    return {
        device: next((name for name, devices in by_expr.items() if device in devices), None)
        for device in index.resolve("everyone").ids()
    }


def expect_parts(rows, numbers, vendor, variants, division: Division) -> dict[tuple, set[str]]:
    """Return the ids of each part, of the devices with these numbers."""
    parts: dict[tuple, set[str]] = {}
    for number in numbers:
        variant = variants[f"d{number}"] if division.split else None
        if division.split and variant is None:
            continue
        language = LANGUAGES[rows[number]["lang"]]["ab".index(variant or "a")] if division.language_of else "-"
        zone = (ZONES[rows[number]["tz"]] or DEFAULT_ZONE) if division.timezone_of else None
        key = (variant, None if language == "-" else language, zone)
        parts.setdefault(key, set()).add(f"{vendor}{number}")
    return parts


def read_parts(folder) -> dict[tuple, set[str]]:
    """Return the ids of each part, read line by line from the files as the manifest has them."""
    manifest = json.loads((folder / "manifest.json").read_text())
    lines = [
        json.loads(line)["to"] for file in sorted(folder.glob("requests-*")) for line in file.read_text().splitlines()
    ]
    size, parts = audience.get_vendor(manifest["vendor"]).max_ids, {}
    for part in manifest["parts"]:
        own = [lines.pop(0) for _ in range(-(-part["devices"] // size))]
        assert [len(line) for line in own[:-1]] == [size] * (len(own) - 1)
        ids = [identifier for line in own for identifier in line]
        assert len(ids) == len({*ids}) == part["devices"] == part["stop"] - part["first"] > 0
        key = (part["variant"], part["language"], part["zone"])
        assert key not in parts
        parts[key] = {*ids}
    assert lines == []
    requests = open_requests(folder)
    for part in requests.parts:
        own_ids = requests.ids_between(part.first, part.stop) if manifest["parts"] else []
        assert {*own_ids} == parts.get((part.variant, part.language, part.zone), set())
    everyone = requests.ids_between(0, requests.id_count)
    assert (len({*everyone}), sum(map(len, parts.values()))) == (manifest["id_count"], manifest["id_count"])
    if everyone:
        middle = len(everyone) // 2
        assert requests.ids_between(middle, len(everyone)) == everyone[middle:]
    return parts


divisions = st.tuples(st.booleans(), st.booleans(), st.booleans()).filter(any)


def make_division(has_split, has_languages, has_zones) -> Division:
    plain = {key: value for key, value in MESSAGE.items() if key not in ("split", "variants")}
    division = divide_by(
        parse_message(MESSAGE if has_split else plain),
        language_of="lang" if has_languages else None,
        timezone_of="tz" if has_zones else None,
        timezone_default=DEFAULT_ZONE if has_zones else None,
    )
    assert division is not None
    return division


@settings(max_examples=scale_examples(40))
@given(st.lists(device_rows, max_size=60, min_size=1), divisions, st.integers(1, 20), st.sampled_from(["fake", "one"]))
def test_each_device_is_in_its_part(tmp_path_factory, rows, kinds, shard_size, vendor):
    folder, division = tmp_path_factory.mktemp("law"), make_division(*kinds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", shard_size)
        index = build_index(rows, folder / "x.index")
    variants = find_variants(index)
    result = write_requests(audience.plan("vip", vendor, index), index, folder / "out", division=division)
    wanted = [number for number, row in enumerate(rows) if row["vip"]]
    reachable = [number for number in wanted if rows[number]["reached_by"] == vendor]
    assert read_parts(folder / "out") == expect_parts(rows, reachable, vendor, variants, division)
    held_out = [number for number in wanted if division.split and variants[f"d{number}"] is None]
    assert (result.held_out, result.devices) == (len(held_out), len(wanted) - len(held_out))
    assert result.skipped_count == len({*wanted} - {*reachable} - {*held_out})
    assert result.devices == result.id_count + result.skipped_count
    sent = [rows[number]["platform"] for number in reachable if number not in held_out]
    names = {"iOS": "ios", "android": "android", "hmos": "harmonyos", None: None}
    if result.platforms is not None:
        assert {each["platform"]: each["devices"] for each in result.platforms} == Counter(names[each] for each in sent)
    else:
        assert not wanted or {row["platform"] for row in rows} == {None}
    requests = open_requests(folder / "out")
    assert requests.division == division
    assert [part.variant for part in requests.parts] == sorted(
        (part.variant for part in requests.parts), key=lambda variant: variant or ""
    )


@settings(max_examples=scale_examples(20))
@given(st.lists(device_rows, max_size=40, min_size=1), divisions, st.sampled_from(["vip", "vip limit 7 seed s"]))
def test_campaigns_are_divided(tmp_path_factory, rows, kinds, expr):
    folder, division = tmp_path_factory.mktemp("law"), make_division(*kinds)
    index = build_index(rows, folder / "x.index")
    variants = find_variants(index)
    campaign = plan_campaign(expr, ["one", "fake"], index, division=division)
    results = write_campaign(campaign, folder / "out")
    in_variant = {number for number, row in enumerate(rows) if not division.split or variants[f"d{number}"]}
    told = 0
    for vendor in ("one", "fake"):
        if vendor not in results:
            continue
        parts = read_parts(folder / "out" / vendor)
        numbers = {int(identifier.removeprefix(vendor)) for ids in parts.values() for identifier in ids}
        told += len(numbers)
        assert numbers <= in_variant
        assert parts == expect_parts(rows, numbers, vendor, variants, division)
        wanted = {number for number, row in enumerate(rows) if row["vip"] and row["reached_by"] == vendor}
        assert numbers == wanted & in_variant if expr == "vip" else numbers <= wanted
    assert told + campaign.unreachable_count == campaign.devices
    if expr == "vip":
        assert campaign.held_out == sum(row["vip"] and number not in in_variant for number, row in enumerate(rows))


def test_limit_chooses_before_devices_are_held_out(tmp_path):
    index = build_index([{"reached_by": "fake" if number % 3 else "none"} for number in range(300)], tmp_path / "x")
    division, variants = make_division(True, False, False), find_variants(index)
    whole = write_requests(audience.plan("vip limit 100 seed s", "fake", index), index, tmp_path / "whole")
    result = write_requests(
        audience.plan("vip limit 100 seed s", "fake", index), index, tmp_path / "out", division=division
    )
    chosen = {
        identifier for ids in open_requests(tmp_path / "whole").ids_between(0, whole.id_count) for identifier in [ids]
    }
    expected = {identifier for identifier in chosen if variants[f"d{identifier.removeprefix('fake')}"]}
    assert {*open_requests(tmp_path / "out").ids_between(0, result.id_count)} == expected
    assert (whole.devices, result.devices + result.held_out) == (100, 100)
    assert open_requests(tmp_path / "whole").messaged_count == 100
    assert open_requests(tmp_path / "out").messaged_count == len(expected)


def test_policies_apply_to_what_is_divided(tmp_path):
    index = build_index([{"vip": number % 2 == 0} for number in range(100)], tmp_path / "x")
    index.set_policy("consent", cap="vip")
    planned = audience.plan("everyone", "fake", index)
    result = write_requests(planned, index, tmp_path / "out", division=make_division(True, False, False))
    assert (result.removed, result.devices + result.held_out) == (50, 50)
    assert [reason.code for reason in result.reasons] == ["policy", "divided"]


def test_native_requests_become_ids(tmp_path):
    table = pl.DataFrame({"registration_id": [f"r{number}" for number in range(50)], "tags": [["a"]] * 50})
    index = DeviceIndex.build(table, tmp_path / "x")
    planned = audience.plan("a", "engagelab", index, vendor_has="all")
    assert planned.native
    result = write_requests(planned, index, tmp_path / "out", division=make_division(True, False, False))
    assert (result.native, result.devices + result.held_out, result.id_count) == (0, 50, result.devices)
    assert "divided" in [reason.code for reason in result.reasons]


@pytest.mark.parametrize("expr", ["nobody", "vip AND NOT vip", "NOT vip"])
def test_empty_audience_has_no_parts(tmp_path, expr):
    index = build_index([{}], tmp_path / "x")
    result = write_requests(
        audience.plan(expr, "fake", index), index, tmp_path / "out", division=make_division(1, 1, 1)
    )
    assert (result.devices, result.id_count, result.parts) == (0, 0, ())
    assert open_requests(tmp_path / "out").id_count == 0


def test_four_hundred_zones_have_a_part_each_or_none(tmp_path):
    zones = sorted(audience.language.zones.list_zone_names())[:400]
    index = build_index([{"tz": zones[number % 400], "lang": "en"} for number in range(8_000)], tmp_path / "x")
    division = make_division(True, False, True)
    for vendor in ("fake", "one"):
        result = write_requests(audience.plan("vip", vendor, index), index, tmp_path / vendor, division=division)
        assert vendor == "one" or len(result.parts) > 790
        parts = read_parts(tmp_path / vendor)
        assert {zone for _, _, zone in parts} == ({*zones} if vendor == "fake" else set())


# Refusals. ------------------------------------------------------------------------------------------------------------


def refuse(index, tmp_path, **options) -> list[audience.Problem]:
    with pytest.raises(PlanError) as caught:
        division = divide_by(parse_message(MESSAGE), **options)
        write_requests(audience.plan("vip", "fake", index), index, tmp_path / "out", division=division)
    assert not (tmp_path / "out").exists()
    return list(caught.value.problems)


def test_unknown_zones_are_refused_without_a_default(tmp_path):
    rows = [
        {"tz": zone} for zone in [*["Mars/Base"] * 40, *["CST"] * 10, *["x", "y"] * 2, *[None] * 20, *["UTC"] * 400]
    ]
    index = build_index(rows, tmp_path / "x")
    missing, unknown = refuse(index, tmp_path, timezone_of="tz")
    assert (missing.code, unknown.code) == ("no-timezone", "unknown-timezone")
    assert "have no time zone" in missing.message
    assert "'Mars/Base' (" in unknown.message and "…" in unknown.message
    assert "--timezone-default" in (missing.hint or "")
    division = divide_by(timezone_of="tz", timezone_default="GMT+8")
    result = write_requests(audience.plan("vip", "fake", index), index, tmp_path / "out", division=division)
    assert {part["zone"]: part["devices"] for part in result.parts} == {"+08:00": 74, "UTC": 400}
    assert sum("count as in +08:00" in reason.message for reason in result.reasons) == 2


def test_zones_of_devices_that_get_nothing_do_not_matter(tmp_path):
    rows = [{"tz": "UTC"}, {"tz": None, "reached_by": "none"}, {"tz": "Mars/Base", "vip": False}]
    index = build_index(rows, tmp_path / "x")
    planned = audience.plan("vip", "fake", index)
    result = write_requests(planned, index, tmp_path / "out", division=divide_by(timezone_of="tz"))
    assert ([part["zone"] for part in result.parts], result.skipped_count) == (["UTC"], 1)


def test_several_values_are_refused(tmp_path):
    table = pl.DataFrame({"fake_token": ["a", "b"], "lang": [["zh"], ["zh", "en"]], "vip": [True, True]})
    index = DeviceIndex.build(table, tmp_path / "x", tokens={"fake": "fake_token"}, typed=["lang"])
    message = parse_message({"body": "Hi", "localized": {"zh": {"body": "你好"}}})
    division = divide_by(message, language_of="lang")
    with pytest.raises(PlanError, match="1 of 2 devices have several values"):
        write_requests(audience.plan("vip", "fake", index), index, tmp_path / "out", division=division)
    result = write_requests(
        audience.plan("lang:zh AND NOT lang:en", "fake", index), index, tmp_path / "out", division=division
    )
    assert [part["language"] for part in result.parts] == ["zh"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"language_of": "langs"}, "unknown-attribute"),
        ({"timezone_of": "device_id"}, "unknown-attribute"),
        ({"timezone_of": "vip"}, "unknown-attribute"),
        ({"language_of": "age"}, "wrong-type"),
        ({"timezone_default": "UTC"}, "bad-option"),
    ],
)
def test_attributes_that_cannot_divide(tmp_path, options, code):
    table = pl.DataFrame({"fake_token": ["a"], "lang": ["zh"], "age": [3], "vip": [True]})
    index = DeviceIndex.build(table, tmp_path / "x", tokens={"fake": "fake_token"})
    assert [problem.code for problem in refuse(index, tmp_path, **options)] == [code]


def test_what_there_is_to_divide_by():
    assert divide_by(parse_message({"body": "Hi"})) is None
    assert divide_by() is None
    with pytest.raises(PlanError, match="no languages"):
        divide_by(parse_message({"body": "Hi"}), language_of="lang")
    with pytest.raises(PlanError, match="no languages"):
        divide_by(language_of="lang")
    with pytest.raises(ExpressionError, match="unknown time zone"):
        divide_by(timezone_of="tz", timezone_default="Mars/Base")


# The message of a send. -----------------------------------------------------------------------------------------------

SAME = "send the message that the requests were divided by"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"split": "split(a:45%, b:30%, winter)"}, "split"),
        ({"split": "split(a:45%, b:31%, summer)"}, "split"),
        ({"split": "split(b:30%, a:45%, summer)"}, "split"),
        ({"split": None, "variants": None}, "split"),
        ({"localized": {"zh-Hans": {"body": "x"}}}, "localized"),
        ({"localized": {"zh-Hant": {"body": "x"}, "en": {"body": "x"}}}, "localized"),
        ({"variants": {"a": {}, "b": {"localized": {"pt-PT": {"body": "Tudo"}}}}}, "localized"),
    ],
)
def test_another_message_is_refused(tmp_path, change, field):
    division = divide_by(parse_message(MESSAGE), language_of="lang")
    require_same_division(parse_message({**MESSAGE, "title": "Other words"}), division, tmp_path)
    with pytest.raises(MessageError) as caught:
        require_same_division(parse_message({**MESSAGE, **change}), division, tmp_path)
    [problem] = caught.value.problems
    assert (problem.code, problem.path, problem.hint) == ("other-division", f"$.{field}", SAME)


def test_message_with_variants_needs_divided_requests(tmp_path):
    with pytest.raises(MessageError, match="not divided") as caught:
        require_same_division(parse_message(MESSAGE), None, tmp_path)
    assert "--message" in (caught.value.problems[0].hint or "")
    zones = divide_by(timezone_of="tz")
    with pytest.raises(MessageError, match="not divided"):
        require_same_division(parse_message(MESSAGE), zones, tmp_path)
    require_same_division(parse_message({"body": "Hi"}), zones, tmp_path)


# Folders. -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def divided_folder(tmp_path) -> Path:
    rows = [{"lang": ["zh", "en", "fr"][number % 3], "tz": "UTC", "platform": "ios"} for number in range(120)]
    index = build_index(rows, tmp_path / "x")
    write_requests(audience.plan("vip", "fake", index), index, tmp_path / "out", division=make_division(1, 1, 0))
    return tmp_path / "out"


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["parts"].pop(),
        lambda manifest: manifest["parts"].reverse(),
        lambda manifest: manifest["parts"][0].update(stop=manifest["parts"][0]["stop"] + 1),
        lambda manifest: manifest["parts"][0].update(devices=1),
        lambda manifest: manifest["parts"][0].update(first=-1),
        lambda manifest: manifest.update(parts=[]),
        lambda manifest: manifest["division"].update(split="male"),
        lambda manifest: manifest["division"].pop("split"),
    ],
)
def test_damaged_parts_are_refused(divided_folder, change):
    file = divided_folder / "manifest.json"
    manifest = orjson.loads(file.read_bytes())
    change(manifest)
    file.write_bytes(orjson.dumps(manifest))
    with pytest.raises(DeliveryError) as caught:
        open_requests(divided_folder)
    assert caught.value.code == "damaged-plan"


@pytest.mark.parametrize("keeps_positions", [True, False])
@pytest.mark.parametrize("count", [1, 30, 119, 120])
def test_forgotten_ids_leave_the_parts_of_others(divided_folder, keeps_positions, count):
    before = read_parts(divided_folder)
    forgotten = sorted(id_ for ids in before.values() for id_ in ids)[:count]
    redacted = redact_requests(divided_folder, forgotten, keeps_positions=keeps_positions)
    assert redacted is not None
    redacted.replace_files().close()
    after = read_parts(divided_folder)
    expected = {key: ids - {*forgotten} for key, ids in before.items()}
    if keeps_positions:
        found = {key: {id_ for id_ in ids if not id_.startswith("forgotten")} for key, ids in after.items()}
        assert found == expected
    else:
        assert after == {key: ids for key, ids in expected.items() if ids}


sizes = st.lists(st.integers(0, 25), min_size=1, max_size=8)


@given(sizes, st.integers(1, 9), st.data())
def test_lines_of_ids_never_span_two_parts(sizes, max_ids, data):
    parts, expected = [], []
    for number, size in enumerate(sizes):
        first = parts[-1].stop if parts else 0
        parts.append(Part(first=first, stop=first + size, variant=f"v{number}"))
        expected += [(at, min(at + max_ids, first + size)) for at in range(first, first + size, max_ids)]
    lines = PartLines(parts, max_ids)
    first = data.draw(st.integers(0, sum(sizes)))
    stop = data.draw(st.integers(first, sum(sizes)))
    assert len(lines) == len(expected)
    assert list(lines.overlapping(first, stop)) == [
        (number, *bounds)
        for number, bounds in enumerate(expected)
        if bounds[0] < stop and bounds[1] > first and first < stop
    ]
    variants = [part.variant for part in parts for _ in range(len(part))]
    assert label_positions(parts, first, stop)["variant"].to_list() == variants[first:stop]


def test_platforms_that_a_message_does_not_reach():
    counts = [PlatformCount("ios", 5), PlatformCount("android", 3), PlatformCount(None, 2)]
    assert unreached_platforms(counts, ("android",)) == [PlatformCount("ios", 5)]
    assert unreached_platforms(counts, ()) == []


def test_variants_and_languages_are_written_in_the_manifest(divided_folder):
    division = json.loads((divided_folder / "manifest.json").read_text())["division"]
    assert division == {
        "split": SPLIT,
        "variants": [
            {"variant": "a", "percent": "45", "languages": ["zh-Hans", "en"]},
            {"variant": "b", "percent": "30", "languages": ["zh-Hans", "pt-PT"]},
        ],
        "language_of": "lang",
        "timezone_of": None,
        "timezone_default": None,
    }
    assert parse(division["split"]) == parse(SPLIT)
    assert BATCH_SIZE == 10
