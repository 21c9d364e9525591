"""Replies of JPush to pushes and to calls for cids.

Source: https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push. Its error 1003 is for an invalid value of any field.
Two questions to the vendor print its text for a registration id, which names one of those that are invalid:
https://github.com/jpush/jpush-api-java-client/issues/165, https://github.com/ylywyn/jpush-api-go-client/issues/16.
"""

import re
from dataclasses import replace
from pathlib import Path

from audience.errors import Problem
from audience.vendors.delivery_spec import Fatal, Payload, Response, Retryable, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.reply_checks import accept, doubt_contradictions, read_code, read_id, read_id_list, read_ids

CODES = load_codes(Path(__file__).with_name("codes.tsv"))
BY_CODE = {code.code: code for code in CODES}
WRONG_VALUE = "1003"
NAMED_ID_PATTERN = re.compile(r"The registration_id\s+(\S+) is invalid!")
ABOUT_IDS_PATTERN = re.compile(r"registration[ _]?id", re.IGNORECASE)


@doubt_contradictions
def parse_reply(response: Response) -> VendorReply:
    """Parse the response to a push.

    >>> parse_reply(Response(200, b'{"sendno": "18", "msg_id": "1828256757"}'))
    Accepted(message_id='1828256757', invalid_ids=())
    """
    payload = parse_json_body(response)
    return build_reply(response, payload, read_id(payload.get("msg_id")))


@doubt_contradictions
def parse_cid_reply(response: Response) -> VendorReply:
    """Parse the response to a call for cids.

    >>> parse_cid_reply(Response(200, b'{"cidlist": ["8103a4c6-128eeb45", "8103a4c6-6e44d7f1"]}')).message_id
    '8103a4c6-128eeb45,8103a4c6-6e44d7f1'
    """
    payload = parse_json_body(response)
    cids = payload.get("cidlist")
    return build_reply(response, payload, read_ids(cids) if isinstance(cids, list) else "")


def build_reply(response: Response, payload: Payload, result: str) -> VendorReply:
    """Build the reply to *response*: accepted with its *result*, or what its error means."""
    error = payload.get("error")
    details: Payload = error if isinstance(error, dict) else {}
    code, text = read_code(details.get("code")), str(details.get("message") or "")
    if result:
        return accept(response, result, code or ("error" if error else ""))
    row = BY_CODE.get(code)
    if row is None:
        return add_reset_delay(reply_from_status(response, f"{code} {text}".strip() if code else ""), response)
    if code == WRONG_VALUE and not ABOUT_IDS_PATTERN.search(text):
        return Fatal(Problem("fatal", f"{code} {text!r}: a field has an invalid value", hint="correct the body"))
    named = (*NAMED_ID_PATTERN.findall(text), *read_id_list(details.get("illegal_rids")))
    return add_reset_delay(reply_from_code(row, text, response, tuple(dict.fromkeys(named))), response)


def add_reset_delay(reply: VendorReply, response: Response) -> VendorReply:
    """Return *reply* with the seconds until the window of the rate limit ends, if it may be repeated."""
    seconds = response.headers.get("x-rate-limit-reset", "").strip()
    if isinstance(reply, Retryable) and seconds.isascii() and seconds.isdigit():
        return replace(reply, retry_after=float(seconds))
    return reply
