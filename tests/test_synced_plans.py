"""Plans know what a vendor has been told: a native request names only tags that are those of the index."""

import json

import polars as pl
import pytest
from tag_syncs import VendorTags

from audience import DeviceIndex, plan, render
from audience.cli.output.plans import format_plan_details, format_weighed_sync
from audience.delivery.plan_costs import estimate_plan, weigh_stale_plan
from audience.json_forms.costs import costed_plan_json
from audience.json_forms.plans import plan_json
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog

ROWS = [
    {"registration_id": "r0", "tags": ["vip"], "province": "guangdong", "age": 20},
    {"registration_id": "r1", "tags": ["vip", "told"], "province": "hunan", "age": 30},
    {"registration_id": "r2", "tags": ["told"], "province": "guangdong", "age": 40},
    {"registration_id": "r3", "tags": [], "province": None, "age": None},
]
CATALOG = """
[tag]
at = ["engagelab", "tpns"]
[province]
names = { engagelab = "p_{value}", tpns = "p_{value}" }
[age]
order = "number"
names = { engagelab = "age_{value}", tpns = "age_{value}" }
"""


def load(text: str = CATALOG):
    return validate_catalog(parse_catalog(text))


def codes(problems) -> list[str]:
    return [problem.code for problem in problems]


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    """Four devices."""
    return DeviceIndex.build(pl.DataFrame(ROWS, infer_schema_length=9), tmp_path / "devices.index")


def test_attribute_that_was_never_synced_is_native_by_the_word_of_the_catalog(index):
    planned = plan("vip AND NOT told", "engagelab", index, load())
    assert (len(planned.native), planned.synced, planned.stale) == (1, (), ())
    assert codes(planned.assumptions) == []


def test_fresh_attribute_is_native_with_its_sync(index):
    VendorTags("engagelab").sync(index, load(), ["vip", "told"])
    planned = plan("vip AND NOT told", "engagelab", index, load())
    assert [(str(each.group), each.sync.snapshot) for each in planned.synced] == [("vip", 1), ("told", 1)]
    assert codes(planned.assumptions) == ["vendor-devices"]


def test_changed_attribute_goes_by_ids_and_others_stay_native(index):
    vendor = VendorTags("engagelab")
    vendor.sync(index, load())
    index.update(pl.DataFrame([{"registration_id": "r3", "province": "hunan"}]))
    planned = plan("province:hunan", "engagelab", index, load())
    assert (planned.native, codes(planned.reasons)) == ((), ["stale-at-vendor"])
    assert "1 device changed since the sync to snapshot 1" in planned.reasons[0].message
    assert len(plan("vip", "engagelab", index, load()).native) == 1


SWAPPED = '[tag.names]\nengagelab = { vip = "told", told = "vip" }'
REASONS = {
    "another device has it": "1 device changed since the sync to snapshot 1",
    "a sync has begun": "a sync has begun and not ended",
    "pushes do not follow yet": "pushes may follow older tags until ",
    "the catalog has other names": "the catalog has other names for it than at the sync to snapshot 1",
    "another application has it": "it was synced for another application only",
    "its name is that of another tag": "a sync has set 'told' for told",
}


def make_stale(case: str, index: DeviceIndex) -> tuple[str, str]:
    """Make vip stale at the vendor; return the text of the catalog and the vendor's name for vip."""
    vendor, other = VendorTags("engagelab"), VendorTags("engagelab", "b" * 64)
    match case:
        case "another device has it":
            vendor.sync(index, load(), ["vip"])
            index.tag(["r3"], add=["vip"])
        case "a sync has begun":
            vendor.sync(index, load(), ["vip"])
            vendor.sync(index, load(), ["vip"], ends=False)
        case "pushes do not follow yet":
            vendor.sync(index, load(), ["vip"], effective_in=600)
        case "the catalog has other names":
            vendor.sync(index, load(), ["vip"])
            return SWAPPED, "told"
        case "another application has it":
            other.sync(index, load(), ["vip"])
            vendor.sync(index, load(), ["told"])
        case "its name is that of another tag":
            vendor.sync(index, load(), ["told"])
            return SWAPPED, "told"
    return CATALOG, "vip"


@pytest.mark.parametrize("case", REASONS)
@pytest.mark.parametrize(
    "expr", ["vip", "vip AND NOT told", "told AND NOT vip", "at least 2 of (vip, told, province:hunan)"]
)
def test_stale_tag_is_never_named_natively(case, expr, index):
    catalog, name = make_stale(case, index)
    planned = plan(expr, "engagelab", index, load(catalog))
    if case == "another application has it":  # each of two applications has one of the two tags
        assert planned.by_ids is not None or {each.application.digest for each in planned.synced} == {"b" * 64}
    else:
        assert not any(f'"{name}"' in json.dumps(native) for native in planned.native)
        messages = [reason.message for reason in planned.reasons if reason.code == "stale-at-vendor"]
        assert any(REASONS[case] in message for message in messages), messages
        assert "vip" in [str(stale.group) for stale in planned.stale]


