"""Properties of TPNS payloads and tokens."""

import sys

from hypothesis import given
from strategies import mixed_tag_expr

from audience import Unsupported, get_vendor
from audience.vendors.tpns.limits import TOKEN_WHITESPACE


@given(mixed_tag_expr)
def test_payloads_do_not_depend_on_operator_precedence(expr):
    try:
        rules = get_vendor("tpns").emit(expr).get("tag_rules", [])
    except Unsupported:
        return
    assert len({rule["operator"] for rule in rules}) <= 1
    for rule in rules:
        assert len({item["items_operator"] for item in rule["tag_items"]}) == 1


def test_token_blanks_include_all_unicode_whitespace():
    assert {char for char in map(chr, range(sys.maxunicode + 1)) if char.isspace()} < {*TOKEN_WHITESPACE}
