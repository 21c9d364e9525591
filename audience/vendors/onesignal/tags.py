"""Tags of OneSignal: `PATCH /apps/{app_id}/users/by/external_id/{id}`, for one user and all of its changes.

Sources: https://documentation.onesignal.com/reference/update-user, for rates
https://documentation.onesignal.com/reference/rate-limits, for keys and values
https://documentation.onesignal.com/docs/en/add-user-data-tags, of version 11.6 of the vendor's description, read
2026-11-29. A tag is a key with one text, and belongs to a user, whose devices share it: a sync binds tags to aliases,
which are OneSignal's `external_id`. A call names up to 100 properties. The pages name no bulk call: files of many users
are imported in the dashboard alone.

The page says that this call removes tags, and not how. An empty text removes one, and keys that a call does not name
stay: so says the page of its predecessor, https://documentation.onesignal.com/reference/edit-tags-with-external-user-id,
and so does the vendor's own client call this interface, `removeTags` in OSPropertiesModel.swift of
https://github.com/OneSignal/OneSignal-iOS-SDK. The page has no answer for a user that OneSignal does not know. The
vendor's other client takes 404 for it: UpdateUserOperationExecutor.kt of
https://github.com/OneSignal/OneSignal-Android-SDK. A 202 comes before the change is made. The old page asks for "60+
seconds" until messages follow; ten minutes are taken here.

How many tags a user may have depends on the plan, and no call returns it. Users are read one a second, too slow for a
sync.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from audience.errors import Problem
from audience.language.attribute_names import own_key
from audience.vendors.delivery_spec import Credentials, InvalidIds, RateLimit, Request, Response, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.onesignal.calls import JSON_HEADERS, RATES_DOCS
from audience.vendors.onesignal.replies import read_error_texts
from audience.vendors.payload_reader import dump_json
from audience.vendors.reply_checks import ContradictoryReply, accept, doubt_contradictions
from audience.vendors.tag_spec import TagCall, TagCallForm, TagSpec, require_grid
from audience.vendors.vendor_limit import VendorLimit

UPDATE_DOCS = "https://documentation.onesignal.com/reference/update-user"
TAGS_DOCS = "https://documentation.onesignal.com/docs/en/add-user-data-tags"
MAX_PROPERTIES = VendorLimit(100, RATES_DOCS)  # of a call, which has all changes of a user
MAX_CHANGES = 10_000  # of each direction; what is bounded are the keys, and a removed key may have had several values
UPDATES = RateLimit("users", 1_000, 1.0, RATES_DOCS)
DELAY = timedelta(minutes=10)
BARE_VALUE = "true"  # of a key whose devices are found by `exists`
REMOVED = ""
RESERVED_KEYS = frozenset(
    "message notification subscription user template app org dynamic_content data_feed journey custom_data".split()
)
SEPARATOR = ":"
CODES = load_codes(Path(__file__).with_name("tag_codes.tsv"))
BY_CODE = {code.code: code for code in CODES}
FORMS = (TagCallForm(name="user", adds=True, removes=True, max_ids=1, max_tags=MAX_CHANGES, source=UPDATE_DOCS),)


def split_name(name: str) -> tuple[str, str]:
    """Return the key and the value of *name*, as `TYPE:VALUE` has them; a bare tag is a key with the value true.

    >>> split_name("vip"), split_name("city:Rome"), split_name("attribute.country:it")
    (('vip', 'true'), ('city', 'Rome'), ('country', 'it'))
    """
    type_, _, value = name.partition(SEPARATOR)
    return (own_key(type_) or type_, value) if type_ and value else (name, BARE_VALUE)


def find_key(name: str) -> str:
    """Return the key of the tag *name*, of which a user has one value."""
    return split_name(name)[0]


def find_name_problems(name: str) -> Iterator[Problem]:
    """Find why no call can set the tag *name*: its key is one that OneSignal keeps for messages.

    >>> [problem.code for name in ("vip", "user", "app:1") for problem in find_name_problems(name)]
    ['illegal-name', 'illegal-name']
    """
    key = find_key(name)
    if key in RESERVED_KEYS:
        hint = f"give it another name in the catalog: {TAGS_DOCS}"
        yield Problem("illegal-name", f"{key!r} is no key of a tag: OneSignal uses it in messages", hint=hint)


# Requests. -----------------------------------------------------------------------------------------------------------


def build_request(call: TagCall, credentials: Credentials) -> Request:
    """Build the request of *call*, which has all changes of one user: a key that gets a value is not removed.

    >>> from audience.vendors.tag_spec import Grid
    >>> call = TagCall(
    ...     form=FORMS[0],
    ...     added=Grid(("u1",), ("city:Rome", "vip")),
    ...     removed=Grid(("u1",), ("city:Oslo", "new")),
    ...     key_type="alias",
    ... )
    >>> request = build_request(call, Credentials("https://…", {"app_id": "a1"}))
    >>> request.path, request.content.decode()
    ('/apps/a1/users/by/external_id/u1', '{"properties":{"tags":{"city":"Rome","new":"","vip":"true"}}}')
    """
    added, removed = require_grid(call.added), require_grid(call.removed)
    (identifier,) = {*added.ids, *removed.ids}
    values = dict.fromkeys(map(find_key, removed.tags), REMOVED) | dict(map(split_name, added.tags))
    content = dump_json({"properties": {"tags": dict(sorted(values.items()))}}).encode()
    return Request(method="PATCH", path=_locate(identifier, credentials), headers=JSON_HEADERS, content=content)


def _locate(identifier: str, credentials: Credentials) -> str:
    app_id = quote(credentials.keys["app_id"], safe="")
    return f"/apps/{app_id}/users/by/external_id/{quote(identifier, safe='')}"


# Replies. ------------------------------------------------------------------------------------------------------------


def parse_reply(response: Response, call: TagCall) -> VendorReply:
    """Parse the response to *call*.

    >>> from audience.vendors.tag_spec import Grid
    >>> call = TagCall(form=FORMS[0], added=Grid(("u1",), ("vip",)))
    >>> parse_reply(Response(202, b'{"properties": {"tags": {"vip": "true"}}}'), call)
    Accepted(message_id='', invalid_ids=())
    """
    reply = _parse_reply(response)
    if not isinstance(reply, InvalidIds):
        return reply
    return replace(reply, ids=require_grid(call.added).ids or require_grid(call.removed).ids)


@doubt_contradictions
def _parse_reply(response: Response) -> VendorReply:
    payload = parse_json_body(response)
    if response.status == HTTPStatus.ACCEPTED and isinstance(payload.get("properties"), dict):
        if payload.get("errors"):
            raise ContradictoryReply("it was accepted and has errors")
        return accept(response, "")
    return _read_error(response, payload)


def _read_error(response: Response, payload: Mapping[str, Any]) -> VendorReply:
    text = read_error_texts(payload.get("errors"))
    code = BY_CODE.get(str(response.status))
    if code is None or (response.status == HTTPStatus.NOT_FOUND and not text):  # that of a wrong path
        return reply_from_status(response, text)
    return reply_from_code(code, text, response)


TAGS = TagSpec(
    family="onesignal",
    forms=FORMS,
    build_request=build_request,
    parse_reply=parse_reply,
    rate_limits=lambda form: (UPDATES,),
    name_problems=find_name_problems,
    name_pattern="{type}:{value}",
    find_key=find_key,
    max_keys=MAX_PROPERTIES,
    delay=DELAY,
    error_codes=CODES,
    key_types=("alias",),
)
