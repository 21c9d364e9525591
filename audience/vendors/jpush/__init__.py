"""JPush v3: one OR-list, one AND-list and one NOT-list of tags, lists of ids beside them, all joined by AND.

Sources: https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push, of which the beginning was readable on 2026-11-21;
the page as of 2019, in the repository jpush/jpush-docs; what the page of 2025 says of each field, in the comments of
the Go client cavlabs/jiguang-sdk-go; and the vendor's own client, the Python package jpush 3.4.1.
"""

from audience.language.ast import Reference
from audience.vendors.jpush.calls import DELIVERY
from audience.vendors.jpush.tags import TAGS
from audience.vendors.jpush.targeting import (
    DIALECT,
    LIMITS,
    PAGE,
    PLATFORMS,
    assumptions,
    emit,
    parse,
    tag_problems,
    target_ids,
)
from audience.vendors.spec import COMPARISONS, TAGS_AND_IDS, Vendor

VENDOR = Vendor(
    name="jpush",
    title="JPush v3",
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    fragment="any of ≤ 20 tags AND all of ≤ 20 tags AND none of ≤ 20 tags AND any alias AND any registration id",
    limits=LIMITS,
    id_columns=("jpush",),
    shape=DIALECT.shape,
    supported=TAGS_AND_IDS | {Reference},
    explained=COMPARISONS,
    platforms=PLATFORMS,
    tag_problems=tag_problems,
    assumptions=assumptions,
    parse=parse,
    emit=emit,
    target_ids=target_ids,
    max_ids=1_000,
    builtins={"platform": "platform"},
    delivery=DELIVERY,
    tags=TAGS,
    sandbox="audience.sandbox.vendors.jpush",
)
