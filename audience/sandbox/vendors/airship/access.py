"""Keys of Airship's sandbox: the master secret of a project, a token of its dashboard, or one of OAuth 2.0.

https://github.com/urbanairship/api-specs/blob/main/go/spec.yaml, `securitySchemes` and `/token`. The secret of the
sandbox is the master secret, a token of the dashboard, and the secret of any client of OAuth. An
assertion is read and its signature taken for right, as the sandbox has no client's public key.
"""

import base64
import json
from uuid import uuid4

from audience.sandbox.http_types import HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.request_checks import parse_basic_auth
from audience.sandbox.vendor_state import VendorState

VALID_SECONDS = 3_600
MAX_ASSERTION_SECONDS, NONCE_SECONDS = 600, 7_200.0


def authenticate(call: HttpCall, state: VendorState) -> None:
    """Refuse a call that nobody has signed. A sandbox for any credentials takes any."""
    kind, _, token = call.headers.get("authorization", "").partition(" ")
    if kind == "Basic":
        pair = parse_basic_auth(call)
        if pair is not None and state.accepts_credentials(*pair):
            return
    elif kind == "Bearer" and token:
        key = call.headers.get("x-ua-appkey", "")
        given = state.given_keys.get(f"{key} {token}")
        if given is not None and state.clock() - given < VALID_SECONDS:
            return
        if given is None and state.accepts_credentials(key, token):
            return
    raise VendorRefusal(401, "Authorization Required")


def give_token(call: HttpCall, state: VendorState) -> HttpReply:
    """Return a new token for the project that `sub` names."""
    if call.method != "POST":
        raise VendorRefusal("invalid_request", "POST it")
    if call.form.get("grant_type") != "client_credentials":
        raise VendorRefusal("unsupported_grant_type", "grant_type is client_credentials")
    assertion = call.form.get("assertion", "")
    subject = _read_assertion(assertion, state).get("sub") if assertion else call.form.get("sub")
    key = subject.removeprefix("app:") if isinstance(subject, str) and subject.startswith("app:") else ""
    if not key:
        raise VendorRefusal("invalid_request", "sub has no app")
    pair = None if assertion else parse_basic_auth(call)
    if not (state.knows_key(key) and (assertion or (pair and state.accepts_credentials(key, pair[1])))):
        raise VendorRefusal("invalid_client", "Client authentication failed")
    token = f"ey{uuid4().hex}.{uuid4().hex}"
    state.given_keys[f"{key} {token}"] = state.clock()
    scope = call.form.get("scope", "psh sch")
    return HttpReply(200, {"access_token": token, "expires_in": VALID_SECONDS, "scope": scope, "token_type": "Bearer"})


def _read_assertion(assertion: str, state: VendorState) -> JsonObject:
    """Return the claims of an assertion, which is new and ends within ten minutes."""
    try:
        head, body, _ = assertion.split(".")
        header, claims = (json.loads(base64.urlsafe_b64decode(f"{part}===")) for part in (head, body))
        is_sound = header["alg"] == "ES384" and header["kid"] == claims["iss"]
        ahead, nonce = claims["exp"] - state.clock(), claims["nonce"]
    except (ValueError, KeyError, TypeError):
        raise VendorRefusal("invalid_grant", "malformed assertion") from None
    if not is_sound or not 0 < ahead <= MAX_ASSERTION_SECONDS or not isinstance(nonce, str):
        raise VendorRefusal("invalid_grant", "the assertion is not valid")
    if not state.is_new_nonce(nonce, NONCE_SECONDS):
        raise VendorRefusal("invalid_grant", "the nonce was used before")
    return {"sub": claims.get("sub")}


def build_token_refusal(exc: VendorRefusal) -> HttpReply:
    """Return the reply to a refused call for a token."""
    code = "invalid_request" if exc.code.isdecimal() else exc.code
    status = 429 if exc.code == "429" else 401 if code == "invalid_client" else 400
    return HttpReply(status, {"error": code, "error_description": exc.text or "refused"}, code=code)
