"""Airship: selectors of tags, attributes and ids in AND, OR and NOT, nested freely, of at most ten children each.

https://docs.airship.com/developer/rest-api/ua/schemas/audience-selection: of the page the beginning was read, and the
specification that it is made from, on 2026-11-28.
"""

from pathlib import Path

from audience.language.ast import Anniversary, Between, Has, Reference
from audience.language.platforms import PLATFORM_TYPE
from audience.vendors.airship.activities import read_count, write_count
from audience.vendors.airship.attributes import view_atom
from audience.vendors.airship.calls import DELIVERY
from audience.vendors.airship.device_types import PLATFORMS
from audience.vendors.airship.names import BUILTIN_KEYS, LIMITS, PAGE
from audience.vendors.airship.tags import TAGS
from audience.vendors.airship.targeting import (
    MAX_SELECTORS,
    SHAPE,
    assumptions,
    emit,
    parse,
    restate,
    tag_problems,
    target_ids,
)
from audience.vendors.spec import COMPARISONS, TAGS_AND_IDS, Vendor, VendorEvents

VENDOR = Vendor(
    name="airship",
    title="Airship",
    docs_url=PAGE,
    docs_read_on="2026-11-28",
    fragment="any AND, OR and NOT of tags, tag groups, attributes, named users and channels, ≤ 1,000 names",
    limits=LIMITS,
    id_columns=("airship", "channel"),
    shape=SHAPE,
    platforms=PLATFORMS,
    supported=TAGS_AND_IDS | COMPARISONS | {Between, Anniversary, Has, Reference},
    tag_problems=tag_problems,
    assumptions=assumptions,
    parse=parse,
    emit=emit,
    view=view_atom,
    restate=restate,
    events=VendorEvents(write_count, read_count),
    target_ids=target_ids,
    max_ids=MAX_SELECTORS,
    max_id_length=36,
    has_typed_tags=True,
    builtins={**BUILTIN_KEYS, PLATFORM_TYPE: "device_types"},
    delivery=DELIVERY,
    tags=TAGS,
    sandbox="audience.sandbox.vendors.airship",
    problem_codes=Path(__file__).with_name("problem_codes.toml"),
)
