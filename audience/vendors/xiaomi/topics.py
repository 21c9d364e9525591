"""Topics of Xiaomi Push as tags: `/v2/topic/subscribe` and `unsubscribe`, for up to 1,000 ids and one topic.

Sources: https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1558 names the interface, and pId=1560 its codes; the
paths and fields are those of Xiaomi's SDK, as clients have copied them; a thousand ids a call are those of
https://rubydoc.info/gems/xiaomi-push/Xiaomi/Push/Services/Topic, and the list of topics that of
https://github.com/wolfhong/mipushSDK-python.

On no page that could be read: how many topics a device may have, how soon pushes follow a change, how long a name may
be, and what a call with an id that is unknown answers. It is read as a message to such ids is: `bad_regids` names
them. A failure that names no reason (20215, 20216) leaves the call in doubt, and it is made again. No call counts the
devices of a topic. A call is for one package.
"""

from dataclasses import replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

from audience.errors import DeliveryError, Problem
from audience.vendors.delivery_spec import Credentials, InDoubt, InvalidIds, Request, Response, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.reply_checks import ContradictoryReply, accept, doubt_contradictions, is_success, read_code
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload
from audience.vendors.tag_spec import TagCall, TagCallForm, TagReading, TagSpec, require_grid
from audience.vendors.xiaomi.calls import RATE_LIMIT
from audience.vendors.xiaomi.replies import NO_TARGETS, SENDING_FAILED, read_bad_ids
from audience.vendors.xiaomi.schedule import FORM_HEADERS

TOPICS_DOCS = "https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1558"
MAX_IDS = 1_000
CODES = load_codes(Path(__file__).with_name("topic_codes.tsv"))
BY_CODE = {code.code: code for code in CODES}

topic_form = partial(TagCallForm, max_ids=MAX_IDS, max_tags=1, source=TOPICS_DOCS)
FORMS = (
    topic_form(name="subscribe", adds=True, removes=False),
    topic_form(name="unsubscribe", adds=False, removes=True),
)


def build_request(call: TagCall, credentials: Credentials) -> Request:
    """Build the request of *call*.

    Raises:
        DeliveryError: The application has several packages.

    >>> from audience.vendors.tag_spec import Grid
    >>> call = TagCall(form=FORMS[0], added=Grid(("r1", "r2"), ("a b",)))
    >>> request = build_request(call, Credentials("https://…", {"package_name": "com.example"}))
    >>> request.path, request.content
    ('/v2/topic/subscribe', b'restricted_package_name=com.example&registration_id=r1%2Cr2&topic=a+b')
    """
    changes = require_grid(call.added if call.form.adds else call.removed)
    (topic,) = changes.tags
    form = {**_name_package(credentials), "registration_id": ",".join(changes.ids), "topic": topic}
    content = urlencode(form).encode()
    return Request(method="POST", path=f"/v2/topic/{call.form.name}", headers=FORM_HEADERS, content=content)


def _name_package(credentials: Credentials) -> dict[str, str]:
    package = credentials.keys["package_name"]
    if "," in package:
        message = f"topics of Xiaomi are those of one package, and package_name has several: {package}"
        raise DeliveryError(Problem("no-such-target", message, hint="sync each package with credentials of its own"))
    return {"restricted_package_name": package}


def build_reading(identifier: str, key_type: str, credentials: Credentials) -> Request:
    """Build the request for the topics of one id."""
    query = {**_name_package(credentials), "registration_id": identifier}
    return Request(method="GET", path="/v1/topic/all", query=query)


def parse_reply(response: Response, call: TagCall) -> VendorReply:
    """Parse the response to *call*.

    >>> from audience.vendors.tag_spec import Grid
    >>> call = TagCall(form=FORMS[0], added=Grid(("r1", "r2"), ("a",)))
    >>> parse_reply(Response(200, b'{"result": "ok", "code": 0, "data": {"bad_regids": "r2"}}'), call)
    Accepted(message_id='', invalid_ids=('r2',))
    """
    return doubt_contradictions(partial(_parse_reply, call=call))(response)


def _parse_reply(response: Response, call: TagCall) -> VendorReply:
    payload = parse_json_body(response)
    if _has_succeeded(response, payload):
        return accept(response, "", invalid_ids=read_bad_ids(get_in(payload, "data")))
    reply = _read_error(response, payload)
    if isinstance(reply, InvalidIds) and reply.are_all:
        changes = require_grid(call.added if call.form.adds else call.removed)
        return replace(reply, ids=tuple(dict.fromkeys(changes.ids)))
    return reply


def _has_succeeded(response: Response, payload: Payload) -> bool:
    """Return whether a reply says so, by its result and by its code; raise ContradictoryReply if only one of them does.

    Every reply that others have printed has both.
    """
    says_ok, code = payload.get("result") == "ok", read_code(payload.get("code"))
    if says_ok and code:
        raise ContradictoryReply(f"it has the result 'ok' and the error {code!r}")
    if says_ok and not is_success(response):
        raise ContradictoryReply("it has the result 'ok'")
    return says_ok and "code" in payload


def _read_error(response: Response, payload: Payload) -> VendorReply:
    code = read_code(payload.get("code"))
    text, row = str(payload.get("reason") or payload.get("description") or ""), BY_CODE.get(code)
    if row is None or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return reply_from_status(response, f"{code} {text}".strip() if code else "")
    if code == SENDING_FAILED and not NO_TARGETS.search(text):
        return InDoubt(Problem("in-doubt", f"{code} {text!r}: it failed, for a reason not known", hint=row.advice))
    reply = reply_from_code(row, text, response)
    return replace(reply, are_all=True) if isinstance(reply, InvalidIds) and code == SENDING_FAILED else reply


@doubt_contradictions
def parse_topics(response: Response) -> frozenset[str] | VendorReply:
    """Parse the topics of one id.

    >>> parse_topics(Response(200, b'{"result": "ok", "code": 0, "data": {"list": ["a"]}}'))
    frozenset({'a'})
    """
    payload = parse_json_body(response)
    if not _has_succeeded(response, payload):
        return _read_error(response, payload)
    topics = get_in(payload, "data").get("list")
    if not isinstance(topics, list) or not all(isinstance(topic, str) for topic in topics):
        raise ContradictoryReply("its topics are not a list of texts")
    return frozenset(topics)


TAGS = TagSpec(
    family="xiaomi",
    forms=FORMS,
    build_request=build_request,
    parse_reply=parse_reply,
    rate_limits=lambda form: (RATE_LIMIT,),
    error_codes=CODES,
    reading=TagReading(
        build_request=build_reading,
        parse_tags=parse_topics,
        rate_limits=(RATE_LIMIT,),
        source="https://github.com/wolfhong/mipushSDK-python",
    ),
)