def test_other_values_of_a_changed_attribute_go_by_ids_too(index):
    VendorTags("engagelab").sync(index, load(), ["province"])
    index.update(pl.DataFrame([{"registration_id": "r3", "province": "hunan"}]))
    assert codes(plan("province:guangdong", "engagelab", index, load()).reasons) == ["stale-at-vendor"]


def test_number_has_the_name_of_the_value_as_the_index_spells_it(index):
    for _ in range(2):  # before a sync, and after it
        (native,) = plan("age:30.0", "jpush", index, load(CATALOG.replace("tpns", "jpush"))).native
        assert native == {"audience": {"tag": ["age_30"]}}
        VendorTags("jpush").sync(index, load(CATALOG.replace("tpns", "jpush")), ["age"])


def test_values_of_the_index_in_place_of_a_comparison_are_native_while_fresh(index):
    VendorTags("engagelab").sync(index, load(), ["age"])
    assert len(plan("age > 20 AND age < 50", "engagelab", index, load()).native) > 0
    index.update(pl.DataFrame([{"registration_id": "r0", "age": 21}]))
    assert plan("age > 20 AND age < 50", "engagelab", index, load()).native == ()


def test_change_of_another_attribute_leaves_a_plan_native(index):
    VendorTags("engagelab").sync(index, load())
    index.update(pl.DataFrame([{"registration_id": "r0", "age": 21}]))
    planned = plan("vip AND province:guangdong", "engagelab", index, load())
    assert (len(planned.native), [each.sync.snapshot for each in planned.synced]) == (1, [1, 1])


def test_stale_part_goes_by_ids_and_fresh_part_natively(index):
    VendorTags("engagelab").sync(index, load())
    index.tag(["r3"], add=["told"])
    planned = plan("vip OR told", "engagelab", index, load())
    assert [render(expr) for expr in planned.request_exprs] == ["vip"]
    assert (render(planned.by_ids), [str(each.group) for each in planned.stale]) == ("NOT vip AND told", ["told"])


def test_vouching_for_stale_tags_is_an_assumption_and_binds_no_application(index):
    VendorTags("engagelab").sync(index, load(), ["vip"])
    index.tag(["r3"], add=["vip"])
    planned = plan("vip", "engagelab", index, load(), vendor_has=["tag"])
    assert (len(planned.native), planned.synced, codes(planned.assumptions)) == (1, (), ["vendor-has"])
    assert plan("vip", "engagelab", index, load(), vendor_has=["province"]).native == ()


def test_read_tags_lift_the_assumption_about_other_devices(index):
    VendorTags("engagelab").sync(index, load(), ["vip"], is_read=True)
    assert plan("vip", "engagelab", index, load()).assumptions == ()


def test_devices_of_a_value_that_the_index_has_not_were_not_counted(index):
    VendorTags("engagelab").sync(index, load(), ["province"], is_read=True)
    assert plan("province:guangdong", "engagelab", index, load()).assumptions == ()
    for text in ("province:yunnan", "province:guangdong OR province:yunnan", "province:yunnan OR province:guangdong"):
        assert codes(plan(text, "engagelab", index, load()).assumptions) == ["vendor-devices"]


def test_unknown_ids_are_an_assumption(index):
    VendorTags("engagelab", unknown=frozenset({"r0"})).sync(index, load(), ["vip"])
    planned = plan("vip", "engagelab", index, load())
    assert codes(planned.assumptions) == ["vendor-devices", "unknown-at-sync"]
    assert "still does not know 1 id" in planned.assumptions[1].message


def test_strict_plan_takes_no_sync_for_granted(index):
    VendorTags("engagelab").sync(index, load(), ["vip"])
    assert codes(plan("vip", "engagelab", index, load(), strict=True).reasons) == ["vendor-devices"]


def test_plan_holds_at_all_applications_that_have_its_tags(index):
    first, second = VendorTags("engagelab"), VendorTags("engagelab", "b" * 64)
    first.sync(index, load(), ["vip", "told"])
    second.sync(index, load(), ["vip"])
    assert {each.application.digest[0] for each in plan("vip", "engagelab", index, load()).synced} == {"a", "b"}
    both = plan("vip AND told", "engagelab", index, load())
    assert {each.application.digest[0] for each in both.synced} == {"a"}


def test_versions_of_a_vendor_share_their_syncs(index):
    text = CATALOG.replace("engagelab", "emas")
    VendorTags("emas").sync(index, load(text), ["vip"])
    assert len(plan("vip", "emas_v2", index, load(text)).synced) == 1


def test_dropped_tags_are_stale_while_the_vendor_has_them(index):
    VendorTags("engagelab").sync(index, load(), ["vip"])
    index.remove(["r0", "r1"])
    assert codes(plan("NOT vip AND told", "engagelab", index, load()).reasons) == ["stale-at-vendor"]


