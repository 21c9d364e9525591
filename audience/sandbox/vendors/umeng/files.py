"""Files of tokens or aliases: uploaded once, kept for two months, and named by the casts of that time.

https://dev.umeng.com/push/android/api-doc: at most 10 MB, one name a line.
"""

from typing import Any

from audience.sandbox.http_types import JsonObject, VendorRefusal
from audience.sandbox.vendor_state import VendorState

MAX_FILE_BYTES = 10 * 1024 * 1024
KEPT_SECONDS = 60 * 86_400.0
PREFIX = "PF"


def store_file(request: JsonObject, state: VendorState) -> str:
    """Store the content of an upload; return the id that casts name it by."""
    content = request.get("content")
    if not isinstance(content, str) or not content.strip():
        raise VendorRefusal(2029, "content is missing")
    data = content.encode()
    if len(data) > MAX_FILE_BYTES:
        raise VendorRefusal(2023, f"a file has at most {MAX_FILE_BYTES:,} bytes")
    number = next(state.upload_numbers)
    state.uploads[number] = data
    file_id = f"{PREFIX}{number:018d}"
    state.given_keys[file_id] = state.clock()
    return file_id


def read_file(file_id: Any, state: VendorState) -> list[str]:
    """Return the names in a file, each once."""
    if not isinstance(file_id, str) or not file_id:
        raise VendorRefusal(2018, "file_id is missing")
    since = state.given_keys.get(file_id)
    if since is None or state.clock() - since > KEPT_SECONDS:
        raise VendorRefusal(2019, f"there is no file {file_id}")
    text = state.uploads[int(file_id.removeprefix(PREFIX))].decode()
    return list(dict.fromkeys(line.strip() for line in text.split("\n") if line.strip()))
