"""Ways in which calls to Airship are signed: the master secret, a token of the dashboard, or OAuth 2.0.

Sources: https://github.com/urbanairship/api-specs/blob/main/go/spec.yaml, `securitySchemes`, `/token` and its note on
hosts, and https://docs.airship.com/developer/rest-api/ua/api-security. Tokens of OAuth are for hosts of their own, so
the data centre is named once, `us` or `eu`, and its host follows from the way in which calls are signed. How many
tokens a client may request is on no page that could be read; a process requests one in the time for which it is valid.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlencode

from audience.errors import Problem
from audience.vendors.delivery_spec import (
    AccessToken,
    AccessTokenSource,
    Credentials,
    Fatal,
    Request,
    Response,
    SigningContext,
    VendorReply,
)
from audience.vendors.error_codes import parse_json_body
from audience.vendors.reply_checks import doubt_contradictions, read_code
from audience.vendors.shared.access_token_replies import read_access_token, refuse_by_status

OAUTH_DOCS = "https://docs.airship.com/developer/rest-api/ua/operations/oauth"
BASE_URLS = {"us": "https://go.urbanairship.com", "eu": "https://go.airship.eu"}
OAUTH_HOSTS = {BASE_URLS["us"]: "https://api.asnapius.com", BASE_URLS["eu"]: "https://api.asnapieu.com"}
TOKEN_HOSTS = {BASE_URLS["us"]: "https://oauth2.asnapius.com", BASE_URLS["eu"]: "https://oauth2.asnapieu.com"}
TOKEN_PATH = "/token"
OTHER_TOKEN_PATH = "/oauth2/token"  # of a host that is not Airship's, which has no host for tokens beside it
SCOPES = "psh sch"  # pushes and schedules, and their withdrawal
AUTH_WAYS = ("basic", "bearer", "oauth")  # what `secret` is: the master secret, a token, or client_id:client_secret
CHECK_KEYS = "check the client of OAuth: secret is its id, a colon and its secret, and it needs the scopes psh and sch"


def uses_oauth(credentials: Credentials) -> bool:
    """Return whether calls are signed with access tokens that Airship gives out."""
    return credentials.keys.get("auth") == "oauth"


def locate(path: str, credentials: Credentials) -> str:
    """Return where *path* is: below the data centre, or at its host for tokens of OAuth.

    >>> keys = {"app_key": "k", "secret": "i:s", "auth": "oauth"}
    >>> locate("/api/push", Credentials(BASE_URLS["eu"], keys)), locate("/api/push", Credentials(BASE_URLS["eu"], {}))
    ('https://api.asnapieu.com/api/push', '/api/push')
    """
    return f"{OAUTH_HOSTS.get(credentials.base_url, '')}{path}" if uses_oauth(credentials) else path


def sign(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    """Add what identifies the project: with a token, its key has a header of its own.

    >>> keys = {"app_key": "k", "secret": "s", "auth": "basic"}
    >>> request = Request(method="POST", path="/api/push")
    >>> sign(request, Credentials("https://…", keys), SigningContext(datetime(2026, 12, 1), "")).headers
    {'Authorization': 'Basic azpz'}
    """
    app_key, secret = credentials.keys["app_key"], credentials.keys["secret"]
    match credentials.keys.get("auth"):
        case "bearer":
            own = {"X-UA-Appkey": app_key, "Authorization": f"Bearer {secret}"}
        case "oauth":
            own = {"X-UA-Appkey": app_key, "Authorization": f"Bearer {context.access_token}"}
        case _:
            own = {"Authorization": f"Basic {_encode_pair(f'{app_key}:{secret}')}"}
    return replace(request, headers={**request.headers, **own})


def _encode_pair(pair: str) -> str:
    return b64encode(pair.encode()).decode()


def check_keys(keys: Mapping[str, str]) -> Iterator[Problem]:
    """Find why keys that are all there cannot sign: one of OAuth has two parts.

    >>> [problem.code for problem in check_keys({"secret": "s", "auth": "oauth"})]
    ['bad-key']
    """
    client_id, _, client_secret = keys["secret"].partition(":")
    if keys.get("auth") == "oauth" and not (client_id and client_secret):
        yield Problem("bad-key", "secret: expected client_id:client_secret beside auth = oauth", hint=CHECK_KEYS)


def build_token_request(credentials: Credentials, now: datetime) -> Request:
    """Build the request for an access token; a host that is not Airship's, such as a sandbox, gives them out itself.

    >>> keys = {"app_key": "k", "secret": "i:s", "auth": "oauth"}
    >>> request = build_token_request(Credentials(BASE_URLS["us"], keys), datetime(2026, 12, 1))
    >>> request.path, request.content.decode()
    ('https://oauth2.asnapius.com/token', 'grant_type=client_credentials&sub=app%3Ak&scope=psh+sch')
    """
    form = {"grant_type": "client_credentials", "sub": f"app:{credentials.keys['app_key']}", "scope": SCOPES}
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
        "Authorization": f"Basic {_encode_pair(credentials.keys['secret'])}",
    }
    host = TOKEN_HOSTS.get(credentials.base_url)
    path = OTHER_TOKEN_PATH if host is None else f"{host}{TOKEN_PATH}"
    return Request(method="POST", path=path, headers=headers, content=urlencode(form).encode())


@doubt_contradictions
def parse_token_reply(response: Response) -> AccessToken | VendorReply:
    """Parse the response to a call for a token.

    >>> parse_token_reply(Response(200, b'{"access_token": "eyJh", "expires_in": 3600, "scope": "psh"}')).seconds
    3600.0
    """
    payload = parse_json_body(response)
    if token := read_access_token(response, payload):
        return token
    error = read_code(payload.get("error"))
    reply = refuse_by_status(response, f"{error} {payload.get('error_description') or ''}" if error else "")
    if isinstance(reply, Fatal):
        return Fatal(replace(reply.problem, hint=CHECK_KEYS))
    return reply


def is_refused(response: Response) -> bool:
    """Return whether a call had no valid token: another one is requested when the run goes on."""
    return response.status == HTTPStatus.UNAUTHORIZED


ACCESS_TOKENS = AccessTokenSource(
    build_request=build_token_request,
    parse_reply=parse_token_reply,
    is_refused=is_refused,
    source=OAUTH_DOCS,
    is_needed=uses_oauth,
)
