"""What is true of TPNS alone."""

from hypothesis import given
from strategies import mixed_tag_expr

from audience import Unsaid, vendor


@given(mixed_tag_expr)
def test_payloads_do_not_depend_on_which_operator_binds_tighter(expr):
    try:
        rules = vendor("tpns").emit(expr).get("tag_rules", [])
    except Unsaid:
        return
    assert len({rule["operator"] for rule in rules}) <= 1
    for rule in rules:
        assert len({item["items_operator"] for item in rule["tag_items"]}) == 1
