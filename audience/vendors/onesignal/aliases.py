"""OneSignal's aliases: users by an id under a label. `external_id` is the customer's own id of the user.

Only OneSignal knows the users of another label, so it is a reference.
"""

import json
import re
from collections.abc import Iterator

from audience.errors import PayloadError, Problem
from audience.language.ast import Expr, Ids, Reference
from audience.language.printer import render
from audience.language.suggest import did_you_mean
from audience.vendors.payload_reader import PayloadCursor, dump_json
from audience.vendors.spec import Payload, Unsupported, VendorLimit

PAGE = "https://documentation.onesignal.com/reference/create-notification"
ALIASES = "aliases"  # kind of the references to users by another label
EXTERNAL_ID = "external_id"
MAX_USERS = VendorLimit(20_000, PAGE)
SPELLINGS_OF_EXTERNAL_ID = ("externalid", "externaluserid", "externaluser", "userexternalid")


def parse_aliases(labels: PayloadCursor, request: PayloadCursor) -> Expr:
    """Parse the users of `include_aliases`."""
    names = list(labels.object())
    if "target_channel" not in request:
        request.fail("missing-key", "missing key 'target_channel'", 'write "target_channel": "push"')
    if not names:
        labels.fail("empty-target", "an empty object matches no device", 'write {"external_id": ["…"]}')
    for label in names:
        if label != EXTERNAL_ID and re.sub("[^a-z]", "", label.lower()).rstrip("s") in SPELLINGS_OF_EXTERNAL_ID:
            labels[label].fail("unknown-key", f"unknown label {label!r}", did_you_mean(label, [EXTERNAL_ID]))
        if isinstance(labels[label].value, str):
            labels[label].fail("wrong-type", "expected a list, found a string", f'write ["{labels[label].value}"]')
        ids = labels[label].ids(MAX_USERS, "users")
    if names == [EXTERNAL_ID]:
        return Ids("alias", tuple(ids))
    return Reference("onesignal", ALIASES, dump_json({label: labels[label].value for label in names}))


def emit_aliases(reference: Reference) -> Payload:
    """Return the request for the users that *reference* names, or raise Unsupported.

    >>> emit_aliases(Reference("onesignal", "aliases", '{"crm":["7"]}'))
    {'include_aliases': {'crm': ['7']}, 'target_channel': 'push'}
    """
    if problems := list(_reference_problems(reference)):
        raise Unsupported(problems)
    return {"include_aliases": json.loads(reference.value), "target_channel": "push"}


def _reference_problems(reference: Reference) -> Iterator[Problem]:
    """Yield why *reference* is not one that is read from a payload."""
    try:
        labels = json.loads(reference.value)
        request = PayloadCursor({"include_aliases": labels, "target_channel": "push"})
        if parse_aliases(request["include_aliases"], request) == reference:
            return
    except (ValueError, PayloadError):
        pass
    message = f"{render(reference)!r} does not name users by a label of OneSignal"
    yield Problem("bad-reference", message, reference.span, hint='write it like {"onesignal_id":["…"]}')
