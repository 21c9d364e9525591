"""Files of a table on a web server, copied to this machine."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from audience.errors import Problem, TableError
from audience.index.ingest.locations.location_names import redact_url
from audience.index.ingest.locations.source_files import SourceFile, detect_format
from audience.progress import Progress

OPTIONS: dict[str, Any] = {"follow_redirects": True, "timeout": 60, "headers": {"Accept-Encoding": "identity"}}
CHUNK_BYTES = 1 << 20


def copy_web_file(url: str, folder: Path, progress: Progress) -> SourceFile:
    """Copy the file at the web address *url* to *folder*.

    Args:
        url: Address of one file; its path decides the format.
        folder: Folder for the copy.
        progress: Progress callback.

    Raises:
        TableError: It is not there, the server refuses, cannot be reached or breaks off.
    """
    name, path = redact_url(url), unquote(urlsplit(url).path)
    detect_format(path)
    copy = folder / f"file{''.join(Path(path).suffixes[-2:])}"
    try:
        with httpx.stream("GET", url, **OPTIONS) as response, copy.open("wb") as file:
            if response.status_code != httpx.codes.OK:
                raise _describe_status(name, response.status_code)
            total, done = int(response.headers.get("content-length", 0)), 0
            for chunk in response.iter_raw(CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                progress("fetching bytes", min(done, total) if total else done, total)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error).replace(url, name) or type(error).__name__
        message = f"{name} cannot be fetched: {reason}"
        raise TableError(Problem("cannot-fetch", message, hint="check the address and the network")) from None
    return SourceFile(copy, name)


def _describe_status(name: str, status: int) -> TableError:
    if status in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
        return TableError(Problem("no-file", f"there is no table at {name}: HTTP {status}", hint="check the address"))
    message = f"{name} cannot be fetched: the server answers HTTP {status}"
    return TableError(
        Problem("cannot-fetch", message, hint="check the address, and the credentials or the signature in it")
    )
