"""Umeng U-Push: a type of cast, and for groupcast a filter, a tree of AND, OR and NOT under a top AND.

https://dev.umeng.com/push/android/api-doc: the page itself could not be read. What is written here comes from copies in
public repositories, one of about 2018 and one of 2025, read 2026-11-29, and from comments of clients that quote it.
"""

from pathlib import Path

from audience.language.ast import Between, Compare, Reference, Within
from audience.language.attribute_names import UNTYPED
from audience.vendors.spec import TAGS_AND_IDS, Vendor
from audience.vendors.umeng.calls import DELIVERY
from audience.vendors.umeng.targeting import (
    FORBIDDEN_ID_CHARS,
    KEYS_BY_TYPE,
    LIMITS,
    PAGE,
    SHAPE,
    TYPES_BY_KEY,
    VALUE_NAMES,
    assumptions,
    emit,
    parse,
    tag_problems,
    target_ids,
    view_atom,
)

VENDOR = Vendor(
    name="umeng",
    title="Umeng U-Push",
    docs_url=PAGE,
    docs_read_on="2026-11-29",
    fragment="any AND, OR and NOT of tags and active since DAY; or device tokens, or aliases of one type, alone",
    limits=LIMITS,
    id_columns=("umeng",),
    shape=SHAPE,
    supported=TAGS_AND_IDS | {Compare, Between, Within, Reference},
    value_names=VALUE_NAMES,
    undocumented_nots=frozenset(KEYS_BY_TYPE) - {UNTYPED},
    tag_problems=tag_problems,
    assumptions=assumptions,
    parse=parse,
    emit=emit,
    view=view_atom,
    target_ids=target_ids,
    max_ids=500,
    max_id_length=LIMITS["token_characters"].maximum,
    forbidden_id_chars=FORBIDDEN_ID_CHARS,
    delivery=DELIVERY,
    sandbox="audience.sandbox.vendors.umeng",
    problem_codes=Path(__file__).with_name("problem_codes.toml"),
    type_aliases=TYPES_BY_KEY,
    builtins={type_: key for type_, key in KEYS_BY_TYPE.items() if type_ != UNTYPED} | {"active": "launch_from"},
)
