"""Braze: a connected audience, filters joined by AND and OR; or users by external ids, aliases or a segment, alone.

https://www.braze.com/docs/api/objects_filters/connected_audience, read 2026-11-21.
"""

from audience.language.ast import Between, Compare, Has, Ids, Matches, Reference, Tag
from audience.vendors.braze.calls import DELIVERY
from audience.vendors.braze.names import BUILTIN_KEYS, LIMITS, MAX_USERS, PAGE
from audience.vendors.braze.targeting import (
    SHAPE,
    assumptions,
    emit,
    parse,
    restate,
    tag_problems,
    target_ids,
    view_atom,
)
from audience.vendors.spec import Vendor

VENDOR = Vendor(
    name="braze",
    title="Braze",
    docs_url=PAGE,
    docs_read_on="2026-11-30",
    fragment="filters of custom attributes, subscriptions and last use, nested in AND and OR; or user ids, alone",
    limits=LIMITS,
    id_columns=("braze", "external_user_id"),
    shape=SHAPE,
    supported=frozenset({Tag, Ids, Compare, Between, Has, Matches, Reference}),
    tag_problems=tag_problems,
    assumptions=assumptions,
    parse=parse,
    emit=emit,
    view=view_atom,
    restate=restate,
    target_ids=target_ids,
    max_ids=MAX_USERS,
    has_typed_tags=True,
    builtins=BUILTIN_KEYS,
    delivery=DELIVERY,
    sandbox="audience.sandbox.vendors.braze",
)
