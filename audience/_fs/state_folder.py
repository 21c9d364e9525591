"""Folders of this user for what processes on a machine share apart from any index: paces, and notes of syncs."""

import os
import stat
from pathlib import Path

from platformdirs import user_state_path


def find_state_folder(name: str) -> Path:
    """Return the folder *name*, of mode 700 in the folder for state of this user."""
    return user_state_path("audience") / name


def open_state_folder(name: str) -> Path:
    """Create the folder *name*, and return it. Raises OSError if it cannot be used, or is another user's."""
    folder = find_state_folder(name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    details = folder.lstat()
    if not stat.S_ISDIR(details.st_mode) or details.st_uid != os.geteuid():
        raise PermissionError(0, "it is not a folder of this user", str(folder))
    if details.st_mode & 0o077:
        folder.chmod(0o700)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(0, "it cannot be written", str(folder))
    return folder
