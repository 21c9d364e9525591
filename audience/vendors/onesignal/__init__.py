"""OneSignal: one flat list of filters, AND before OR and no brackets; or subscription ids, or external ids, alone.

https://documentation.onesignal.com/reference/create-notification, read in parts 2026-11-21.
"""

from audience.algebra.request_shape import Flat
from audience.vendors.onesignal.filters import ENTRIES, entries_of
from audience.vendors.onesignal.targeting import LIMITS, PAGE, conditions, emit, listing, parse, unnamed
from audience.vendors.spec import Vendor

VENDOR = Vendor(
    name="onesignal",
    title="OneSignal",
    page=PAGE,
    read_on="2026-11-21",
    fragment="a union of intersections of tags and NOTs of tags, ≤ 200 entries; or subscription ids, or aliases",
    limits=LIMITS,
    known_by=("onesignal", "subscription_id"),
    shape=Flat(ENTRIES, takes=entries_of),
    unnamed=unnamed,
    conditions=conditions,
    parse=parse,
    emit=emit,
    listing=listing,
    batch=2_000,
)
