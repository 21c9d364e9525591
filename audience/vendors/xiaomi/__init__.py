"""Xiaomi Push: at most five topics and one operator, or ids. Topics serve as tags.

Sources: https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559 (calls and fields), pId=1560 (error codes),
pId=1656 (numbers of messages) and pId=1696 (hosts abroad), of which only the beginnings were readable, on 2026-11-29;
pId=2314 (templates); and the constants of the server SDK of Xiaomi, as they stand in others' repositories.
"""

from pathlib import Path

from audience.vendors.spec import COMPARISONS, TAGS_AND_IDS, Vendor
from audience.vendors.xiaomi.calls import DELIVERY
from audience.vendors.xiaomi.targeting import (
    FORBIDDEN_ID_CHARS,
    LIMITS,
    MAX_IDS,
    PAGE,
    SHAPE,
    assumptions,
    emit,
    parse,
    tag_problems,
    target_ids,
)
from audience.vendors.xiaomi.topics import TAGS

VENDOR = Vendor(
    name="xiaomi",
    title="Xiaomi Push (Mi Push, v3)",
    docs_url=PAGE,
    docs_read_on="2026-11-29",
    fragment="any of ≤ 5 topics, or all of them, or one without the others; or ids, alone",
    limits=LIMITS,
    id_columns=("xiaomi", "regid"),
    shape=SHAPE,
    supported=TAGS_AND_IDS,
    explained=COMPARISONS,
    tag_problems=tag_problems,
    assumptions=assumptions,
    parse=parse,
    emit=emit,
    target_ids=target_ids,
    max_ids=MAX_IDS,
    forbidden_id_chars=FORBIDDEN_ID_CHARS,
    delivery=DELIVERY,
    tags=TAGS,
    sandbox="audience.sandbox.vendors.xiaomi",
    problem_codes=Path(__file__).with_name("problem_codes.toml"),
)
