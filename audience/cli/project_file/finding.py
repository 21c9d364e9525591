"""Find the project file that applies to a command.

A file that is found above the working folder decides where keys of vendors are sent. So it is used only if nobody but
its user, root, or their group can have written it. A file that is named has been chosen, whoever owns it.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from audience._fs.private_files import ROOT
from audience.errors import ConfigError, Problem

FILE_NAME = "audience.toml"
VARIABLE = "AUDIENCE_CONFIG"


def find_project_file(named: str | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the project file that applies: *named*, that of the environment, or the nearest in this folder or above.

    Args:
        named: Value of `--config`.
        environment: Environment variables. An empty AUDIENCE_CONFIG is for no file.

    Raises:
        ConfigError: The file belongs to another user, every user can write it, or it links to a file that is gone.

    >>> find_project_file(None, {"AUDIENCE_CONFIG": ""}), find_project_file("crm.toml")
    (None, PosixPath('crm.toml'))
    """
    chosen = environment.get(VARIABLE) if named is None else named
    if chosen is not None:
        return _require_unshared(Path(chosen)) if chosen else None
    try:
        working = Path.cwd()
    except OSError:  # it was removed
        return None
    places = (folder / FILE_NAME for folder in (working, *working.parents))
    found = next((place for place in places if os.path.lexists(place)), None)
    if found is None:
        return None
    shown = Path(os.path.relpath(found, working))
    return _require_own(_require_unshared(_require_target(shown)))


def _require_target(path: Path) -> Path:
    """Return *path*. Raises ConfigError for a link to a file that is gone: the next file above is not meant."""
    if not path.exists():
        message, hint = f"{path}: it links to {path.readlink()}, which is gone", f"set {VARIABLE}= to use no file"
        raise ConfigError(Problem("unreadable-file", message, hint=hint))
    return path


def _require_unshared(path: Path) -> Path:
    """Return *path*. Raises ConfigError if every user can write the file."""
    if path.is_file() and path.stat().st_mode & stat.S_IWOTH:
        message = f"{path}: every user can change it"
        raise ConfigError(Problem("open-config", message, hint=f"run `chmod o-w {path}`"))
    return path


def _require_own(path: Path) -> Path:
    """Return *path*. Raises ConfigError if the file is not one of this user or of root."""
    if path.stat().st_uid not in (os.geteuid(), ROOT):
        hint = f"name it with --config {path} if you trust it, or set {VARIABLE}= to use none"
        raise ConfigError(Problem("open-config", f"{path} belongs to another user", hint=hint))
    return path
