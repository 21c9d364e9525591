"""Getui, RestAPI v2: conditions of four keys, joined by AND; each asks for any, all or none of its values. Or ids.

Sources: https://docs.getui.com/getui/server/rest_v2/push, of which the beginning was readable in a copy; for what
follows the comments of clients that quote the page, GetuiLaboratory/getui-pushapi-java-client-v2, the vendor's own,
and pinzi/GeTui-PushApi-NetCoreSDK-V2; and
https://github.com/dcloudio/unidocs-zh/tree/HEAD/docs/uniCloud/uni-cloud-push, the documents of a service that Getui is
behind.
"""

from pathlib import Path

from audience.language.attribute_names import UNTYPED
from audience.vendors.getui.calls import DELIVERY
from audience.vendors.getui.tags import TAGS
from audience.vendors.getui.targeting import (
    LIMITS,
    PAGE,
    PLATFORMS,
    SHAPE,
    TYPES_BY_KEY,
    assumptions,
    emit,
    parse,
    tag_problems,
    target_ids,
)
from audience.vendors.spec import COMPARISONS, TAGS_AND_IDS, Vendor

VENDOR = Vendor(
    name="getui",
    title="Getui",
    docs_url=PAGE,
    docs_read_on="2026-11-29",
    fragment="any, all or none of the values of a key, the keys joined by AND; or cids, or aliases, alone",
    limits=LIMITS,
    id_columns=("getui",),
    shape=SHAPE,
    supported=TAGS_AND_IDS,
    explained=COMPARISONS,
    undocumented_nots=frozenset({"region", "portrait"}),
    platforms=PLATFORMS,
    tag_problems=tag_problems,
    assumptions=assumptions,
    parse=parse,
    emit=emit,
    target_ids=target_ids,
    max_ids=1_000,
    type_aliases=TYPES_BY_KEY,
    builtins={type_: key for key, type_ in TYPES_BY_KEY.items() if type_ != UNTYPED},
    delivery=DELIVERY,
    tags=TAGS,
    sandbox="audience.sandbox.vendors.getui",
    problem_codes=Path(__file__).with_name("problem_codes.toml"),
)
