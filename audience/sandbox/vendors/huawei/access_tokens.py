"""Access tokens of Huawei: given out for the credentials of a client, and valid for an hour.

https://developer.huawei.com/consumer/cn/doc/HMSCore-Guides/oauth2-0000001212610981
"""

from uuid import uuid4

from audience.sandbox.http_types import HttpCall, HttpReply, VendorRefusal
from audience.sandbox.vendor_state import VendorState

VALID_SECONDS = 3_600
WRONG_CLIENT, WRONG_SECRET, NO_SECRET, WRONG_GRANT = 20003, 12304, 20171, 20182


def give_token(call: HttpCall, state: VendorState) -> HttpReply:
    """Return a new token for the client whose credentials the form has."""
    if call.method != "POST":
        return HttpReply(405, "Method Not Allowed", code="405")
    client, secret = call.form.get("client_id", ""), call.form.get("client_secret", "")
    if call.form.get("grant_type") != "client_credentials":
        raise VendorRefusal(WRONG_GRANT, "invalid grant_type")
    if not client.isprintable() or not client or not state.knows_key(client):
        raise VendorRefusal(WRONG_CLIENT, "invalid client_id")
    if not secret:
        raise VendorRefusal(NO_SECRET, "empty client_secret")
    if not state.accepts_credentials(client, secret):
        raise VendorRefusal(WRONG_SECRET, "invalid client_secret")
    token = f"CF{uuid4().hex}/{uuid4().hex}=="
    state.given_keys[f"{client} {token}"] = state.clock()
    return HttpReply(200, {"access_token": token, "expires_in": VALID_SECONDS, "token_type": "Bearer"})


def require_token(call: HttpCall, client: str, state: VendorState) -> None:
    """Refuse a call without a valid token of *client*. A sandbox for any credentials takes any token.

    Raises:
        VendorRefusal: The call has none, one of another client, or one that has expired.
    """
    kind, _, token = call.headers.get("authorization", "").partition(" ")
    given = state.given_keys.get(f"{client} {token}") if kind == "Bearer" else None
    if given is None and not (kind == "Bearer" and token and state.key is None):
        raise VendorRefusal(80200001, "Oauth authentication error")
    if given is not None and state.clock() - given >= VALID_SECONDS:
        raise VendorRefusal(80200003, "Oauth Token expired")
