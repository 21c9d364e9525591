"""Access tokens of Huawei: `POST /oauth2/v3/token` with the credentials of the client, on a host of its own.

Sources: https://developer.huawei.com/consumer/cn/doc/HMSCore-Guides/oauth2-0000001212610981, and for errors
https://developer.huawei.com/consumer/cn/doc/HMSCore-References/server-error-codes-0000001062371380. How many tokens an
application may request was in no page that could be read; a process requests one an hour.
"""

from datetime import datetime
from urllib.parse import urlencode

from audience.errors import Problem
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
from audience.vendors.reply_checks import doubt_contradictions, read_code
from audience.vendors.shared.access_token_replies import read_access_token, refuse_by_status

GUIDE = "https://developer.huawei.com/consumer/cn/doc/HMSCore-Guides/oauth2-0000001212610981"
PUSH_URL = "https://push-api.cloud.huawei.com"
TOKEN_URL = "https://oauth-login.cloud.huawei.com"
TOKEN_PATH = "/oauth2/v3/token"
EXPIRED_CODE = "80200003"
CHECK_KEYS = "check client_id and client_secret: they are those of the OAuth 2.0 client of the app"


def build_token_request(credentials: Credentials, now: datetime) -> Request:
    """Build the request for an access token; a host that is not Huawei's, such as a sandbox, gives them out itself.

    >>> keys = {"client_id": "7", "client_secret": "s"}
    >>> build_token_request(Credentials(PUSH_URL, keys), datetime(2026, 12, 1)).path
    'https://oauth-login.cloud.huawei.com/oauth2/v3/token'
    """
    host = TOKEN_URL if credentials.base_url == PUSH_URL else ""
    form = {
        "grant_type": "client_credentials",
        **{key: credentials.keys[key] for key in ("client_id", "client_secret")},
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    return Request(method="POST", path=f"{host}{TOKEN_PATH}", headers=headers, content=urlencode(form).encode())


@doubt_contradictions
def parse_token_reply(response: Response) -> AccessToken | VendorReply:
    r"""Parse the response to a call for a token.

    >>> parse_token_reply(Response(200, b'{"access_token": "CF3X\\/l2==", "expires_in": 3600}')).seconds
    3600.0
    """
    payload = parse_json_body(response)
    if token := read_access_token(response, payload):
        return token
    error = read_code(payload.get("error"))
    if not error:
        return refuse_by_status(response, "")
    code = "/".join(filter(None, (error, read_code(payload.get("sub_error")))))
    text = str(payload.get("error_description") or "")
    if response.status >= 500:
        return refuse_by_status(response, f"{code} {text}")
    return Fatal(Problem("fatal", f"{code} {text!r}: Huawei gives out no access token", hint=CHECK_KEYS))


def is_refused(response: Response) -> bool:
    """Return whether a response says that the access token has expired.

    >>> is_refused(Response(401, b'{"code": "80200003", "msg": "Oauth Token expired", "requestId": ""}'))
    True
    """
    return f'"{EXPIRED_CODE}"'.encode() in response.content


ACCESS_TOKENS = AccessTokenSource(
    build_request=build_token_request, parse_reply=parse_token_reply, is_refused=is_refused, source=GUIDE
)
