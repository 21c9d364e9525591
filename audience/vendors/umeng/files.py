r"""Files of Umeng: device tokens are uploaded by `POST /upload`, and a filecast names the file.

Source: https://dev.umeng.com/push/android/api-doc: at most 10 MB, one token a line, a line break `\n` behind each, and
kept for two months. The content is a text in JSON.
"""

from collections.abc import Sequence
from datetime import timedelta

from audience.errors import DeliveryError, Problem
from audience.vendors.delivery_spec import Credentials, Request
from audience.vendors.payload_reader import dump_json
from audience.vendors.spec import Payload

UPLOAD_PATH = "/upload"
MAX_FILE_TOKENS = 150_000  # tokens of iOS have 64 characters: with their line breaks, 9.75 MB
MAX_FILE_BYTES = 10_000_000
LIFETIME = timedelta(days=58)  # two months are 59 days at least
JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8"}


def build_upload(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Request:
    r"""Build the upload of the tokens of *targets*; raise DeliveryError if a file cannot have them.

    >>> build_upload({}, [{"type": "listcast", "device_tokens": "t1,t2"}], Credentials("https://…", {})).content
    b'{"content":"t1\\nt2\\n"}'
    """
    tokens = list_tokens(targets)
    content = "".join(f"{token}\n" for token in tokens)
    if content.splitlines() != tokens or not all(token and token == token.strip() for token in tokens):
        message = "a device token cannot be a line of the file that is uploaded"
        raise DeliveryError(Problem("no-line", message, hint="remove line breaks and blanks at the ends of the tokens"))
    if len(content.encode()) > MAX_FILE_BYTES:
        message = f"{len(tokens):,} device tokens take more than {MAX_FILE_BYTES:,} bytes"
        raise DeliveryError(Problem("too-many", message, hint="send by listcast"))
    return Request(
        method="POST", path=UPLOAD_PATH, headers=JSON_HEADERS, content=dump_json({"content": content}).encode()
    )


def list_tokens(targets: Sequence[Payload]) -> list[str]:
    """Return all device tokens that *targets* list.

    >>> list_tokens([{"device_tokens": "a,b"}, {"device_tokens": "c"}])
    ['a', 'b', 'c']
    """
    return [token for target in targets for token in target["device_tokens"].split(",")]
