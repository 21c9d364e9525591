"""OneSignal: one flat list of filters, AND before OR and no brackets; or segments, subscription ids, or aliases, alone.

https://documentation.onesignal.com/reference/create-notification, read in parts 2026-11-21.
"""

from pathlib import Path

from audience.algebra.request_shape import FlatDnf
from audience.language.ast import Between, Compare, Has, Ids, Reference, Tag, Within
from audience.vendors.onesignal.calls import DELIVERY
from audience.vendors.onesignal.fields import FIELDS_BY_TYPE, MAX_ENTRIES, VALUE_NAMES
from audience.vendors.onesignal.filter_writing import count_entries
from audience.vendors.onesignal.platforms import PLATFORMS
from audience.vendors.onesignal.request_assumptions import assumptions
from audience.vendors.onesignal.request_keys import PAGE
from audience.vendors.onesignal.restating import restate
from audience.vendors.onesignal.tags import TAGS
from audience.vendors.onesignal.targeting import LIMITS, emit, parse, tag_problems, target_ids
from audience.vendors.onesignal.vendor_view import view_atom
from audience.vendors.spec import Vendor

VENDOR = Vendor(
    name="onesignal",
    title="OneSignal",
    value_names=VALUE_NAMES,
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    fragment="a union of intersections of tags, comparisons and NOTs, ≤ 200 entries; or segments, ids or aliases",
    limits=LIMITS,
    id_columns=("onesignal", "subscription_id"),
    shape=FlatDnf(MAX_ENTRIES, cost=count_entries),
    platforms=PLATFORMS,
    supported=frozenset({Tag, Ids, Compare, Between, Has, Reference}),
    explained=frozenset({Within}),
    tag_problems=tag_problems,
    assumptions=assumptions,
    parse=parse,
    emit=emit,
    view=view_atom,
    has_typed_tags=True,
    has_single_values=True,
    restate=restate,
    target_ids=target_ids,
    max_ids=2_000,
    builtins={**FIELDS_BY_TYPE, "platform": "isIos"},
    delivery=DELIVERY,
    tags=TAGS,
    sandbox="audience.sandbox.vendors.onesignal",
    problem_codes=Path(__file__).with_name("problem_codes.toml"),
)
