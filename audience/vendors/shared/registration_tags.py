"""Calls for tags that EngageLab and JPush share: the devices of one tag, or the tags of one device.

Sources: https://docs.jiguang.cn/jpush/server/push/rest_api_v3_device and the vendors' own clients, the Python packages
jpush and engagelab-apppush. Neither client encodes the names that it puts into addresses; here they are encoded.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from urllib.parse import quote

from audience.errors import DeliveryError, Problem
from audience.vendors.delivery_spec import Accepted, ErrorCode, InvalidIds, Request, Response, VendorReply
from audience.vendors.error_codes import parse_json_body, reply_from_code, reply_from_status
from audience.vendors.payload_reader import dump_json
from audience.vendors.reply_checks import (
    ContradictoryReply,
    accept,
    doubt_contradictions,
    is_success,
    load_strict_json,
    read_code,
    read_id_list,
)
from audience.vendors.spec import Payload
from audience.vendors.tag_spec import Grid, Pairs, TagCall, TagCallForm

JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8", "Accept": "application/json"}
MAX_CHANGED_IDS = 1_000  # of each direction
MAX_NAME_BYTES = 40
MAX_NAMES_BYTES = 1_000  # of all names of one direction
BODIES_OF_SUCCESS = (b"", b"success", b'"success"')  # the word alone, by the client engagelab-apppush
DOT_SEGMENTS = (".", "..")  # libraries and proxies take them out of an address

Codes = Mapping[str, ErrorCode]


def tag_forms(source: str) -> tuple[TagCallForm, ...]:
    """Return the two forms of calls, documented at *source*.

    The names of one direction may have 1,000 bytes in all, which 25 names of the largest size have.
    """
    by_tag = TagCallForm(
        name="tag", adds=True, removes=True, max_ids=MAX_CHANGED_IDS, max_tags=1, max_pairs=None, source=source
    )
    max_tags = MAX_NAMES_BYTES // MAX_NAME_BYTES
    by_device = TagCallForm(
        name="device", adds=True, removes=True, max_ids=1, max_tags=max_tags, max_pairs=None, source=source
    )
    return by_tag, by_device


# Requests. -----------------------------------------------------------------------------------------------------------


def build_tag_call(call: TagCall, tags_path: str, devices_path: str) -> Request:
    """Build the request of *call*, below the path of all tags or of all devices.

    >>> by_tag, _ = tag_forms("https://…")
    >>> call = TagCall(form=by_tag, added=Grid(("r1", "r2"), ("vip",)), removed=Grid(("r3",), ("vip",)))
    >>> request = build_tag_call(call, "/v4/tags", "/v4/devices")
    >>> request.path, request.content
    ('/v4/tags/vip', b'{"registration_ids":{"add":["r1","r2"],"remove":["r3"]}}')
    """
    added, removed = require_grid(call.added), require_grid(call.removed)
    if call.form.name == "tag":
        path = f"{tags_path}/{encode_segment(_single_name(added.tags + removed.tags))}"
        body: Payload = {"registration_ids": _write_directions(added.ids, removed.ids)}
    else:
        path = f"{devices_path}/{encode_segment(_single_name(added.ids + removed.ids))}"
        body = {"tags": _write_directions(added.tags, removed.tags)}
    return Request(method="POST", path=path, headers=JSON_HEADERS, content=dump_json(body).encode())


def _write_directions(added: tuple[str, ...], removed: tuple[str, ...]) -> Payload:
    return {key: list(names) for key, names in (("add", added), ("remove", removed)) if names}


def require_grid(changes: Grid | Pairs) -> Grid:
    """Return *changes*, which a call of these forms has as a grid."""
    if isinstance(changes, Pairs):
        raise TypeError("the form of this call takes no pairs")
    return changes


def _single_name(names: Iterable[str]) -> str:
    """Return the only tag or id of a call, which may be both among what it adds and what it removes.

    >>> _single_name(("vip", "vip"))
    'vip'
    """
    (name,) = set(names)
    return name


def encode_segment(name: str) -> str:
    """Encode *name* as one segment of an address.

    Raises:
        DeliveryError: Addresses have no such segment.

    >>> encode_segment("a/b?中")
    'a%2Fb%3F%E4%B8%AD'
    """
    if problem := next(find_segment_problems(name), None):
        raise DeliveryError(problem)
    return quote(name, safe="")


def find_segment_problems(name: str) -> Iterator[Problem]:
    """Find why *name* cannot be a segment of an address.

    >>> [problem.message for problem in find_segment_problems("..")]
    ["'..' cannot be in the address of a call, where it means another folder"]
    """
    if not name or name in DOT_SEGMENTS:
        message = f"{name!r} cannot be in the address of a call, where it means another folder"
        yield Problem("illegal-name", message, hint="give it another name in the catalog")


def build_reading(identifier: str, devices_path: str) -> Request:
    """Build the request for the tags of one device.

    >>> build_reading("090c1f59f89", "/v3/devices").path
    '/v3/devices/090c1f59f89'
    """
    return Request(method="GET", path=f"{devices_path}/{encode_segment(identifier)}", headers=JSON_HEADERS)


# Replies. ------------------------------------------------------------------------------------------------------------


def parse_tag_reply(response: Response, call: TagCall, codes: Codes) -> VendorReply:
    """Parse the response to *call*: empty, the word `success`, or an object that has an error if it failed.

    >>> by_tag, _ = tag_forms("https://…")
    >>> call = TagCall(form=by_tag, added=Grid(("r1", "r2"), ("vip",)))
    >>> parse_tag_reply(Response(200, b""), call, {})
    Accepted(message_id='', invalid_ids=())
    >>> parse_tag_reply(Response(200, b'{"illegal_rids": ["r2"]}'), call, {})
    Accepted(message_id='', invalid_ids=('r2',))
    """
    return doubt_contradictions(partial(_parse_tag_reply, call=call, codes=codes))(response)


def _parse_tag_reply(response: Response, call: TagCall, codes: Codes) -> VendorReply:
    payload = parse_json_body(response)
    illegal_ids = _read_illegal_ids(payload, call)
    reply = parse_error(response, payload, codes)
    if reply is None and is_success(response) and _is_plain_success(response.content):
        return accept(response, "", invalid_ids=illegal_ids)
    if reply is None:
        return reply_from_status(response)
    return InvalidIds(reply.problem, illegal_ids) if illegal_ids and not isinstance(reply, Accepted) else reply


def parse_error(response: Response, payload: Payload, codes: Codes) -> VendorReply | None:
    """Return the reply to the error of *payload*, or None if it has no error."""
    details = _read_error(payload)
    code, message = read_code(payload.get("code"), details.get("code")), str(details.get("message") or "")
    if row := codes.get(code):
        return reply_from_code(row, message, response)
    if not code and not payload.get("error"):
        return None
    if is_success(response):
        raise ContradictoryReply(f"it has the error {code or 'without a code'}")
    return reply_from_status(response, f"{code} {message}".strip() if code else "")


def _read_error(payload: Payload) -> Payload:
    """Return the object with the error of *payload*, which may be *payload* itself."""
    error = payload.get("error")
    return error if isinstance(error, dict) else payload


def _read_illegal_ids(payload: Payload, call: TagCall) -> tuple[str, ...]:
    """Return the ids that the vendor does not know, each once.

    Raises:
        ContradictoryReply: The call has no such id.
    """
    details = _read_error(payload)
    names = (*read_id_list(payload.get("illegal_rids")), *read_id_list(details.get("illegal_rids")))
    illegal_ids = tuple(dict.fromkeys(names))
    if not set(illegal_ids) <= set(require_grid(call.added).ids + require_grid(call.removed).ids):
        raise ContradictoryReply("it rejects ids that the call does not have")
    return illegal_ids


def _is_plain_success(content: bytes) -> bool:
    """Return whether a body of a successful call has nothing, the word `success`, or an object.

    >>> [_is_plain_success(body) for body in (b"", b"success", b"{}", b"<html>", b'{"tags"')]
    [True, True, True, False, False]
    """
    if content.strip() in BODIES_OF_SUCCESS:
        return True
    try:
        return isinstance(load_strict_json(content), dict)
    except (ValueError, RecursionError):
        return False


def parse_device_tags(response: Response, codes: Codes) -> frozenset[str] | VendorReply:
    """Parse the tags of one device; null means that it has none.

    >>> sorted(parse_device_tags(Response(200, b'{"tags": ["b", "a"], "alias": "u1"}'), {}))
    ['a', 'b']
    >>> parse_device_tags(Response(200, b'{"tags": null, "alias": null}'), {})
    frozenset()
    """
    return doubt_contradictions(partial(_parse_device_tags, codes=codes))(response)


def _parse_device_tags(response: Response, codes: Codes) -> frozenset[str] | VendorReply:
    payload = parse_json_body(response)
    if reply := parse_error(response, payload, codes):
        return reply
    if not is_success(response) or "tags" not in payload:
        return reply_from_status(response)
    return frozenset(read_id_list(payload["tags"]))
