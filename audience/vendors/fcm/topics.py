"""Topics of FCM as tags: `iid/v1:batchAdd` and `iid/v1:batchRemove`, for up to 1,000 tokens and one topic.

Sources: https://developers.google.com/instance-id/reference/server, limits
https://firebase.google.com/docs/cloud-messaging/topic-messaging, codes of single tokens from Firebase's client for
Node.js, read 2026-11-29. Google removes this interface on 29 September 2027; its successor changes one topic of one
token a call, a thousand times as many calls.

A reply has a result for each token, in their order. If it accepts some tokens and refuses others for another reason
than that it does not know them, the call is made again in halves, until each refused token is alone. Not seen on any
page: whether a call with a thousand tokens counts as one of the 3,000 a second, a rate for reading, whether the
interface takes ids of installations (it gets none), and how soon pushes follow a change. No call counts the devices of
a topic. The calls name no project, and fail for an account that serves two:
https://github.com/firebase/firebase-admin-dotnet/issues/546.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from audience.errors import DeliveryError, Problem
from audience.vendors.delivery_spec import (
    Credentials,
    ErrorCode,
    InDoubt,
    InvalidIds,
    RateLimit,
    Request,
    Response,
    Retryable,
    VendorReply,
)
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.fcm.access import API_HOST, TOPIC_HOST
from audience.vendors.payload_reader import dump_json
from audience.vendors.reply_checks import ContradictoryReply, accept, doubt_contradictions, is_success
from audience.vendors.spec import VendorLimit
from audience.vendors.tag_spec import TagCall, TagCallForm, TagReading, TagSpec, require_grid

IID_DOCS = "https://developers.google.com/instance-id/reference/server"
TOPICS_DOCS = "https://firebase.google.com/docs/cloud-messaging/topic-messaging"
JSON_HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "Accept": "application/json",
    "access_token_auth": "true",
}
MAX_TOKENS = 1_000
MAX_NAME_CHARS = 900
RATE_LIMIT = RateLimit("topics", 3_000, 1.0, TOPICS_DOCS)
CODES = load_codes(Path(__file__).with_name("topic_codes.tsv"))
BY_CODE = {code.code: code for code in CODES}
UNREADABLE = {HTTPStatus.BAD_REQUEST: "INVALID_ARGUMENT", HTTPStatus.NOT_FOUND: "NOT_FOUND"}  # of the only parameter

topic_form = partial(TagCallForm, max_ids=MAX_TOKENS, max_tags=1, source=IID_DOCS)
FORMS = (
    topic_form(name="batchAdd", adds=True, removes=False),
    topic_form(name="batchRemove", adds=False, removes=True),
)


def find_base_url(base_url: str) -> str:
    """Return the host of calls for topics.

    >>> find_base_url("https://fcm.googleapis.com"), find_base_url("http://127.0.0.1:8080")
    ('https://iid.googleapis.com', 'http://127.0.0.1:8080')
    """
    return TOPIC_HOST if base_url.rstrip("/") == API_HOST else base_url


def find_name_problems(name: str) -> Iterator[Problem]:
    """Find why no call can name a topic, beside its characters: it is too long."""
    if len(name) > MAX_NAME_CHARS:
        message = f"{name[:50]!r}… has {len(name):,} characters; a topic has at most {MAX_NAME_CHARS}"
        yield Problem("name-too-long", message, hint="give it another name in the catalog")


# Requests. -----------------------------------------------------------------------------------------------------------


def build_request(call: TagCall, credentials: Credentials) -> Request:
    """Build the request of *call*.

    Raises:
        DeliveryError: The ids are those of installations.

    >>> from audience.vendors.tag_spec import Grid
    >>> call = TagCall(form=FORMS[0], added=Grid(("t1", "t2"), ("vip",)))
    >>> request = build_request(call, Credentials("https://…", {}))
    >>> request.path, request.content
    ('/iid/v1:batchAdd', b'{"to":"/topics/vip","registration_tokens":["t1","t2"]}')
    """
    _require_tokens(credentials)
    changes = require_grid(call.added if call.form.adds else call.removed)
    (topic,) = changes.tags
    body = {"to": f"/topics/{topic}", "registration_tokens": list(changes.ids)}
    return Request(
        method="POST", path=f"/iid/v1:{call.form.name}", headers=JSON_HEADERS, content=dump_json(body).encode()
    )


def _require_tokens(credentials: Credentials) -> None:
    if credentials.keys.get("ids") == "fid":
        message = "topics of FCM are kept by tokens; the key ids says that the index has ids of installations"
        raise DeliveryError(Problem("no-such-target", message, hint="sync an index with tokens, and set ids = token"))


def build_reading(identifier: str, key_type: str, credentials: Credentials) -> Request:
    """Build the request for the topics of one token.

    >>> build_reading("a:b", "registration_id", Credentials("https://…", {})).path
    '/iid/info/a%3Ab?details=true'
    """
    _require_tokens(credentials)
    return Request(method="GET", path=f"/iid/info/{quote(identifier, safe='')}?details=true", headers=JSON_HEADERS)


# Replies. ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Results:
    """Results of the tokens of one call.

    Attributes:
        accepted: Number of tokens that were changed.
        unknown_ids: Tokens that FCM does not know, each once.
        refused: Codes of the tokens that were not changed, each once, the gravest first.
    """

    accepted: int
    unknown_ids: tuple[str, ...]
    refused: tuple[ErrorCode, ...]


GRAVITY = ("in-doubt", "fatal", "retryable", "rejected", "invalid-ids")


def parse_reply(response: Response, call: TagCall) -> VendorReply:
    """Parse the response to *call*.

    >>> from audience.vendors.tag_spec import Grid
    >>> call = TagCall(form=FORMS[0], added=Grid(("t1", "t2"), ("vip",)))
    >>> parse_reply(Response(200, b'{"results": [{}, {"error": "NOT_FOUND"}]}'), call)
    Accepted(message_id='', invalid_ids=('t2',))
    """
    return doubt_contradictions(partial(_parse_reply, call=call))(response)


def _parse_reply(response: Response, call: TagCall) -> VendorReply:
    payload = parse_json_body(response)
    if not is_success(response) or "results" not in payload:
        return _build_error(response, payload.get("error"))
    if "error" in payload:
        raise ContradictoryReply("it has results and an error")
    changes = require_grid(call.added if call.form.adds else call.removed)
    results = _read_results(payload["results"], changes.ids)
    others = [code for code in results.refused if code.outcome != "invalid-ids"]
    if not results.refused or (results.accepted and not others):
        return accept(response, "", invalid_ids=results.unknown_ids)
    if results.accepted and others:
        return _divide(others[0], results)
    return reply_from_code(results.refused[0], "", response, results.unknown_ids)


def _divide(code: ErrorCode, results: _Results) -> VendorReply:
    """Return the reply to a call that has changed some tokens and refused others, which no reply may deny.

    The call is made again as a whole if that may help; if not, the refused tokens are looked for.
    """
    problem = Problem(code.outcome, f"{code.code} {code.meaning}", hint=code.advice)
    if code.outcome in ("in-doubt", "retryable"):
        return InDoubt(problem)
    return InvalidIds(problem, results.unknown_ids)


def _read_results(rows: Any, ids: Sequence[str]) -> _Results:
    """Read the results of *ids*; raise ContradictoryReply if they are not one for each, with a known error or none."""
    if not isinstance(rows, list) or len(rows) != len(ids) or not all(isinstance(row, dict) for row in rows):
        raise ContradictoryReply(f"it does not have {len(ids):,} results, one for each token")
    codes = [_read_code(row) for row in rows]
    unknown = [each for each, code in zip(ids, codes, strict=True) if code and code.outcome == "invalid-ids"]
    refused = dict.fromkeys(code for code in codes if code is not None)
    return _Results(
        accepted=codes.count(None),
        unknown_ids=tuple(dict.fromkeys(unknown)),
        refused=tuple(sorted(refused, key=lambda code: GRAVITY.index(code.outcome))),
    )


def _read_code(row: dict[str, Any]) -> ErrorCode | None:
    """Return the code of a token that was refused, or None."""
    if "error" not in row:
        return None
    word = row["error"]
    if not isinstance(word, str) or word not in BY_CODE:
        raise ContradictoryReply(f"a token has the unknown error {str(word)[:50]!r}")
    return BY_CODE[word]


def _build_error(response: Response, word: Any) -> VendorReply:
    """Build the reply to a call that was refused as a whole, for which the HTTP status says why."""
    error = word if isinstance(word, str) else ""
    if response.status == HTTPStatus.UNAUTHORIZED:
        problem = Problem("retryable", f"HTTP 401 {error!r}", hint="check the role of the service account")
        return Retryable(problem)
    return reply_from_status(response, error)


@doubt_contradictions
def parse_topics(response: Response) -> frozenset[str] | VendorReply:
    """Parse the topics of one token.

    >>> reply = b'{"application": "com.iid.example", "rel": {"topics": {"a": {"addDate": "2015-07-30"}}}}'
    >>> parse_topics(Response(200, reply))
    frozenset({'a'})
    """
    payload = parse_json_body(response)
    word = payload.get("error")
    if response.status in UNREADABLE and word and isinstance(word, str):
        return reply_from_code(BY_CODE[UNREADABLE[HTTPStatus(response.status)]], word, response)
    if not is_success(response) or word is not None or "application" not in payload:
        return _build_error(response, word)
    relations = payload.get("rel", {})
    topics = relations.get("topics", {}) if isinstance(relations, dict) else None
    if not isinstance(topics, dict):
        raise ContradictoryReply("its topics are not an object")
    return frozenset(topics)


TAGS = TagSpec(
    family="fcm",
    forms=FORMS,
    build_request=build_request,
    parse_reply=parse_reply,
    rate_limits=lambda form: (RATE_LIMIT,),
    name_problems=find_name_problems,
    max_tags_per_device=VendorLimit(2_000, TOPICS_DOCS),
    error_codes=CODES,
    find_base_url=find_base_url,
    reading=TagReading(
        build_request=build_reading,
        parse_tags=parse_topics,
        rate_limits=(),
        source=IID_DOCS,
    ),
)
