"""What a union of stored bitmaps takes is estimated from the containers that they share, and the rows in these."""

from itertools import pairwise
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from audience.index.query.tag_costs import MAX_MERGED_ROWS, _estimate_union, estimate_costs
from audience.index.query.tag_questions import _order_chain
from audience.index.query.tag_trees import IntersectionTree, TagTree, UnionTree, _add_weights, count_factor
from audience.index.storage.bitmap_forms import BitmapForm
from audience.index.storage.bitmaps import CONTAINER_ROWS, MAX_ARRAY_CARDINALITY, BitMap, RowSet
from audience.index.storage.shard import Operand

CONTAINERS = 16
COUNTS = st.lists(st.integers(1, CONTAINERS), min_size=3, max_size=8)


def make_arrays(containers, rows):
    return BitmapForm(containers * rows, containers, 0, 0, containers * rows, 0, 0, 2 * containers * rows)


def make_words(containers):
    rows = 20_000 * containers
    return BitmapForm(rows, 0, containers, 0, 0, 0, 0, 8_192 * containers)


def estimate(*forms):
    return _estimate_union(forms, CONTAINERS)


@given(COUNTS, st.integers(1, MAX_ARRAY_CARDINALITY))
def test_containers_of_one_operand_alone_take_nothing_more(counts, rows):
    forms = [make_arrays(count, rows) for count in counts]
    assert _estimate_union(forms, sum(counts)) == 0
    assert _estimate_union(forms, max(sum(counts) - 1, 1)) > 0


@given(st.integers(1, MAX_MERGED_ROWS // 8), st.integers(3, 7))
def test_more_rows_and_operands_take_longer_while_arrays_are_merged(rows, count):
    cost = estimate(*[make_arrays(CONTAINERS, rows)] * count)
    assert 0 < cost < estimate(*[make_arrays(CONTAINERS, rows + 1)] * count)
    assert cost < estimate(*[make_arrays(CONTAINERS, rows)] * (count + 1))


def test_bits_are_set_for_many_rows_faster_than_arrays_are_merged():
    merged, set_bits = (estimate(*[make_arrays(CONTAINERS, rows)] * 4) for rows in (MAX_MERGED_ROWS // 4, 400))
    assert set_bits < merged
    large = MAX_ARRAY_CARDINALITY // 4
    assert estimate(*[make_arrays(CONTAINERS, large + 1)] * 4) < estimate(*[make_arrays(CONTAINERS, large)] * 4)


@given(st.integers(1, 1_000))
def test_words_of_an_operand_are_neither_merged_nor_made_an_array(rows):
    arrays = [make_arrays(CONTAINERS, rows)] * 3
    assert estimate(make_words(CONTAINERS), *arrays) < estimate(*arrays, make_arrays(CONTAINERS, 1))


def test_tags_that_no_device_has_take_nothing():
    assert estimate() == estimate(make_arrays(0, 0)) == 0


def estimate_tree(tree, *forms):
    """Return the estimated times to find the rows of *tree* and to count them."""
    operands = [Operand(RowSet(BitMap()), number, form.cost, form.rows) for number, form in enumerate(forms)]
    shard = SimpleNamespace(row_count=CONTAINERS * CONTAINER_ROWS, load_form=forms.__getitem__)
    weights = [0.0] * len(forms)
    _add_weights(tree, count_factor(tree) - 1, weights)
    tags = tuple(("", f"{number}") for number in range(len(forms)))
    tag_tree = TagTree(tree, False, tags, tuple(weights))
    return estimate_costs(tag_tree, operands, _order_chain(tree, operands, shard), shard)


SOME, RARE = make_arrays(CONTAINERS, 600), make_arrays(CONTAINERS, 60)


def test_a_union_of_three_takes_longer_than_to_read_its_bitmaps():
    found, counted = estimate_tree(UnionTree((0, 1, 2)), SOME, SOME, SOME)
    assert found > counted > 3 * SOME.cost + estimate(SOME, SOME, SOME) / 2
    _, counted = estimate_tree(UnionTree((0, 1)), SOME, SOME)
    assert counted < 2 * SOME.cost  # as an intersection, without a bitmap


def test_a_union_within_an_intersection_takes_as_long():
    _, counted = estimate_tree(IntersectionTree((0, UnionTree((1, 2, 3))), ()), SOME, SOME, SOME, SOME)
    assert counted > 4 * SOME.cost + estimate(SOME, SOME, SOME)


def test_each_rare_tag_takes_longer_to_unite_than_the_one_before():
    costs = [estimate_tree(UnionTree(tuple(range(count))), *[RARE] * count)[1] for count in range(3, 9)]
    added = [after - before for before, after in pairwise(costs)]
    assert added == sorted(added) and added[0] < added[-1]
