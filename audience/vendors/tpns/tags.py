"""Tags of TPNS: `POST /v3/device/tag`, whose operator says what a call changes.

Sources: https://www.tencentcloud.com/document/product/1024/33766, its Chinese copy
https://cloud.tencent.com/document/product/851/39067, and https://cloud.tencent.com/document/product/548/39080 for the
error codes; read 2026-11-29.

TPNS silently ignores all tags but the first of operators 7 and 8, and all tokens but the first of 3 and 4, so no call
has more. The page allows 20 pairs for operators 9 and 10 in one place and 500 in another: 20. Of a call that failed, in
part or as a whole, no page says for which tokens: it is made again in halves. A call that is left with one token and
one tag has operator 1 or 2, whose reply is about that token. A `:` in a tag matters for operator 6 alone, which
replaces tags and is not used. Not seen on any page: a call that reads the tags of a token.
"""

from functools import partial
from pathlib import Path

from audience.errors import Problem
from audience.vendors.delivery_spec import Credentials, RateLimit, Request, Response, Retryable, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.payload_reader import dump_json
from audience.vendors.reply_checks import (
    ContradictoryReply,
    accept,
    doubt_contradictions,
    is_success,
    read_code,
    read_id_list,
)
from audience.vendors.spec import Payload, VendorLimit
from audience.vendors.tag_spec import Grid, Pairs, TagCall, TagCallForm, TagSpec
from audience.vendors.tpns.calls import JSON_HEADERS, resolve_platform

TAG_CALLS_DOCS = "https://www.tencentcloud.com/document/product/1024/33766"
PATH = "/v3/device/tag"
MAX_LISTED = 500  # tokens, or tags
MAX_PAIRS = 20
ADD_ONE, REMOVE_ONE = 1, 2  # one tag of one token
OPERATORS = {"add-tags": 3, "remove-tags": 4, "add": 7, "remove": 8, "add-pairs": 9, "remove-pairs": 10}
ALL_FAILED = "1008027"
RATE_LIMIT = RateLimit("tags", 1, 1.0, TAG_CALLS_DOCS)
CODES = load_codes(Path(__file__).with_name("tag_codes.tsv"))
BY_CODE = {code.code: code for code in CODES}

one_direction_form = partial(TagCallForm, source=TAG_CALLS_DOCS)
FORMS = (
    one_direction_form(name="add", adds=True, removes=False, max_ids=MAX_LISTED, max_tags=1),
    one_direction_form(name="remove", adds=False, removes=True, max_ids=MAX_LISTED, max_tags=1),
    one_direction_form(
        name="add-pairs", adds=True, removes=False, max_ids=MAX_PAIRS, max_tags=MAX_PAIRS, max_pairs=MAX_PAIRS
    ),
    one_direction_form(
        name="remove-pairs", adds=False, removes=True, max_ids=MAX_PAIRS, max_tags=MAX_PAIRS, max_pairs=MAX_PAIRS
    ),
    one_direction_form(name="add-tags", adds=True, removes=False, max_ids=1, max_tags=MAX_LISTED),
    one_direction_form(name="remove-tags", adds=False, removes=True, max_ids=1, max_tags=MAX_LISTED),
)


def build_request(call: TagCall, credentials: Credentials) -> Request:
    """Build the request of *call*; the samples of the page name the platform of the application.

    >>> call = TagCall(form=FORMS[0], added=Grid(("token1", "token2"), ("tag1",)))
    >>> build_request(call, Credentials("https://…", {"platform": "ios"})).content
    b'{"operator_type":7,"platform":"ios","tag_list":["tag1"],"token_list":["token1","token2"]}'
    """
    changes = _simplify(call.added if call.form.adds else call.removed)
    body = {
        "operator_type": _find_operator(call.form, changes),
        "platform": resolve_platform(credentials),
        **_write_changes(changes),
    }
    return Request(method="POST", path=PATH, headers=JSON_HEADERS, content=dump_json(body).encode())


def _simplify(changes: Grid | Pairs) -> Grid | Pairs:
    """Return a single pair as a grid."""
    if isinstance(changes, Pairs) and len(changes.pairs) == 1:
        ((token, tag),) = changes.pairs
        return Grid((token,), (tag,))
    return changes


def _find_operator(form: TagCallForm, changes: Grid | Pairs) -> int:
    if isinstance(changes, Grid) and len(changes.ids) == len(changes.tags) == 1:
        return ADD_ONE if form.adds else REMOVE_ONE
    return OPERATORS[form.name]


def _write_changes(changes: Grid | Pairs) -> Payload:
    """Return the lists of *changes*; in each pair, the tag comes first."""
    if isinstance(changes, Pairs):
        return {"tag_token_list": [{"tag": tag, "token": token} for token, tag in changes.pairs]}
    return {"tag_list": list(changes.tags), "token_list": list(changes.ids)}


def parse_reply(response: Response, call: TagCall) -> VendorReply:
    """Parse the response to *call*.

    >>> call = TagCall(form=FORMS[0], added=Grid(("token1",), ("tag1",)))
    >>> parse_reply(Response(200, b'{"seq": 0, "ret_code": 0}'), call)
    Accepted(message_id='', invalid_ids=())
    """
    return doubt_contradictions(partial(_parse_reply, call=call))(response)


def _parse_reply(response: Response, call: TagCall) -> VendorReply:
    payload = parse_json_body(response)
    values = [payload[key] for key in ("ret_code", "retCode") if payload.get(key) is not None]
    messages = [payload.get(key) for key in ("err_msg", "errMsg")]
    code, message = read_code(*values), str(next(filter(None, messages), ""))
    unknown_ids = _read_unknown_ids(payload, call)
    if len({str(value) for value in values}) > 1:
        raise ContradictoryReply("ret_code and retCode differ")
    if code == ALL_FAILED and len(_list_ids(call.added) | _list_ids(call.removed)) == 1:
        return Retryable(Problem("retryable", f"{code} {message!r}", hint="nothing: the call is made again"))
    if row := BY_CODE.get(code):
        return reply_from_code(row, message, response, unknown_ids)
    if not code and is_success(response) and values:
        return accept(response, "", invalid_ids=unknown_ids)
    if code and is_success(response):
        raise ContradictoryReply(f"it has the unknown error {code[:50]}")
    return reply_from_status(response, f"{code} {message}".strip() if code else "")


def _read_unknown_ids(payload: Payload, call: TagCall) -> tuple[str, ...]:
    """Return the tokens that TPNS does not know, under the key that its pushes have.

    Raises:
        ContradictoryReply: The call has no such token.
    """
    unknown_ids = tuple(dict.fromkeys(read_id_list(payload.get("invalid_targe_list"))))
    if not set(unknown_ids) <= _list_ids(call.added) | _list_ids(call.removed):
        raise ContradictoryReply("it rejects tokens that the call does not have")
    return unknown_ids


def _list_ids(changes: Grid | Pairs) -> set[str]:
    return {token for token, _ in changes.pairs} if isinstance(changes, Pairs) else set(changes.ids)


TAGS = TagSpec(
    family="tpns",
    forms=FORMS,
    build_request=build_request,
    parse_reply=parse_reply,
    rate_limits=lambda form: (RATE_LIMIT,),
    max_concurrent=1,
    max_tags_per_device=VendorLimit(100, TAG_CALLS_DOCS),
    max_tags=VendorLimit(10_000, TAG_CALLS_DOCS),
    error_codes=CODES,
)
