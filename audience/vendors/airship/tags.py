"""Tags of Airship: `POST /api/channels/tags`, for up to 1,000 channels and the tags of several groups.

Source: https://github.com/urbanairship/api-specs/blob/main/go/spec.yaml of August 2026. A tag without a group is one of
the group `device`. Groups are made in the dashboard; a call with tags of several may be made for some of them only, and
warns of the others: it leaves the call in doubt. Airship keeps up to 1,000 tags of a channel "supported", which is
taken for a bound here.

The channels are under `channel`, as those of pushes: the specification has it for channels of the web, of email and of
open platforms, and Airship itself "resolves the type" of the others, as the author of Segment's connector says:
https://github.com/segmentio/action-destinations/pull/3826. Tags of named users are not those of channels, and are left
alone, as are attributes, which other calls set.

On no page that could be read: a rate (the ten calls a second of pushes are ours), how soon pushes follow a change, and
what is said of a channel that is unknown: nothing, as in a push. No call counts the channels with a tag.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from audience.errors import Problem
from audience.language.attribute_names import UNTYPED
from audience.vendors.airship.access import locate
from audience.vendors.airship.calls import JSON_HEADERS, RATE_LIMIT
from audience.vendors.airship.names import DEFAULT_GROUP, GROUP_PREFIX, SPEC_DOCS, find_group, group_type
from audience.vendors.airship.replies import read_error
from audience.vendors.delivery_spec import Credentials, InDoubt, InvalidIds, Payload, Request, Response, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body
from audience.vendors.payload_reader import dump_json
from audience.vendors.reply_checks import ContradictoryReply, accept, doubt_contradictions, is_success
from audience.vendors.schema_check import get_in
from audience.vendors.spec import VendorLimit
from audience.vendors.tag_spec import TagCall, TagCallForm, TagReading, TagSpec, require_grid

TAGS_DOCS = "https://docs.airship.com/developer/rest-api/ua/operations/tags"
CHANNELS_DOCS = "https://docs.airship.com/developer/rest-api/ua/operations/channels"
TAGS_PATH, CHANNELS_PATH = "/api/channels/tags", "/api/channels"
MAX_CHANNELS, MAX_TAGS = 1_000, 100  # tags: of one group, so that a call may have them whatever their groups
RESERVED_PREFIX = "ua_"
SEPARATOR = ":"
CODES = load_codes(Path(__file__).with_name("tag_codes.tsv"))
BY_CODE = {code.code: code for code in CODES}

tag_form = partial(TagCallForm, max_ids=MAX_CHANNELS, max_tags=MAX_TAGS, source=TAGS_DOCS)
FORMS = (
    tag_form(name="add", adds=True, removes=False),
    tag_form(name="remove", adds=False, removes=True),
)


def split_name(name: str) -> tuple[str, str]:
    """Return the group and the tag of *name*, as `TYPE:VALUE` has them.

    >>> split_name("vip"), split_name("group.loyalty:gold")
    (('device', 'vip'), ('loyalty', 'gold'))
    """
    type_, _, value = name.partition(SEPARATOR)
    group = find_group(type_) if value else None
    return (DEFAULT_GROUP, name) if group is None else (group, value)


def join_name(group: str, tag: str) -> str:
    """Return the name of a tag of a group: the inverse of `split_name`.

    >>> join_name("device", "vip"), join_name("loyalty", "gold")
    ('vip', 'group.loyalty:gold')
    """
    type_ = group_type(group)
    return tag if type_ == UNTYPED else f"{type_}{SEPARATOR}{tag}"


def find_name_problems(name: str) -> Iterator[Problem]:
    """Find why no call can set the tag *name*: it is an attribute, or of a group that Airship keeps itself.

    >>> names = ("vip", "group.g:x", "city:Rome", "group.ua_g:x")
    >>> [problem.code for name in names for problem in find_name_problems(name)]
    ['illegal-name', 'illegal-name']
    """
    group, tag = split_name(name)
    if group == DEFAULT_GROUP and SEPARATOR in tag:
        message = f"{name!r} is an attribute of Airship, or a tag with a colon, which looks like one"
        hint = 'a sync sets tags: give it the name of one in the catalog, such as "group.{type}:{value}"'
        yield Problem("illegal-name", message, hint=hint)
    elif group.startswith(RESERVED_PREFIX):
        message = f"{name!r} is a tag of a group that Airship keeps itself"
        yield Problem("illegal-name", message, hint="give it the name of another group in the catalog")


# Requests. -----------------------------------------------------------------------------------------------------------


def build_request(call: TagCall, credentials: Credentials) -> Request:
    """Build the request of *call*.

    >>> from audience.vendors.tag_spec import Grid
    >>> call = TagCall(form=FORMS[0], added=Grid(("c1", "c2"), ("vip", "group.loyalty:gold")))
    >>> request = build_request(call, Credentials("https://…", {}))
    >>> request.path, request.content.decode()
    ('/api/channels/tags', '{"audience":{"channel":["c1","c2"]},"add":{"device":["vip"],"loyalty":["gold"]}}')
    """
    changes = require_grid(call.added if call.form.adds else call.removed)
    body = {"audience": {"channel": list(changes.ids)}, call.form.name: _group_tags(changes.tags)}
    content = dump_json(body).encode()
    return Request(method="POST", path=locate(TAGS_PATH, credentials), headers=JSON_HEADERS, content=content)


def _group_tags(names: Iterable[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for group, tag in map(split_name, names):
        groups.setdefault(group, []).append(tag)
    return groups


def build_reading(identifier: str, key_type: str, credentials: Credentials) -> Request:
    """Build the request for the tags of one channel."""
    path = locate(f"{CHANNELS_PATH}/{quote(identifier, safe='')}", credentials)
    return Request(method="GET", path=path, headers=JSON_HEADERS)


# Replies. ------------------------------------------------------------------------------------------------------------


def parse_reply(response: Response, call: TagCall) -> VendorReply:
    """Parse the response to *call*.

    >>> from audience.vendors.tag_spec import Grid
    >>> call = TagCall(form=FORMS[0], added=Grid(("c1",), ("vip",)))
    >>> parse_reply(Response(200, b'{"ok": true}'), call)
    Accepted(message_id='', invalid_ids=())
    """
    return _parse_reply(response)


@doubt_contradictions
def _parse_reply(response: Response) -> VendorReply:
    payload = parse_json_body(response)
    if payload.get("ok") is not True:
        return read_error(response, payload, BY_CODE)
    if payload.get("error") or payload.get("error_code"):
        raise ContradictoryReply("it says ok and has an error")
    reply = accept(response, "")
    warnings = payload.get("warnings") or payload.get("tag_warnings")
    return _doubt_warnings(warnings) if warnings else reply


def _doubt_warnings(warnings: Any) -> InDoubt:
    """Return the reply to a call that was made for some of its groups, and perhaps not for others."""
    message = f"some tag groups were not changed: {str(warnings)[:200]}"
    hint = "create these groups in Airship's dashboard; the call is made again"
    return InDoubt(Problem("in-doubt", message, hint=hint))


@doubt_contradictions
def parse_tags(response: Response) -> frozenset[str] | VendorReply:
    """Parse the tags of one channel, without those of groups that Airship keeps itself.

    >>> body = b'{"ok": true, "channel": {"tags": ["vip"], "tag_groups": {"ua_g": ["x"], "g": ["y"]}}}'
    >>> sorted(parse_tags(Response(200, body)))
    ['group.g:y', 'vip']
    """
    payload = parse_json_body(response)
    channel = get_in(payload, "channel")
    if response.status == HTTPStatus.NOT_FOUND and _is_answer(payload):
        return _unknown_channel(payload)
    if payload.get("ok") is not True or not is_success(response) or not channel:
        return read_error(response, payload, BY_CODE)
    groups = {DEFAULT_GROUP: channel.get("tags")}, channel.get("tag_groups")
    return frozenset(name for group in groups for name in _iter_names(group or {}))


def _iter_names(groups: Any) -> Iterator[str]:
    """Yield the names of the tags of *groups*; raise ContradictoryReply if these are not lists of texts."""
    if not isinstance(groups, Mapping):
        raise ContradictoryReply("its tag groups are not an object")
    for group, tags in groups.items():
        if not isinstance(tags or [], list) or not all(isinstance(tag, str) for tag in tags or []):
            raise ContradictoryReply("its tags are not a list of texts")
        if not str(group).startswith(RESERVED_PREFIX):
            yield from (join_name(group, tag) for tag in tags or [])


def _is_answer(payload: Payload) -> bool:
    """Return whether a reply is Airship's, which says that there is no such channel, and not that of a wrong path."""
    return payload.get("ok") is False


def _unknown_channel(payload: Payload) -> InvalidIds:
    message = f"404 {str(payload.get('error') or '')!r}: there is no such channel"
    hint = "nothing: the app was removed, or the id is of another project"
    return InvalidIds(Problem("invalid-ids", message, hint=hint))


TAGS = TagSpec(
    family="airship",
    forms=FORMS,
    build_request=build_request,
    parse_reply=parse_reply,
    rate_limits=lambda form: (RATE_LIMIT,),
    name_problems=find_name_problems,
    name_pattern=f"{GROUP_PREFIX}{{type}}:{{value}}",
    max_tags_per_device=VendorLimit(1_000, SPEC_DOCS),
    error_codes=CODES,
    reading=TagReading(
        build_request=build_reading,
        parse_tags=parse_tags,
        rate_limits=(RATE_LIMIT,),
        source=CHANNELS_DOCS,
    ),
    reports_unknown_ids=False,
)
