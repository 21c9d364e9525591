"""TPNS packages: a file of tokens or accounts that is uploaded once and named in a push.

https://www.tencentcloud.com/document/product/1024/38862 and /33765: zip, txt or csv of at most 100 MB, a name of 1 to
100 characters, one id a line; a zip holds exactly one txt or csv, and no folder.
"""

import io
import zipfile
from pathlib import PurePosixPath

from audience.sandbox.http_types import JsonObject, VendorRefusal
from audience.sandbox.vendor_state import VendorState

MAX_FILE_BYTES = 100 * 1024 * 1024
MAX_UNZIPPED_BYTES = 1024 * 1024 * 1024  # of what a zip unpacks to, which the page leaves open
TEXT_SUFFIXES = (".txt", ".csv")


def store_upload(file: tuple[str, bytes] | None, state: VendorState) -> int:
    """Store the lines of *file*; return the number that a push names them by."""
    if file is None:
        raise VendorRefusal(1008002, "file is missing")
    name, data = file
    if not 1 <= len(name) <= 100:
        raise VendorRefusal(1008011, "a file name has 1 to 100 characters")
    if len(data) > MAX_FILE_BYTES:
        raise VendorRefusal(1008011, "a file has at most 100 MB")
    text = _unzip_text(data) if name.endswith(".zip") else _check_text_file(name, data)
    try:
        lines = [line for each in text.decode("utf-8-sig").splitlines() if (line := each.strip())]
    except UnicodeDecodeError:
        raise VendorRefusal(1008011, "the text is not UTF-8") from None
    if not lines:
        raise VendorRefusal(1008012, "the file is empty")
    if name.endswith(".csv") and any("," in line for line in lines):
        raise VendorRefusal(1008011, "a csv has one column")
    if odd := next((line for line in lines if not 2 <= len(line) <= 100), None):
        raise VendorRefusal(1008011, f"a line has 2 to 100 characters: {odd[:40]}")
    number = next(state.upload_numbers)
    state.uploads[number] = "\n".join(lines).encode()
    return number


def read_upload(push: JsonObject, state: VendorState) -> list[str]:
    """Return the distinct lines of the file that *push* names."""
    number = push.get("upload_id")
    if number is None:
        raise VendorRefusal(1008002, "upload_id is missing")
    if not isinstance(number, int) or number not in state.uploads:
        raise VendorRefusal(1008007, "upload_id is not known")
    return list(dict.fromkeys(state.uploads[number].decode().splitlines()))


def _check_text_file(name: str, data: bytes) -> bytes:
    if not name.endswith(TEXT_SUFFIXES):
        raise VendorRefusal(1008011, "a file is zip, txt or csv")
    return data


def _unzip_text(data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = archive.infolist()
            if (
                len(files) != 1
                or "/" in files[0].filename
                or PurePosixPath(files[0].filename).suffix not in TEXT_SUFFIXES
            ):
                raise VendorRefusal(1008011, "a zip holds exactly one txt or csv, and no folder")
            if files[0].file_size > MAX_UNZIPPED_BYTES:
                raise VendorRefusal(1008011, "the file is too large")
            return archive.read(files[0])
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise VendorRefusal(1008011, f"no zip: {error}") from None
