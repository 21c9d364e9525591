"""Selectors of what only Airship knows: each is a reference that goes back to Airship unchanged."""

import json
from collections.abc import Callable, Iterator

from audience.errors import PayloadError, Problem
from audience.language.ast import Expr, Reference, any_of
from audience.language.printer import render
from audience.vendors.airship.names import LIMITS
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.spec import Payload

NAME_KINDS = ("segment", "static_list", "subscription_list", "sms_sender", "device_token", "apid", "wns")
JSON_KINDS = ("sms_id", "location")  # the value of the key is an object
SELECTOR_KINDS = ("attribute", "activity")  # the whole selector describes the devices
ALONE_KINDS = ("bulk_id", "create_and_send")  # never a part of AND, OR and NOT
PIPELINE_KIND, PIPELINE_WORD = "audience", "triggered"
KINDS_BY_KEY = {
    **{kind: kind for kind in (*NAME_KINDS, *JSON_KINDS, *ALONE_KINDS)},
    "subscription_lists": "subscription_list",  # as Airship's Python client writes it
}
ALONE_HINT = "send it in a request of its own"


def parse_reference(key: str, value: PayloadCursor) -> Expr:
    """Return the reference of the selector *key*; each of several names is a reference of its own.

    >>> from audience.language.printer import render
    >>> render(parse_reference("subscription_lists", PayloadCursor(["news", "offers"])))
    'reference(airship, subscription_list, news) OR reference(airship, subscription_list, offers)'
    """
    kind = KINDS_BY_KEY[key]
    if kind in JSON_KINDS or kind == "create_and_send":
        if not value.value:
            value.fail("empty-target", "expected an address or a place, found none")
        return Reference("airship", kind, value.json_text())
    names = value.one_or_many()
    value.check_limit(LIMITS["names"], len(names), "names", "join several lists by OR")
    return any_of(Reference("airship", kind, name) for name in names)


def emit_reference(reference: Reference) -> Payload | str:
    """Return the selector of *reference*, for which there are no problems."""
    if reference.kind == PIPELINE_KIND:
        return PIPELINE_WORD
    selector = _build_selector(reference)
    assert selector is not None, f"checked by reference_problems: {reference!r}"
    return selector


def _build_selector(reference: Reference) -> Payload | None:
    """Return the selector of a reference; None if its kind is unknown or its JSON is not an object."""
    kind = reference.kind
    if kind in NAME_KINDS or kind == "bulk_id":
        return {kind: reference.value}
    try:
        value = json.loads(reference.value)
    except (ValueError, RecursionError):
        return None
    if kind in SELECTOR_KINDS:
        return value if isinstance(value, dict) and kind in value else None
    return {kind: value} if kind in KINDS_BY_KEY else None


def reference_problems(
    reference: Reference, *, is_alone: bool, parse: Callable[[PayloadCursor], Expr]
) -> Iterator[Problem]:
    """Yield the reasons why no selector means *reference*: *parse* must read it from its selector."""
    if reference.kind in (PIPELINE_KIND, *ALONE_KINDS) and not is_alone:
        message = f"{render(reference)}: Airship joins it with nothing else"
        yield Problem("not-combined", message, reference.span, hint=ALONE_HINT)
    if reference == Reference("airship", PIPELINE_KIND, PIPELINE_WORD):
        return
    selector = _build_selector(reference)
    try:
        is_read_back = selector is not None and parse(PayloadCursor(selector)) == reference
    except PayloadError:
        is_read_back = False
    if not is_read_back:
        kinds = ", ".join((*NAME_KINDS, *JSON_KINDS, *SELECTOR_KINDS, *ALONE_KINDS))
        message = f"{render(reference)} is no selector of Airship"
        hint = f"name a selector as a payload has it; its kind is one of {kinds}"
        yield Problem("bad-reference", message, reference.span, hint=hint)
