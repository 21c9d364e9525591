"""A catalog says what a reference to one vendor means; without it nobody else evaluates the reference."""

import polars as pl
import pytest

from audience import CatalogError, DeviceIndex, ExpressionError, Not, Reference, plan, render
from audience.language.ast import bare
from audience.planning.catalog.loader import parse_catalog

ACTIVE_USERS = Reference("onesignal", "segment", "Active Users")
REFERENCE_CATALOG = parse_catalog('[references.onesignal]\n"Active Users" = "active >= 2020-04-01"')


def test_reference_without_meaning_is_refused_elsewhere():
    planned = plan(ACTIVE_USERS & bare("vip"), "tpns")
    assert planned.native == ()
    assert [problem.code for problem in planned.reasons] == ["only-at-vendor"]
    assert '[references.onesignal] "Active Users" = ' in str(planned.reasons[0].hint)


def test_reference_is_replaced_by_its_meaning_at_other_vendors():
    planned = plan(Not(ACTIVE_USERS) & bare("vip"), "tpns", catalog=REFERENCE_CATALOG)
    assert render(planned.by_ids) == "NOT active >= 2020-04-01 AND vip"
    assert "reference-meaning" in [problem.code for problem in planned.assumptions]


def test_reference_without_meaning_is_refused_by_index(tmp_path):
    index = DeviceIndex.build(pl.DataFrame({"registration_id": ["r1"], "tags": [["vip"]]}), tmp_path / "index")
    with pytest.raises(ExpressionError) as caught:
        index.count(ACTIVE_USERS)
    assert caught.value.code == "only-at-vendor"


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ('[references.onesignal]\n"a" = "vip AND"', "missing-operand", 2),
        ("[references.onesignal]\n\na = 3", "wrong-type", 3),
        ('[references.onesignal]\na = "reference(x, y, z)"', "bad-reference", 2),
        ('[references]\nonesignal = "vip"', "wrong-type", 2),
    ],
)
def test_wrong_meaning_is_rejected_with_its_line(text, code, line):
    with pytest.raises(CatalogError) as caught:
        parse_catalog(text)
    [problem] = caught.value.problems
    assert (problem.code, problem.message.split(":")[0]) == (code, f"line {line}")