def test_index_that_was_built_again_with_the_same_devices_stays_native(index, tmp_path):
    VendorTags("engagelab").sync(index, load(), ["vip"])
    table = pl.DataFrame(ROWS, infer_schema_length=9)
    built = DeviceIndex.build(table.reverse(), tmp_path / "devices.index", replace=True)
    assert len(plan("vip", "engagelab", built, load()).synced) == 1


def test_versions_with_ids_of_their_own_compare_them(tmp_path):
    rows = [{"old": "e0", "new": "f0", "tags": ["vip"]}, {"old": "e1", "new": "f1", "tags": []}]
    columns = {"emas": "old", "emas_v2": "new"}
    index = DeviceIndex.build(pl.DataFrame(rows), tmp_path / "two.index", tokens=columns)
    text = '[tag]\nat = ["emas"]'
    VendorTags("emas").sync(index, load(text), ["vip"])
    assert codes(plan("vip", "emas_v2", index, load(text)).reasons) == ["stale-at-vendor"]


def test_devices_without_the_key_of_the_tags_go_by_ids(tmp_path):
    rows = [{"id": "e0", "alias": "a0", "tags": ["vip"]}, {"id": "e1", "alias": None, "tags": ["told"]}]
    index = DeviceIndex.build(pl.DataFrame(rows), tmp_path / "aliases.index", tokens={"emas": "id"})
    text = '[tag]\nat = ["emas"]'
    VendorTags("emas", key_type="alias").sync(index, load(text), ["vip", "told"])
    assert len(plan("vip", "emas", index, load(text)).native) == 1
    [reason] = plan("told", "emas", index, load(text)).reasons
    assert "1 device with it without the alias to which" in reason.message


def test_sync_is_weighed_against_ids(index):
    VendorTags("engagelab").sync(index, load(), ["vip"])
    index.tag(["r3"], add=["vip"])
    planned = plan("vip", "engagelab", index, load())
    costs = estimate_plan(planned, index)
    weighed = weigh_stale_plan(planned, costs, index, load())
    assert (weighed.sync.attributes, weighed.sync.calls, weighed.sync.min_calls) == (("vip",), 1, 1)
    assert (weighed.calls, weighed.calls_now, weighed.is_cheaper) == (2, 1, False)
    assert "a sync of vip (1 call) and the requests after it: 2 calls" in format_weighed_sync(weighed)
    assert format_weighed_sync(weighed).endswith("Cheaper: send by ids")
    form = costed_plan_json(planned, costs, weighed)["sync"]
    assert form is not None
    assert form["total_calls"] == 2


def test_sync_before_many_ids_is_cheaper(tmp_path):
    count = 30_000
    ids = [f"{number:032x}" for number in range(count)]
    table = pl.DataFrame({"registration_id": ids, "tags": [["vip"]] * count, "age": [1] * count})
    index = DeviceIndex.build(table, tmp_path / "many.index")
    VendorTags("engagelab").sync(index, load(), ["vip"])
    index.tag(ids[:1], remove=["vip"])
    planned = plan("vip", "engagelab", index, load())
    weighed = weigh_stale_plan(planned, estimate_plan(planned, index), index, load())
    assert (weighed.sync.calls, weighed.calls, weighed.is_cheaper) == (1, 2, True)


def test_plan_says_to_wait_while_pushes_follow_older_tags(index):
    catalog = load('[tag]\nat = ["emas"]')
    application = VendorTags("emas")
    application.sync(index, catalog, ["vip"], effective_in=600)
    planned = plan("vip", "emas", index, catalog)
    [reason] = planned.reasons
    assert "wait until then" in str(reason.hint)
    assert "audience sync" not in str(reason.hint)
    assert weigh_stale_plan(planned, estimate_plan(planned, index), index, catalog) is None
    index.tag(["r3"], add=["vip"])  # now a sync helps, and pushes follow it ten minutes later
    planned = plan("vip", "emas", index, catalog)
    [reason] = planned.reasons
    assert "1 device changed" in reason.message
    weighed = weigh_stale_plan(planned, estimate_plan(planned, index), index, catalog)
    assert (weighed.sync.delay, weighed.is_cheaper) == (600, False)
    assert weighed.seconds >= 600


def test_nothing_is_weighed_if_nothing_is_stale(index):
    planned = plan("vip", "engagelab", index, load())
    assert weigh_stale_plan(planned, estimate_plan(planned, index), index, load()) is None
    assert plan_json(planned)["stale"] == []


def test_json_names_sync_and_stale_tags(index):
    VendorTags("engagelab").sync(index, load(), ["vip", "told"])
    index.tag(["r3"], add=["told"])
    form = plan_json(plan("vip OR told", "engagelab", index, load()))
    [sync], [stale] = form["synced"], form["stale"]
    assert (sync["attribute"], sync["snapshot"], sync["is_read"], stale["attribute"]) == ("vip", 1, False, "told")
    assert "synced     vip to snapshot 1, " in format_plan_details(plan("vip", "engagelab", index, load()))
    assert "synced" in plan("vip", "engagelab", index, load())._repr_html_()
