"""Packages of tokens or accounts: a file is uploaded first, and a push refers to it by its upload_id.

Sources: https://www.tencentcloud.com/document/product/1024/38862 and
https://www.tencentcloud.com/document/product/1024/38830: a zip of one text file, one id a line, at most 100 MB.
"""

from collections.abc import Sequence
from hashlib import sha256
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from audience.errors import DeliveryError, Problem
from audience.vendors.delivery_spec import Credentials, Request
from audience.vendors.spec import Payload
from audience.vendors.tpns.id_lists import is_invalid_line, listed_ids

UPLOAD_PATH = "/v3/push/package/upload"
MAX_PACKAGE_TOKENS = 1_000_000  # 37 MB of the 100 MB of a file: a package is built in memory
ZIP_NAME, TEXT_NAME = "ids.zip", "ids.txt"
COMPRESSION_LEVEL = 1  # ids are nearly random, so a higher level gains little


def build_upload(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Request:
    """Build the upload of the ids of *targets*, or raise DeliveryError for an id that is not one line.

    >>> build_upload({}, [{"audience_type": "token_list", "token_list": ["token1"]}], Credentials("https://…", {})).path
    '/v3/push/package/upload'
    """
    archive = zip_ids(listed_ids(targets))
    boundary = sha256(archive).hexdigest()[:32]
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{ZIP_NAME}"\r\n'
        "Content-Type: application/zip\r\n\r\n"
    )
    return Request(
        method="POST",
        path=UPLOAD_PATH,
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        content=b"".join((head.encode(), archive, f"\r\n--{boundary}--\r\n".encode())),
    )


def zip_ids(ids: Sequence[str]) -> bytes:
    """Build a zip of one text file with one id a line; the same ids always give the same bytes."""
    if invalid_ids := list(filter(is_invalid_line, ids)):
        message = f"{invalid_ids[0]!r} cannot be a line of the file that is uploaded"
        raise DeliveryError(Problem("no-line", message, hint="remove line breaks and blanks at the ends of the ids"))
    buffer = BytesIO()
    with ZipFile(buffer, "w") as file:
        file.writestr(ZipInfo(TEXT_NAME), "\n".join(ids).encode(), ZIP_DEFLATED, COMPRESSION_LEVEL)
    return buffer.getvalue()
