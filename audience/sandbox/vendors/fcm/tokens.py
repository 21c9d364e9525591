"""Access tokens, as Google's server for OAuth 2.0 gives them out for an assertion of a service account.

https://developers.google.com/identity/protocols/oauth2/service-account. The signature of an assertion is not checked:
the sandbox has no public keys. Its claims are.
"""

import base64
import json
from uuid import uuid4

from audience.sandbox.http_types import HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.vendor_state import VendorState

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCES = ("https://oauth2.googleapis.com/token", "https://accounts.google.com/o/oauth2/token")
LOOPBACK = ("http://127.0.0.1:", "http://localhost:", "http://[::1]:")
SCOPES = {
    "https://www.googleapis.com/auth/firebase.messaging",
    "https://www.googleapis.com/auth/cloud-platform",
}
LIFETIME_SECONDS = 3_599
MAX_ASSERTION_SECONDS = 3_600
CLOCK_SKEW_SECONDS = 300
PREFIX = "ya29."


def create_token(call: HttpCall, state: VendorState) -> HttpReply:
    """Return a new access token for a sound assertion of a service account that may call.

    Raises:
        VendorRefusal: The form or the assertion is not sound.
    """
    if call.form.get("grant_type") != GRANT_TYPE:
        raise VendorRefusal("invalid_grant", "Invalid grant_type")
    header, claims = _read_assertion(call.form.get("assertion", ""))
    begun, ends, now = claims.get("iat"), claims.get("exp"), state.clock()
    if header.get("alg") != "RS256":
        raise VendorRefusal("invalid_grant", "Invalid JWT: the algorithm is RS256")
    if type(begun) is not int or type(ends) is not int or not begun < ends <= begun + MAX_ASSERTION_SECONDS:
        raise VendorRefusal("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)")
    if ends < now or begun > now + CLOCK_SKEW_SECONDS:
        raise VendorRefusal("invalid_grant", "Invalid JWT: check your iat and exp values in the JWT claim.")
    if not _is_audience(claims.get("aud")) or not {*str(claims.get("scope")).split()} & SCOPES:
        raise VendorRefusal("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    if not isinstance(claims.get("iss"), str) or not state.knows_key(claims["iss"]):
        raise VendorRefusal("invalid_grant", "Invalid grant: account not found")
    token = f"{PREFIX}{uuid4().hex}{uuid4().hex}"
    state.given_keys[token] = now
    return HttpReply(200, {"access_token": token, "expires_in": LIFETIME_SECONDS, "token_type": "Bearer"})


def _is_audience(value: object) -> bool:
    """Return whether an assertion is for Google's server, or for this one, which a client was pointed to."""
    return value in AUDIENCES or (isinstance(value, str) and value.startswith(LOOPBACK) and value.endswith("/token"))


def _read_assertion(text: str) -> tuple[JsonObject, JsonObject]:
    """Return the header and the claims of a JSON Web Token."""
    try:
        header, claims = (json.loads(base64.urlsafe_b64decode(f"{part}==")) for part in text.split(".")[:2])
        signature = base64.urlsafe_b64decode(f"{text.split('.')[2]}==")
    except (ValueError, IndexError, RecursionError):
        raise VendorRefusal("invalid_grant", "Invalid JWT") from None
    if not isinstance(header, dict) or not isinstance(claims, dict) or not signature:
        raise VendorRefusal("invalid_grant", "Invalid JWT")
    return header, claims


def require_token(call: HttpCall, state: VendorState) -> None:
    """Refuse a call without an access token that was given out within an hour.

    Unless a key is set, any token may call that was not given out here.

    Raises:
        VendorRefusal: It has none.
    """
    kind, _, token = call.headers.get("authorization", "").partition(" ")
    given = state.given_keys.get(token)
    is_valid = state.key is None if given is None else state.clock() - given < LIFETIME_SECONDS
    if kind.lower() != "bearer" or not token or not is_valid:
        text = "Request had invalid authentication credentials. Expected OAuth 2 access token."
        raise VendorRefusal("UNAUTHENTICATED", text)
