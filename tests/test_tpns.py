"""What is true of TPNS alone."""

import sys

from hypothesis import given
from strategies import mixed_tag_expr

from audience import Unsaid, vendor
from audience.vendors.tpns.limits import BLANKS


@given(mixed_tag_expr)
def test_payloads_do_not_depend_on_which_operator_binds_tighter(expr):
    try:
        rules = vendor("tpns").emit(expr).get("tag_rules", [])
    except Unsaid:
        return
    assert len({rule["operator"] for rule in rules}) <= 1
    for rule in rules:
        assert len({item["items_operator"] for item in rule["tag_items"]}) == 1


def test_all_white_space_is_known_not_to_be_part_of_a_token():
    assert {char for char in map(chr, range(sys.maxunicode + 1)) if char.isspace()} < {*BLANKS}
