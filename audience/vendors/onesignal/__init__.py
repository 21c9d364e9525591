"""OneSignal: one flat list of filters, AND before OR and no brackets; or subscription ids, or external ids, alone.

https://documentation.onesignal.com/reference/create-notification, read in parts 2026-11-21.
"""

from audience.algebra.request_shape import FlatDnf
from audience.vendors.onesignal.filters import FIELDS_BY_TYPE, MAX_ENTRIES, count_entries
from audience.vendors.onesignal.targeting import LIMITS, PAGE, assumptions, emit, parse, tag_problems, target_ids
from audience.vendors.spec import COMPARISONS, TAGS_AND_IDS, Vendor

VENDOR = Vendor(
    name="onesignal",
    title="OneSignal",
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    fragment="a union of intersections of tags and NOTs of tags, ≤ 200 entries; or subscription ids, or aliases",
    limits=LIMITS,
    id_columns=("onesignal", "subscription_id"),
    shape=FlatDnf(MAX_ENTRIES, cost=count_entries),
    supported=TAGS_AND_IDS,
    explained=COMPARISONS,
    tag_problems=tag_problems,
    assumptions=assumptions,
    parse=parse,
    emit=emit,
    target_ids=target_ids,
    max_ids=2_000,
    builtins={**FIELDS_BY_TYPE, "platform": "isIos"},
)
