"""Tags of EMAS: BindTag and UnbindTag, for up to 1,000 keys and 10 tags, and QueryTags.

Sources: https://help.aliyun.com/document_detail/2249935.html, https://help.aliyun.com/document_detail/2249937.html,
https://help.aliyun.com/document_detail/2249938.html, quotas https://help.aliyun.com/document_detail/2249912.html,
limits https://help.aliyun.com/document_detail/92832.htm, read 2026-11-29.

A tag is bound to a kind of key and a key, not to a device, so tags of two kinds do not meet in one expression. The
English page and the official SDK 2.1.8 list devices only as keys; the Chinese page lists accounts and aliases too. A
reply says nothing of single keys, and no page says what an unknown key does. No bound is documented for the tags of a
device, nor for the devices of a tag, of which EMAS advises at most 100,000. No call counts the devices of a tag.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from audience.errors import DeliveryError, Problem
from audience.vendors.delivery_spec import Credentials, RateLimit, Request, Response, VendorReply
from audience.vendors.emas.calls import QUOTAS_DOCS, build_rpc_request
from audience.vendors.emas.replies import build_error_reply, sort_by_specificity
from audience.vendors.error_codes import load_codes, parse_json_body
from audience.vendors.reply_checks import ContradictoryReply, accept, doubt_contradictions, is_success, read_id
from audience.vendors.spec import Payload, VendorLimit
from audience.vendors.tag_spec import TagCall, TagCallForm, TagReading, TagSpec, require_grid

BIND_DOCS = "https://help.aliyun.com/document_detail/2249935.html"
UNBIND_DOCS = "https://help.aliyun.com/document_detail/2249937.html"
QUERY_DOCS = "https://help.aliyun.com/document_detail/2249938.html"
KEY_TYPES = {"device": "DEVICE", "alias": "ALIAS", "account": "ACCOUNT"}
MAX_KEYS, MAX_NAMES = 1_000, 10
MAX_CALLS_PER_SECOND = 100  # of each action
CODES = load_codes(Path(__file__).with_name("tag_codes.tsv"))
CODES_BY_SPECIFICITY = sort_by_specificity(CODES)

tag_form = partial(TagCallForm, max_ids=MAX_KEYS, max_tags=MAX_NAMES)
FORMS = (
    tag_form(name="BindTag", adds=True, removes=False, source=BIND_DOCS),
    tag_form(name="UnbindTag", adds=False, removes=True, source=UNBIND_DOCS),
)


def build_request(call: TagCall, credentials: Credentials) -> Request:
    """Build the request of *call*.

    Raises:
        DeliveryError: A key or a tag has a comma, so that it would become two.

    >>> from audience.vendors.tag_spec import Grid
    >>> call = TagCall(form=FORMS[0], added=Grid(("d1", "d2"), ("a", "b")), key_type="device")
    >>> build_request(call, Credentials("https://…", {"app_key": "23267207"})).query
    {'AppKey': '23267207', 'ClientKey': 'd1,d2', 'KeyType': 'DEVICE', 'TagName': 'a,b'}
    """
    changes = require_grid(call.added if call.form.adds else call.removed)
    parameters = {
        "ClientKey": _join(changes.ids),
        "KeyType": KEY_TYPES[call.key_type],
        "TagName": _join(changes.tags),
    }
    return build_rpc_request(call.form.name, credentials, parameters, {})


def _join(names: Sequence[str]) -> str:
    """Join *names* with commas; raise DeliveryError if one cannot be joined."""
    if problem := next((problem for name in names for problem in find_name_problems(name)), None):
        raise DeliveryError(problem)
    return ",".join(names)


def find_name_problems(name: str) -> Iterator[Problem]:
    """Find why *name* cannot be in a list that is joined with commas."""
    if not name or "," in name:
        hint = "give it another name in the catalog"
        yield Problem("illegal-name", f"{name!r} cannot be in a list, which EMAS joins with commas", hint=hint)


def build_query(identifier: str, key_type: str, credentials: Credentials) -> Request:
    """Build the request for the tags of one key."""
    parameters = {"ClientKey": _join([identifier]), "KeyType": KEY_TYPES[key_type]}
    return build_rpc_request("QueryTags", credentials, parameters, {})


def parse_reply(response: Response, call: TagCall) -> VendorReply:
    """Parse the response to *call*, which names its request alone if it succeeded.

    >>> from audience.vendors.tag_spec import Grid
    >>> call = TagCall(form=FORMS[0], added=Grid(("d1",), ("a",)), key_type="device")
    >>> parse_reply(Response(200, b'{"RequestId": "82FD0A09-5BB8-40FB-8221-9A11FE92D620"}'), call)
    Accepted(message_id='', invalid_ids=())
    """
    return doubt_contradictions(_parse_reply)(response)


def _parse_reply(response: Response) -> VendorReply:
    payload = parse_json_body(response)
    return accept(response, "") if _has_succeeded(response, payload) else _build_error(response, payload)


def _has_succeeded(response: Response, payload: Payload) -> bool:
    return is_success(response) and "Code" not in payload and bool(read_id(payload.get("RequestId")))


def _build_error(response: Response, payload: Payload) -> VendorReply:
    return build_error_reply(response, payload, CODES_BY_SPECIFICITY)


@doubt_contradictions
def parse_tags(response: Response) -> frozenset[str] | VendorReply:
    """Parse the tags of one key.

    >>> reply = b'{"RequestId": "D68AE5C6", "TagInfos": {"TagInfo": [{"TagName": "test_tag2"}]}}'
    >>> parse_tags(Response(200, reply))
    frozenset({'test_tag2'})
    """
    payload = parse_json_body(response)
    if not _has_succeeded(response, payload) or "TagInfos" not in payload:
        return _build_error(response, payload)
    infos = payload["TagInfos"]
    rows = infos.get("TagInfo") if isinstance(infos, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ContradictoryReply("its tags are not a list")
    names = [row.get("TagName") for row in rows]
    if not all(isinstance(name, str) for name in names):
        raise ContradictoryReply("one of its tags has no name")
    return frozenset(map(str, names))


def build_rate_limit(action: str) -> RateLimit:
    """Return the rate limit of an action, which is that of the whole account."""
    return RateLimit(action, MAX_CALLS_PER_SECOND, 1.0, QUOTAS_DOCS)


TAGS = TagSpec(
    family="emas",
    forms=FORMS,
    build_request=build_request,
    parse_reply=parse_reply,
    rate_limits=lambda form: (build_rate_limit(form.name),),
    name_problems=find_name_problems,
    max_tags=VendorLimit(10_000, BIND_DOCS),
    delay=timedelta(minutes=10),
    error_codes=CODES,
    key_types=tuple(KEY_TYPES),
    reading=TagReading(
        build_request=build_query,
        parse_tags=parse_tags,
        rate_limits=(build_rate_limit("QueryTags"),),
        source=QUERY_DOCS,
    ),
    reports_unknown_ids=False,
)
