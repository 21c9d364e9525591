"""Tencent TPNS v3: rules of items of tags, three levels, each with an operator and two with a NOT.

Source: https://www.tencentcloud.com/document/product/1024/33764, read 2026-11-21.
"""

from pathlib import Path

from audience.algebra.request_shape import NormalForm
from audience.language.ast import Compare, Reference, Within
from audience.language.attribute_names import TPNS_TYPES, UNTYPED
from audience.vendors.spec import TAGS_AND_IDS, Vendor
from audience.vendors.tpns.calls import DELIVERY
from audience.vendors.tpns.id_lists import target_ids
from audience.vendors.tpns.limits import LIMITS, PAGE, TOKEN_WHITESPACE, VALUE_NAMES
from audience.vendors.tpns.tags import TAGS
from audience.vendors.tpns.targeting import MAX_CLAUSES, assumptions, emit, parse, tag_problems, view_atom

VENDOR = Vendor(
    name="tpns",
    title="Tencent Push Notification Service",
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    fragment="rules of items of tags: any AND, OR and NOT of tags; or tokens, or accounts, alone",
    limits=LIMITS,
    id_columns=("tpns", "token"),
    shape=NormalForm(MAX_CLAUSES),
    supported=TAGS_AND_IDS | {Within, Reference},
    explained=frozenset({Compare}),
    tag_problems=tag_problems,
    assumptions=assumptions,
    parse=parse,
    emit=emit,
    view=view_atom,
    target_ids=target_ids,
    max_ids=1_000,
    max_id_length=LIMITS["token_characters"].maximum,
    forbidden_id_chars=TOKEN_WHITESPACE,
    delivery=DELIVERY,
    tags=TAGS,
    sandbox="audience.sandbox.vendors.tpns",
    problem_codes=Path(__file__).with_name("problem_codes.toml"),
    type_aliases=TPNS_TYPES,
    builtins={type_: name for name, type_ in TPNS_TYPES.items() if type_ != UNTYPED},
    value_names=VALUE_NAMES,
    date_formats={"active": "xg_auto_active.{value:%Y%m%d}"},
)
