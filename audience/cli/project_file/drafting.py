"""Draft a project file from the command line of a build."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from audience._fs.object_urls import is_url
from audience.cli.project_file.reading import parse_project_file
from audience.errors import OutputError, Problem
from audience.index.ingest.locations.location_names import TABLE_SCHEMES

HEADING = "Defaults of `audience` for this project; every key is an option of a command."
ADVICE = (
    "`audience refresh` builds the index again from here. What else it does, and all keys:\n"
    "docs/project-file.md. Passwords and keys of vendors have no place in this file."
)


def draft_project_file(file: Path, index: Path, tables: Sequence[str], options: Mapping[str, Any]) -> bytes:
    """Return a project file, to be written to *file*, that repeats the build of *index* from *tables*.

    Args:
        file: The new file; paths are written relative to its folder.
        index: Folder of the index, or its URL.
        tables: Files, folders, globs and URLs.
        options: Options of `index build` by name, without those that were not given.

    Raises:
        OutputError: *file* exists.
        ConfigError: An option or a URL has a password.
    """
    if file.exists():
        raise OutputError(Problem("exists", f"{file} already exists", hint="choose another path, or add to it by hand"))
    document = tomlkit.document()
    for line in (HEADING, *ADVICE.splitlines()):
        document.add(tomlkit.comment(line))
    document.add("index", tomlkit.item(_relocate(str(index), file)))
    document.add(tomlkit.nl())
    devices = tomlkit.table()
    places = [_relocate(table, file) for table in tables]
    devices.add("table", places[0] if len(places) == 1 else places)
    for name, value in options.items():
        is_path = isinstance(value, Path)
        devices.add(name, _relocate(str(value), file) if is_path else value)
    document.add("devices", devices)
    text = tomlkit.dumps(document)
    parse_project_file(file, text)  # refuses passwords
    return text.encode()


def _relocate(location: str, file: Path) -> str:
    """Return *location*, if it is a path, relative to the folder of *file*."""
    scheme, colon, rest = location.partition(":")
    if colon and scheme in TABLE_SCHEMES:
        return location if scheme == "iceberg" else f"{scheme}:{_relocate(rest, file)}"
    return location if "://" in location or is_url(location) else os.path.relpath(location, file.absolute().parent)
