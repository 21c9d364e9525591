"""EngageLab AppPush v4: one OR-list, one AND-list and one NOT-list of tags, joined by AND.

Source: https://www.engagelab.com/docs/app-push/rest-api/create-push-api, read 2026-11-21.
"""

from pathlib import Path

from audience.language.ast import Reference
from audience.vendors.engagelab.calls import DELIVERY
from audience.vendors.engagelab.tags import TAGS
from audience.vendors.engagelab.targeting import (
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
    name="engagelab",
    title="EngageLab AppPush v4",
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    fragment="any of many tags AND all of ≤ 20 tags AND none of ≤ 20 tags AND any alias AND any registration id",
    limits=LIMITS,
    id_columns=("engagelab", "registration_id"),
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
    sandbox="audience.sandbox.vendors.engagelab",
    problem_codes=Path(__file__).with_name("problem_codes.toml"),
)
