"""Packages of tokens: a file is uploaded first, and pushed to by its number.

https://www.tencentcloud.com/document/product/1024/38862: a zip of one text file, a token a line, 100 MB at the most.
"""

from collections.abc import Sequence
from hashlib import sha256
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from audience.errors import DeliveryError, Problem
from audience.vendors.base import Payload
from audience.vendors.wire import Application, Request

UPLOAD = "/v3/push/package/upload"
MOST_TOKENS = 1_000_000  # 37 MB of lines, of the 100 MB that a file may have: a package is made in memory
ZIP, TEXT = "tokens.zip", "tokens.txt"
FAST = 1  # level of compression: tokens are nearly random


def upload(body: Payload, tokens: Sequence[str], application: Application) -> Request:
    """The request that uploads *tokens*; DeliveryError for one that would be more or fewer than one in a file of lines.

    >>> upload({}, ["token1", "token2"], Application("https://…", {})).path
    '/v3/push/package/upload'
    """
    packed = zipped(tokens)
    boundary = sha256(packed).hexdigest()[:32]
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{ZIP}"\r\n'
        "Content-Type: application/zip\r\n\r\n"
    )
    return Request(
        method="POST",
        path=UPLOAD,
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        content=b"".join((head.encode(), packed, f"\r\n--{boundary}--\r\n".encode())),
    )


def zipped(tokens: Sequence[str]) -> bytes:
    """A zip of one text file with *tokens*, one a line; always the same bytes for the same tokens."""
    lines = "\n".join(tokens)
    if lines.split() != list(tokens):
        odd = next(token for token in tokens if token.split() != [token])
        message = f"{odd!r} is not one token in a file with a token a line"
        raise DeliveryError(Problem("no-line", message, hint="send by the way token_list"))
    found = BytesIO()
    with ZipFile(found, "w") as file:
        file.writestr(ZipInfo(TEXT), lines.encode(), ZIP_DEFLATED, FAST)
    return found.getvalue()
