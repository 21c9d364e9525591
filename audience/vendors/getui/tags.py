"""Tags of Getui: `PUT` and `DELETE /user/custom_tag/batch/{tag}`, for up to 1,000 cids and one tag.

Source: https://docs.getui.com/getui/server/rest_v2/user, of which the beginning was readable; what follows it is quoted
in the comments of clients: pinzi/GeTui-PushApi-NetCoreSDK-V2 and GetuiLaboratory/getui-pushapi-java-client-v2. Each of
both calls may be made 100 times a minute and 10,000 times a day. Setting a tag is "asynchronous, with a delay" of which
no page says how long; the ten minutes here are ours. A reply may have a word for each cid, `true` or `false`; why a cid
fails is not said, and it is read as one that Getui does not know. A call of which no cid is known is refused as a push
to them is, with 20001.

`POST /user/custom_tag/cid/{cid}` replaces all tags of a cid, once a day, and is not used. The codes are those of the
copy at dcloudio/unidocs-zh; its "5 changes of tags in a minute" (30012) waits. No page says in which order Getui makes
two changes of one cid that follow each other within its delay.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from audience.vendors.delivery_spec import Credentials, RateLimit, Request, Response, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.getui.access import JSON_HEADERS, app_path
from audience.vendors.getui.replies import UNKNOWN
from audience.vendors.getui.targeting import USER_DOCS
from audience.vendors.payload_reader import dump_json
from audience.vendors.reply_checks import ContradictoryReply, accept, doubt_contradictions, is_success, read_code
from audience.vendors.shared.registration_tags import encode_segment, find_segment_problems
from audience.vendors.spec import Payload, VendorLimit
from audience.vendors.tag_spec import TagCall, TagCallForm, TagReading, TagSpec, require_grid

MAX_CIDS = 1_000
MAX_CALLS_A_MINUTE, MAX_CALLS_A_DAY = 100, 10_000  # of each form
METHODS = {"bind": "PUT", "unbind": "DELETE"}
CODES = load_codes(Path(__file__).with_name("tag_codes.tsv"))
BY_CODE = {code.code: code for code in CODES}
WRONG_PARAMETER, UNKNOWN_CIDS = "20001", BY_CODE["20001-USER"]
WORDS = {"true": True, "false": False, True: True, False: False}

tag_form = partial(TagCallForm, max_ids=MAX_CIDS, max_tags=1, source=USER_DOCS)
FORMS = (
    tag_form(name="bind", adds=True, removes=False),
    tag_form(name="unbind", adds=False, removes=True),
)


def build_request(call: TagCall, credentials: Credentials) -> Request:
    """Build the request of *call*.

    Raises:
        DeliveryError: The tag cannot be in an address.

    >>> from audience.vendors.tag_spec import Grid
    >>> call = TagCall(form=FORMS[0], added=Grid(("c1", "c2"), ("新",)))
    >>> request = build_request(call, Credentials("https://…", {"app_id": "a1"}))
    >>> request.method, request.path, request.content
    ('PUT', '/v2/a1/user/custom_tag/batch/%E6%96%B0', b'{"cid":["c1","c2"]}')
    """
    changes = require_grid(call.added if call.form.adds else call.removed)
    (tag,) = changes.tags
    path = app_path(credentials, f"/user/custom_tag/batch/{encode_segment(tag)}")
    content = dump_json({"cid": list(changes.ids)}).encode()
    return Request(method=METHODS[call.form.name], path=path, headers=JSON_HEADERS, content=content)


def build_reading(identifier: str, key_type: str, credentials: Credentials) -> Request:
    """Build the request for the tags of one cid."""
    path = app_path(credentials, f"/user/custom_tag/cid/{encode_segment(identifier)}")
    return Request(method="GET", path=path, headers=JSON_HEADERS)


def parse_reply(response: Response, call: TagCall) -> VendorReply:
    """Parse the response to *call*.

    >>> from audience.vendors.tag_spec import Grid
    >>> call = TagCall(form=FORMS[0], added=Grid(("c1", "c2"), ("vip",)))
    >>> parse_reply(Response(200, b'{"code":0,"msg":"success","data":{"c1":"true","c2":"false"}}'), call)
    Accepted(message_id='', invalid_ids=('c2',))
    """
    return doubt_contradictions(partial(_parse_reply, call=call))(response)


def _parse_reply(response: Response, call: TagCall) -> VendorReply:
    payload = parse_json_body(response)
    if not _has_succeeded(response, payload):
        return _read_error(payload, response)
    ids = require_grid(call.added if call.form.adds else call.removed).ids
    failed = _list_failed(payload.get("data"), ids)
    if len(failed) == len(ids):
        return reply_from_code(UNKNOWN_CIDS, "", response, failed)
    return accept(response, "", invalid_ids=failed)


def _list_failed(data: Any, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of *ids* that failed; a reply without a word for any of them says that none did.

    Raises ContradictoryReply for words that are neither, and for cids that the call did not name.
    """
    if data in (None, {}, ""):
        return ()
    if not isinstance(data, Mapping) or data.keys() - {*ids}:
        raise ContradictoryReply("its data is not about the cids of the call")
    if any(not isinstance(word, str | bool) or word not in WORDS for word in data.values()):
        raise ContradictoryReply("it has a word for a cid that is neither true nor false")
    if len(data) < len({*ids}):
        raise ContradictoryReply("it has a word for some of the cids only")
    return tuple(cid for cid in dict.fromkeys(ids) if not WORDS[data[cid]])


