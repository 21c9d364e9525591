"""Huawei Push Kit v1: tokens of Android and iOS apps, and conditions of topics, which reach Android apps only.

Its devices have HMS Core on Android, or HarmonyOS up to 4. Those with HarmonyOS 5 and later have other tokens and
another interface, v3, with signed keys and bodies of another form: it is not sent to here.

Source: https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197 as of August
2025, of which a copy in a public repository was read, and the vendor's own client, the Python package hpa.
"""

from audience.vendors.huawei.calls import DELIVERY
from audience.vendors.huawei.targeting import DIALECT, LIMITS, PAGE, assumptions, emit, parse, tag_problems, target_ids
from audience.vendors.spec import COMPARISONS, TAGS_AND_IDS, Vendor

VENDOR = Vendor(
    name="huawei",
    title="Huawei Push Kit (v1)",
    docs_url=PAGE,
    docs_read_on="2026-11-29",
    fragment="any AND, OR and NOT of ≤ 5 topics, NOT beside a topic; or tokens, alone; no broadcast",
    limits=LIMITS,
    id_columns=("huawei", "hms"),
    shape=DIALECT.shape,
    supported=TAGS_AND_IDS,
    explained=COMPARISONS,
    tag_problems=tag_problems,
    assumptions=assumptions,
    parse=parse,
    emit=emit,
    target_ids=target_ids,
    max_ids=1_000,
    delivery=DELIVERY,
    sandbox="audience.sandbox.vendors.huawei",
)
