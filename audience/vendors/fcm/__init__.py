"""Firebase Cloud Messaging: conditions of at most five topics, or tokens. Topics serve as tags.

https://firebase.google.com/docs/cloud-messaging/send-topic-messages: only the beginning of the page was readable, on
2026-11-21. Its rules for conditions come from quotations of it, the rest from Firebase's own clients and samples, and
from the discovery document of the API.
"""

from audience.language.ast import Reference
from audience.vendors.fcm.calls import DELIVERY
from audience.vendors.fcm.targeting import (
    DIALECT,
    LIMITS,
    PAGE,
    assumptions,
    emit,
    parse,
    tag_problems,
    target_ids,
)
from audience.vendors.fcm.topics import TAGS
from audience.vendors.spec import COMPARISONS, TAGS_AND_IDS, Vendor

VENDOR = Vendor(
    name="fcm",
    title="Firebase Cloud Messaging (HTTP v1)",
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    fragment="any AND, OR and NOT of ≤ 5 topics, NOT beside a topic that bounds it; or tokens, alone; no broadcast",
    limits=LIMITS,
    id_columns=("fcm", "registration_token"),
    shape=DIALECT.shape,
    supported=TAGS_AND_IDS | {Reference},
    explained=COMPARISONS,
    tag_problems=tag_problems,
    assumptions=assumptions,
    parse=parse,
    emit=emit,
    target_ids=target_ids,
    max_ids=500,
    delivery=DELIVERY,
    tags=TAGS,
    sandbox="audience.sandbox.vendors.fcm",
)