def _has_succeeded(response: Response, payload: Payload) -> bool:
    return "code" in payload and not read_code(payload["code"]) and is_success(response)


def _read_error(payload: Payload, response: Response) -> VendorReply:
    code, text = read_code(payload.get("code")), str(payload.get("msg") or "")
    if not code and "code" in payload and not is_success(response):
        raise ContradictoryReply("its code says that it succeeded")
    if code == WRONG_PARAMETER and UNKNOWN in text and response.status == HTTPStatus.BAD_REQUEST:
        return reply_from_code(UNKNOWN_CIDS, text, response)
    row = BY_CODE.get(code)
    if row is None or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return reply_from_status(response, f"{code} {text}".strip() if code else "")
    return reply_from_code(row, text, response)


@doubt_contradictions
def parse_tags(response: Response) -> frozenset[str] | VendorReply:
    """Parse the tags of one cid: one text that has them all, with spaces between.

    >>> sorted(parse_tags(Response(200, b'{"code": 0, "msg": "success", "data": {"c1": ["vip new"]}}')))
    ['new', 'vip']
    """
    payload = parse_json_body(response)
    if not _has_succeeded(response, payload):
        return _read_error(payload, response)
    data = payload.get("data")
    if data in (None, {}, ""):
        return frozenset()
    if not isinstance(data, dict) or len(data) != 1:
        raise ContradictoryReply("its data is not about one cid")
    [texts] = data.values()
    if texts is None:
        return frozenset()
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ContradictoryReply("its tags are not a list of texts")
    return frozenset(name for text in texts for name in text.split())


def build_rate_limit(form: TagCallForm) -> RateLimit:
    """Return the calls of a form that may be made in a minute."""
    return RateLimit(f"{form.name} tags", MAX_CALLS_A_MINUTE, 60.0, USER_DOCS)


TAGS = TagSpec(
    family="getui",
    forms=FORMS,
    build_request=build_request,
    parse_reply=parse_reply,
    rate_limits=lambda form: (build_rate_limit(form),),
    name_problems=find_segment_problems,
    max_tags_per_device=VendorLimit(100, USER_DOCS),
    max_calls_per_day=VendorLimit(MAX_CALLS_A_DAY, USER_DOCS),
    delay=timedelta(minutes=10),
    error_codes=CODES,
    reading=TagReading(
        build_request=build_reading,
        parse_tags=parse_tags,
        rate_limits=(),
        source=USER_DOCS,
    ),
)
