"""Note of the index that has synced an application last, which all indexes of this user on a machine share.

A sync knows what it has set itself. Tags that another index has set since make its state wrong, so every sync leaves
the name of its state in a note before its first call, and each one looks whether the note has another name. Nobody
notices an index on another machine, or of another user.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import orjson

from audience._fs.atomic import atomic_write
from audience._fs.state_folder import find_state_folder, open_state_folder
from audience.tag_sync.state import Application

FOLDER_NAME = "syncs"
DIGEST_LENGTH = 16


@dataclass(frozen=True, slots=True)
class LastIndex:
    """Index that has synced an application last.

    Attributes:
        source: Name of the state that it keeps of the application.
        location: Where the index was then.
    """

    source: str
    location: str


def name_source() -> str:
    """Return a name for the state of an application that no other index has."""
    return token_hex(8)


def read_last_index(application: Application) -> LastIndex | None:
    """Return the index that has synced *application* last; None if that is not known."""
    try:
        fields = orjson.loads(_note_path(find_state_folder(FOLDER_NAME), application).read_bytes())
        return LastIndex(str(fields["source"]), str(fields["location"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_last_index(application: Application, last: LastIndex) -> None:
    """Note that calls for *application* are about to be made from the index *last*.

    Without a folder that can be written, syncs of several indexes do not notice each other, nor share a rate limit.
    """
    try:
        path = _note_path(open_state_folder(FOLDER_NAME), application)
        atomic_write(path, orjson.dumps({"source": last.source, "location": last.location}))
    except OSError:
        return


def find_other_index(application: Application, source: str) -> str:
    """Return the place of another index than that of *source* which has synced *application* last; else nothing."""
    last = read_last_index(application)
    return "" if last is None or last.source == source else last.location


def _note_path(folder: Path, application: Application) -> Path:
    return folder / f"{re.sub('[^a-z0-9_]', '-', application.family)}-{application.digest[:DIGEST_LENGTH]}.json"
