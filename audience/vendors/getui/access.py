"""Access tokens of Getui: `POST /v2/{appId}/auth`, signed with the master secret; they are valid for a day.

Source: https://docs.getui.com/getui/server/rest_v2/token. The application may request 100 a minute and 100,000 a day; a
process requests one a day. The vendor's own client takes 10001 for a token that has expired, and requests another one.
"""

from datetime import datetime
from hashlib import sha256
from time import time
from typing import Any
from urllib.parse import quote

from audience.errors import Problem
from audience.vendors.delivery_spec import (
    AccessToken,
    AccessTokenSource,
    Credentials,
    Fatal,
    Request,
    Response,
    Retryable,
    VendorReply,
)
from audience.vendors.error_codes import parse_json_body
from audience.vendors.payload_reader import dump_json
from audience.vendors.reply_checks import ContradictoryReply, doubt_contradictions, is_success, read_code
from audience.vendors.schema_check import get_in
from audience.vendors.shared.access_token_replies import SHORT_SECONDS, read_access_token, refuse_by_status

TOKEN_DOCS = "https://docs.getui.com/getui/server/rest_v2/token"
JSON_HEADERS = {"Content-Type": "application/json;charset=utf-8", "Accept": "application/json"}
TOKEN_REFUSED = "10001"
LATER_CODES = ("2", "10003", "10005", "30019")  # the service starts, or is asked too often
CHECK_KEYS = "check app_id, app_key and master_secret, and that the host is that of the application's data centre"


def app_path(credentials: Credentials, path: str) -> str:
    """Return the path of a call of the application.

    >>> app_path(Credentials("https://…", {"app_id": "a1"}), "/push/all")
    '/v2/a1/push/all'
    """
    return f"/v2/{quote(credentials.keys['app_id'], safe='')}{path}"


def build_token_request(credentials: Credentials, now: datetime) -> Request:
    """Build the request for an access token.

    >>> keys = {"app_id": "a1", "app_key": "appkey", "master_secret": "mastersecret"}
    >>> request = build_token_request(Credentials("https://…", keys), datetime.fromtimestamp(1_700_000_000))
    >>> request.content.decode()[:49]
    '{"sign":"b4048b7b7e89b93a02e1259ab0b788a3f0641748'
    """
    app_key, timestamp = credentials.keys["app_key"], str(int(now.timestamp() * 1000))
    sign = sha256(f"{app_key}{timestamp}{credentials.keys['master_secret']}".encode()).hexdigest()
    content = dump_json({"sign": sign, "timestamp": timestamp, "appkey": app_key}).encode()
    return Request(method="POST", path=app_path(credentials, "/auth"), headers=JSON_HEADERS, content=content)


@doubt_contradictions
def parse_token_reply(response: Response) -> AccessToken | VendorReply:
    """Parse the response to a call for a token; the moment of its end is in milliseconds.

    >>> body = b'{"code": 0, "msg": "", "data": {"expire_time": "4102444800000", "token": "t"}}'
    >>> parse_token_reply(Response(200, body)).seconds
    86400.0
    >>> parse_token_reply(Response(401, b'{"code": 10001, "msg": "sign error"}')).problem.message
    "10001 'sign error': Getui gives out no access token"
    """
    payload = parse_json_body(response)
    code, text = read_code(payload.get("code")), str(payload.get("msg") or "")
    data = get_in(payload, "data")
    if code and data.get("token"):
        raise ContradictoryReply("it has an access token and an error")
    lifetime = _seconds_until(data.get("expire_time"))
    if token := read_access_token(response, {"access_token": data.get("token"), "expires_in": lifetime}):
        return token
    if not code or response.status >= 500:
        return refuse_by_status(response, f"{code} {text}")
    if code in LATER_CODES:
        return Retryable(Problem("retryable", f"{code} {text!r}: no access token came", hint="nothing was sent"))
    if is_success(response) and data:
        raise ContradictoryReply("it has data and an error")
    return Fatal(Problem("fatal", f"{code} {text!r}: Getui gives out no access token", hint=CHECK_KEYS))


def _seconds_until(expire_time: Any) -> int:
    """Return the whole seconds until a moment in milliseconds; a short time if it is none, or by our clock is past."""
    text = str(expire_time) if type(expire_time) in (str, int) else ""
    seconds = int(text) // 1000 - int(time()) if text.isascii() and text.isdecimal() and len(text) <= 15 else 0
    return seconds if seconds > 0 else int(SHORT_SECONDS)


def is_refused(response: Response) -> bool:
    """Return whether a response says that the access token is wrong or has ended.

    >>> is_refused(Response(401, b'{"code":10001,"msg":"token error"}'))
    True
    """
    try:
        return read_code(parse_json_body(response).get("code")) == TOKEN_REFUSED
    except ContradictoryReply:
        return False


ACCESS_TOKENS = AccessTokenSource(
    build_request=build_token_request, parse_reply=parse_token_reply, is_refused=is_refused, source=TOKEN_DOCS
)
