"""Tencent TPNS v3: rules of items of tags, three levels, each with an operator and two with a NOT.

https://www.tencentcloud.com/document/product/1024/33764, read 2026-11-21.
"""

from audience.algebra.request_shape import Clauses
from audience.language.attribute_names import TPNS_TYPES
from audience.vendors.spec import Vendor
from audience.vendors.tpns.calls import DELIVERY
from audience.vendors.tpns.id_lists import listing
from audience.vendors.tpns.limits import BLANKS, LIMITS, PAGE
from audience.vendors.tpns.targeting import CLAUSES, conditions, emit, parse, unnamed

VENDOR = Vendor(
    name="tpns",
    title="Tencent Push Notification Service",
    page=PAGE,
    read_on="2026-11-21",
    fragment="rules of items of tags: any AND, OR and NOT of tags; or tokens, or accounts, alone",
    limits=LIMITS,
    known_by=("tpns", "token"),
    shape=Clauses(CLAUSES),
    unnamed=unnamed,
    conditions=conditions,
    parse=parse,
    emit=emit,
    listing=listing,
    batch=1_000,
    id_length=LIMITS["token_characters"].most,
    id_forbids=BLANKS,
    delivery=DELIVERY,
    types=TPNS_TYPES,
    days={"active": "xg_auto_active.{value:%Y%m%d}"},
)
