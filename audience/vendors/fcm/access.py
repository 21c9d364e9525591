"""Access tokens of FCM, by the service account of a project: OAuth 2.0 with a signed assertion.

https://developers.google.com/identity/protocols/oauth2/service-account, as the library google-auth carries it out. A
token is valid for an hour. This is the only module that imports google-auth, which an extra installs.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from audience.errors import DeliveryError, Problem
from audience.vendors.delivery_spec import (
    AccessToken,
    AccessTokenSource,
    Credentials,
    Fatal,
    Request,
    Response,
    VendorReply,
)
from audience.vendors.error_codes import parse_json_body
from audience.vendors.reply_checks import doubt_contradictions
from audience.vendors.schema_check import get_in
from audience.vendors.shared.access_token_replies import read_access_token, refuse_by_status

DOCS = "https://developers.google.com/identity/protocols/oauth2/service-account"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
TOKEN_URL = "https://oauth2.googleapis.com/token"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_SECONDS = 3_600
API_HOST = "https://fcm.googleapis.com"
TOPIC_HOST = "https://iid.googleapis.com"
GOOGLE_HOSTS = (API_HOST, TOPIC_HOST)
EXTRA_HINT = "pip install 'audience[fcm]'"
KEY_HINT = "create a key of the service account in the console of the project, and name its file as it is"


def build_token_request(credentials: Credentials, now: datetime) -> Request:
    """Build the request for an access token, with an assertion that the private key of the account signs.

    A host other than Google's, such as a sandbox, issues its own tokens. The assertion for such a host names it as the
    audience, so that the host cannot get a token of Google with it.

    Raises:
        DeliveryError: google-auth is not installed, or the private key is invalid.
    """
    begun, base_url = int(now.timestamp()), credentials.base_url
    path, audience = ("/token", f"{base_url}/token") if base_url not in GOOGLE_HOSTS else (TOKEN_URL, TOKEN_URL)
    claims = {
        "iss": credentials.keys["client_email"],
        "scope": SCOPE,
        "aud": audience,
        "iat": begun,
        "exp": begun + ASSERTION_SECONDS,
    }
    form = {"grant_type": GRANT_TYPE, "assertion": _sign_claims(credentials.keys, claims)}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    return Request(method="POST", path=path, headers=headers, content=urlencode(form).encode())


def _sign_claims(keys: Mapping[str, str], claims: Mapping[str, Any]) -> str:
    from google.auth import jwt  # an extra

    assertion: bytes = jwt.encode(_load_signer(keys), claims)  # type: ignore[no-untyped-call]
    return assertion.decode("ascii")


def _load_signer(keys: Mapping[str, str]) -> Any:
    """Return the signer of a private key; raise DeliveryError, which does not quote the key, if there is none."""
    try:
        from google.auth import crypt
    except ImportError as error:
        problem = Problem("no-extra", "FCM needs the package google-auth", hint=EXTRA_HINT)
        raise DeliveryError(problem) from error
    try:
        private_key, key_id = keys["private_key"].replace("\\n", "\n"), keys["private_key_id"]
        signer = crypt.RSASigner.from_string(private_key, key_id)  # type: ignore[no-untyped-call]
        signer.sign(b"")  # a key of another algorithm is read, and cannot
        return signer
    except Exception:  # noqa: BLE001 whatever it is, its text may quote the key
        message = "private_key: expected the key of a service account, in PEM"
        raise DeliveryError(Problem("bad-key", message, hint=KEY_HINT)) from None


def check_keys(keys: Mapping[str, str]) -> Iterator[Problem]:
    """Find why the keys of a service account cannot sign: google-auth is missing, or the key is not a private key."""
    try:
        _load_signer(keys)
    except DeliveryError as error:
        yield from error.problems


@doubt_contradictions
def parse_token_reply(response: Response) -> AccessToken | VendorReply:
    """Parse the response to a call for an access token.

    >>> token = parse_token_reply(Response(200, b'{"access_token": "ya29.x", "expires_in": 3599}'))
    >>> token.value, token.seconds
    ('ya29.x', 3599.0)
    >>> print(parse_token_reply(Response(400, b'{"error": "invalid_grant"}')).problem)
    fatal: HTTP 400 'invalid_grant'
       = hint: check the service account: its key may have been deleted, or the clock of this machine is wrong
    """
    payload = parse_json_body(response)
    if token := read_access_token(response, payload):
        return token
    words = [payload.get(name) for name in ("error", "error_description")]
    reply = refuse_by_status(response, ": ".join(word for word in words if isinstance(word, str)))
    if isinstance(reply, Fatal):
        hint = "check the service account: its key may have been deleted, or the clock of this machine is wrong"
        return Fatal(Problem(reply.problem.code, reply.problem.message, hint=hint))
    return reply


def is_refused(response: Response) -> bool:
    """Return whether the access token is not valid any more; nothing was delivered then.

    A wrong key of APNs or of web push has the same status, and says so. The error of a call for topics is a word.
    """
    if response.status != HTTPStatus.UNAUTHORIZED:
        return False
    has_details = bool(get_in(parse_json_body(response), "error").get("details"))
    return not (has_details and b"FcmError" in response.content)


ACCESS_TOKENS = AccessTokenSource(
    build_request=build_token_request, parse_reply=parse_token_reply, is_refused=is_refused, source=DOCS
)
