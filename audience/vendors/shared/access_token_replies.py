"""Replies to calls for access tokens, as OAuth 2.0 has them: an object with `access_token` and `expires_in`.

https://www.rfc-editor.org/rfc/rfc6749#section-5. No raw text of such a reply is ever quoted: it may have a token, in
whatever form.
"""

from typing import Any, TypeGuard

from audience.vendors.delivery_spec import AccessToken, Payload, Response, VendorReply
from audience.vendors.error_codes import reply_from_status
from audience.vendors.reply_checks import ContradictoryReply, is_success

SHORT_SECONDS = 300.0  # of a token whose lifetime is not said
LONGEST_SECONDS = 86_400  # for which a token is kept, whatever is said
NO_TOKEN = "the reply has no access token"


def read_access_token(response: Response, payload: Payload) -> AccessToken | None:
    """Return the token of a reply, or None if it has none that a header can carry.

    Raises ContradictoryReply if it has an error, too.

    >>> read_access_token(Response(200, b""), {"access_token": "t", "expires_in": 3600}).seconds
    3600.0
    >>> read_access_token(Response(200, b""), {"access_token": "t", "expires_in": "soon"}).seconds
    300.0
    >>> read_access_token(Response(200, b""), {"access_token": "a b"})
    """
    token = payload.get("access_token")
    if not is_success(response) or not _can_be_sent(token):
        return None
    if payload.get("error"):
        raise ContradictoryReply("it has an access token and an error")
    return AccessToken(token, _read_seconds(payload.get("expires_in")))


def _can_be_sent(token: Any) -> TypeGuard[str]:
    return isinstance(token, str) and token.isascii() and token.isprintable() and bool(token) and " " not in token


def _read_seconds(value: Any) -> float:
    return float(min(value, LONGEST_SECONDS)) if type(value) is int and value > 0 else SHORT_SECONDS


def refuse_by_status(response: Response, words: str) -> VendorReply:
    """Build the reply to a call that gave no token, from its HTTP status; *words* are those of its error.

    >>> refuse_by_status(Response(200, b'{"access_token": ["t"]}'), "").problem.message
    "HTTP 200 'the reply has no access token'"
    """
    return reply_from_status(response, words.strip() or NO_TOKEN)
