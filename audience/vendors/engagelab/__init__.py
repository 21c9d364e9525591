"""EngageLab AppPush v4: one OR-list, one AND-list and one NOT-list of tags, joined by AND.

https://www.engagelab.com/docs/app-push/rest-api/create-push-api, read 2026-11-21.
"""

from audience.vendors.engagelab.calls import DELIVERY
from audience.vendors.engagelab.targeting import DIALECT, LIMITS, PAGE, conditions, emit, listing, parse, unnamed
from audience.vendors.spec import Vendor

VENDOR = Vendor(
    name="engagelab",
    title="EngageLab AppPush v4",
    page=PAGE,
    read_on="2026-11-21",
    fragment="any of ≤ 20 tags AND all of ≤ 20 tags AND none of ≤ 20 tags AND any alias AND any registration id",
    limits=LIMITS,
    known_by=("engagelab", "registration_id"),
    shape=DIALECT.shape,
    unnamed=unnamed,
    conditions=conditions,
    parse=parse,
    emit=emit,
    listing=listing,
    batch=1_000,
    delivery=DELIVERY,
)
