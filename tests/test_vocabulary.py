"""Values of the attributes that vendors keep by themselves keep their meaning on the way from one vendor to another."""

import pytest

from audience import DeviceIndex, get_vendor, parse, plan, render, translate
from audience.language.vocabulary import PROVINCES
from audience.planning.catalog.loader import parse_catalog


@pytest.mark.parametrize(("pinyin", "chinese"), PROVINCES.items())
def test_province_is_translated_in_both_directions(pinyin, chinese):
    [tpns] = plan(f"province:{pinyin}", "tpns").native
    [umeng] = translate(tpns, "tpns", "umeng").native
    assert umeng["filter"] == {"where": {"and": [{"province": chinese}]}}
    assert translate(umeng, "umeng", "tpns").native == (tpns,)
    assert plan(f"province:{chinese}", "tpns").native == (tpns,)


def test_word_that_no_page_documents_is_an_assumption():
    payload = {"type": "groupcast", "filter": {"where": {"and": [{"country": "中国"}, {"province": "海外"}]}}}
    assumptions = {problem.code: problem.message for problem in translate(payload, "umeng", "tpns").assumptions}
    assert "country:中国, province:海外" in assumptions["builtin-values"]


def test_documented_words_are_no_assumption():
    codes = [problem.code for problem in plan("province:beijing AND country:cn AND language:ZH", "tpns").assumptions]
    assert codes == ["builtin"]


PROVINCE_TABLE = {"registration_id": ["r1", "r2", "r3"], "province": ["北京", "天津", "北京"]}


def build_index(tmp_path):
    import polars as pl

    return DeviceIndex.build(pl.DataFrame(PROVINCE_TABLE), tmp_path / "index")


def test_values_of_a_table_are_sent_by_ids_unless_the_catalog_lists_them(tmp_path):
    index = build_index(tmp_path)
    open_catalog = parse_catalog('[province]\nbuiltin = ["tpns"]')
    by_ids = plan("province:北京", "tpns", index, open_catalog)
    assert (by_ids.native, render(by_ids.by_ids)) == ((), "province:北京")
    closed_catalog = parse_catalog('[province]\nvalues = ["北京", "天津"]\nbuiltin = ["tpns"]')
    [payload] = plan("province:北京", "tpns", index, closed_catalog).native
    assert get_vendor("tpns").parse(payload) == parse("province:beijing")


def test_names_of_a_catalog_may_be_the_words_of_the_vendor(tmp_path):
    index = build_index(tmp_path)
    catalog = parse_catalog('[province]\nnames.umeng = { "北京" = "province.北京", "天津" = "province.天津" }')
    [payload] = plan("province:北京", "umeng", index, catalog).native
    assert payload["filter"] == {"where": {"and": [{"province": "北京"}]}}
