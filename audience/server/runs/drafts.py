"""Drafts: requests that the service has emitted, with the message that is sent with them.

draft.json            which index and who, the method, and what the dry run found
draft-message.json    the message, as `audience send` reads it
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from audience._fs.atomic import atomic_write
from audience.errors import AudienceError
from audience.json_forms.run_overviews import ServedDryRunForm
from audience.messages import Message
from audience.requests.reader import message_to_json, read_message

DRAFT_FILE, DRAFT_MESSAGE_FILE = "draft.json", "draft-message.json"
DRAFT_FILES = frozenset({DRAFT_FILE, DRAFT_MESSAGE_FILE})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDraft:
    """Record of requests that the service has emitted.

    Attributes:
        index: Name of the index.
        emitted_by: Who emitted them.
        method: Name of the send method for ids; None is the cheapest.
        dry_run: Result of the dry run.
    """

    index: str
    emitted_by: str
    method: str | None
    dry_run: ServedDryRunForm


def write_draft(draft: RunDraft, message: Message, folder: Path) -> None:
    """Write a draft and its message beside the requests in *folder*."""
    fields = {
        "index": draft.index,
        "emitted_by": draft.emitted_by,
        "method": draft.method,
        "dry_run": draft.dry_run,
    }
    (folder / DRAFT_FILE).write_bytes(orjson.dumps(fields))
    (folder / DRAFT_MESSAGE_FILE).write_bytes(message_to_json(message))


def read_draft(folder: Path) -> RunDraft | None:
    """Return the draft of the requests in *folder*; None if the service has not emitted them."""
    try:
        fields: dict[str, Any] = orjson.loads((folder / DRAFT_FILE).read_bytes())
        return RunDraft(
            index=fields["index"],
            emitted_by=fields["emitted_by"],
            method=fields["method"],
            dry_run=fields["dry_run"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_draft_message(message: Message, folder: Path) -> None:
    """Write the message of requests that the service has not emitted."""
    atomic_write(folder / DRAFT_MESSAGE_FILE, message_to_json(message))


def read_known_message(folder: Path, file_names: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the message in the first of these files that there is, as JSON."""
    for name in file_names:
        try:
            if (folder / name).is_file():
                form: dict[str, Any] = orjson.loads(message_to_json(read_message(folder / name)))
                return form
        except AudienceError:  # a message that cannot be read is not shown; sending it says why
            continue
    return None
