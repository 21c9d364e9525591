"""Name of the user who runs a command, which the history of segments keeps."""

import getpass
import os

from audience.index.records.segment_history import MAX_AUTHOR


def find_login_name() -> str | None:
    """Return the login name of the user, `uid 1000` for a user without one, or None where there are no users."""
    try:
        name = "".join(filter(str.isprintable, getpass.getuser())).strip()[:MAX_AUTHOR]
    except (OSError, KeyError, ImportError):  # a container may run as a user that no one has named
        name = ""
    if name or not hasattr(os, "getuid"):
        return name or None
    return f"uid {os.getuid()}"
