"""Access tokens of Getui: given out for the signature of an application, and valid for a day.

https://docs.getui.com/getui/server/rest_v2/token. How far the timestamp may be from the time is not said there; here it
is not compared.
"""

import hmac
from hashlib import sha256
from uuid import uuid4

from audience.sandbox.http_types import HttpCall, HttpReply, VendorRefusal
from audience.sandbox.request_checks import number_or_text, parse_json_object
from audience.sandbox.vendor_state import VendorState

VALID_SECONDS = 86_400
MINUTE_LIMIT, DAY_LIMIT = (100, 60.0), (100_000, 86_400.0)
WRONG_TOKEN, TOO_MANY_TOKENS, WRONG_PARAMETER = 10001, 10003, 20001


def give_token(call: HttpCall, app: str, state: VendorState) -> HttpReply:
    """Return a new token for the application whose key and secret have signed the call."""
    content = parse_json_object(call.body, 1)
    if not all(state.rate_limiter.try_acquire(f"auth {limit[1]}", *limit) for limit in (MINUTE_LIMIT, DAY_LIMIT)):
        raise VendorRefusal(TOO_MANY_TOKENS, "auth too often")
    for name in ("sign", "timestamp", "appkey"):
        if not isinstance(content.get(name), str) or not content[name]:
            raise VendorRefusal(WRONG_PARAMETER, f"{name} can not be empty")
    key, timestamp = content["appkey"], content["timestamp"]
    if not isinstance(number_or_text(timestamp), int):
        raise VendorRefusal(WRONG_PARAMETER, "timestamp is invalid")
    secret = state.signing_secret(key)
    sign = sha256(f"{key}{timestamp}{secret}".encode()).hexdigest()
    is_right = secret is None or hmac.compare_digest(sign.encode(), content["sign"].encode())
    if not (state.knows_key(key) and state.knows_key(app) and is_right):
        raise VendorRefusal(WRONG_TOKEN, "sign error")
    token = f"{uuid4().hex}{uuid4().hex}"
    state.given_keys[f"{app} {token}"] = state.clock()
    expires = str(int((state.clock() + VALID_SECONDS) * 1000))
    return HttpReply(200, {"code": 0, "msg": "success", "data": {"expire_time": expires, "token": token}})


def require_token(call: HttpCall, app: str, state: VendorState) -> str:
    """Refuse a call without a valid token of *app*, else return it. A sandbox for any credentials takes any token.

    Raises:
        VendorRefusal: The call has none, one of another application, or one that has ended.
    """
    token = call.headers.get("token", "")
    given = state.given_keys.get(f"{app} {token}")
    is_valid = given is not None and state.clock() - given < VALID_SECONDS
    if not token or not (is_valid or (given is None and state.key is None)):
        raise VendorRefusal(WRONG_TOKEN, "token error")
    return token


def end_token(call: HttpCall, app: str, token: str, state: VendorState) -> HttpReply:
    """End a token."""
    if state.given_keys.pop(f"{app} {token}", None) is None and state.key is not None:
        raise VendorRefusal(WRONG_TOKEN, "token error")
    return HttpReply(200, {"code": 0, "msg": "success"})
