"""Packages of tokens and of accounts: a file is uploaded first, and pushed to by its number.

https://www.tencentcloud.com/document/product/1024/38862 and https://www.tencentcloud.com/document/product/1024/38830:
a zip of one text file, an id a line, 100 MB at the most.
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
MAX_PACKAGE_TOKENS = 1_000_000  # 37 MB of lines, of the 100 MB that a file may have: a package is made in memory
ZIP_NAME, TEXT_NAME = "ids.zip", "ids.txt"
COMPRESSION_LEVEL = 1  # level of compression: ids are nearly random


def build_upload(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Request:
    """The request that uploads the ids of *targets*; DeliveryError for one that is no line of a file.

    >>> build_upload({}, [{"audience_type": "token_list", "token_list": ["token1"]}], Credentials("https://…", {})).path
    '/v3/push/package/upload'
    """
    packed = zip_ids(listed_ids(targets))
    boundary = sha256(packed).hexdigest()[:32]
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{ZIP_NAME}"\r\n'
        "Content-Type: application/zip\r\n\r\n"
    )
    return Request(
        method="POST",
        path=UPLOAD_PATH,
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        content=b"".join((head.encode(), packed, f"\r\n--{boundary}--\r\n".encode())),
    )


def zip_ids(ids: Sequence[str]) -> bytes:
    """A zip of one text file with *ids*, one a line; always the same bytes for the same ids."""
    if wrong := list(filter(is_invalid_line, ids)):
        raise DeliveryError(Problem("no-line", f"{wrong[0]!r} is not one id in a file with an id a line"))
    found = BytesIO()
    with ZipFile(found, "w") as file:
        file.writestr(ZipInfo(TEXT_NAME), "\n".join(ids).encode(), ZIP_DEFLATED, COMPRESSION_LEVEL)
    return found.getvalue()
