"""TPNS packages: a file of tokens or accounts that is uploaded once and named in a push.

https://www.tencentcloud.com/document/product/1024/38862 and /33765: zip, txt or csv of at most 100 MB, a name of 1 to
100 characters, one id a line; a zip holds exactly one txt or csv, and no folder.
"""

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from audience.sandbox.http_types import JsonObject, VendorRefusal
from audience.sandbox.vendor_state import VendorState

MAX_FILE_BYTES = 100 * 1024 * 1024
MAX_UNZIPPED_BYTES = MAX_FILE_BYTES  # of what a zip unpacks to, which the page leaves open
MAX_LINES = 5_000_000  # of this sandbox
MALFORMED_ZIP_ERRORS = (NotImplementedError, RuntimeError, EOFError, ValueError, LookupError)
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
    if text.count(b"\n") + text.count(b"\r") > MAX_LINES:
        raise VendorRefusal(1008011, f"this sandbox takes at most {MAX_LINES:,} lines")
    try:
        line_count = sum(_check_line(line, name) for line in _text_lines(text))
    except UnicodeDecodeError:
        raise VendorRefusal(1008011, "the text is not UTF-8") from None
    if not line_count:
        raise VendorRefusal(1008012, "the file is empty")
    number = next(state.upload_numbers)
    state.uploads[number] = text
    return number


def read_upload(push: JsonObject, state: VendorState) -> list[str]:
    """Return the distinct lines of the file that *push* names."""
    number = push.get("upload_id")
    if number is None:
        raise VendorRefusal(1008002, "upload_id is missing")
    if not isinstance(number, int) or number not in state.uploads:
        raise VendorRefusal(1008007, "upload_id is not known")
    return list(dict.fromkeys(_text_lines(state.uploads[number])))


def _text_lines(text: bytes) -> Iterator[str]:
    """Yield the lines that are not blank, one at a time: a file may unpack to millions."""
    lines = io.TextIOWrapper(io.BytesIO(text), "utf-8-sig")
    return (line for each in lines if (line := each.strip()))


def _check_line(line: str, file_name: str) -> int:
    """Reject a line that is no id; return 1 to count it."""
    if file_name.endswith(".csv") and "," in line:
        raise VendorRefusal(1008011, "a csv has one column")
    if not 2 <= len(line) <= 100:
        raise VendorRefusal(1008011, f"a line has 2 to 100 characters: {line[:40]}")
    return 1


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
            with archive.open(files[0]) as file:
                text = file.read(MAX_UNZIPPED_BYTES + 1)  # whatever size the zip says
            if len(text) > MAX_UNZIPPED_BYTES:
                raise VendorRefusal(1008011, f"the zip unpacks to more than {MAX_UNZIPPED_BYTES:,} bytes")
            return text
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, *MALFORMED_ZIP_ERRORS) as error:
        raise VendorRefusal(1008011, f"no zip: {error}") from None
