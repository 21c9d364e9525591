"""Files of a table on this machine: paths, folders, globs and Hive folders."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path

from audience.errors import Problem, TableError
from audience.index.ingest.locations.partitions import read_partitions

FORMAT_BY_SUFFIX = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".csv.gz": "csv",
    ".tsv.gz": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".arrow": "ipc",
    ".ipc": "ipc",
    ".feather": "ipc",
}
SUFFIX_HINT = f"files end in {', '.join(FORMAT_BY_SUFFIX)}"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """File of a table.

    Attributes:
        path: The file on this machine.
        name: Its path or URL as the user knows it, for messages.
        partitions: Columns that the names of its Hive folders give, as text; null is None.
    """

    path: Path
    name: str
    partitions: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def format(self) -> str:
        """Return the format of the file. Raises TableError if its name has no known ending."""
        return detect_format(self.name)


def detect_format(name: str) -> str:
    """Return the format of the file *name*.

    Raises:
        TableError: Its ending is not one of a table.

    >>> detect_format("devices/part-0.CSV.gz")
    'csv'
    """
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    suffix = "".join(suffixes[-2:]) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])
    if suffix not in FORMAT_BY_SUFFIX:
        message = f"{name}: unknown format {Path(name).suffix!r}"
        raise TableError(Problem("unknown-format", message, hint=SUFFIX_HINT))
    return FORMAT_BY_SUFFIX[suffix]


def list_files(path: Path) -> list[SourceFile]:
    """Return the file at *path*, the visible files of a folder, or the matches of a glob.

    Raises:
        TableError: There is none.
    """
    if path.is_dir():
        files = _list_folder(path)
    elif path.exists():
        files = [SourceFile(path, str(path))]
    else:
        root = _fixed_part(path)
        if (root / "_delta_log").is_dir():
            message = f"{path}: {root} is a table of Delta, and a glob would also match files that it has removed"
            raise TableError(Problem("unknown-format", message, hint=f"name the table: {root}"))
        files = [_partitioned_file(Path(name), root) for name in sorted(glob(str(path), recursive=True))]
    if not files:
        raise TableError(Problem("no-file", f"there is no table at {path}", hint=SUFFIX_HINT))
    return files


def _list_folder(folder: Path) -> list[SourceFile]:
    """Return the visible files of *folder*, and those of its Hive folders at any depth."""
    found: list[SourceFile] = []
    for entry in sorted(folder.iterdir()):
        if entry.name[0] in "._":
            continue
        if entry.is_dir() and "=" in entry.name:
            names = (Path(root, name) for root, _, names in sorted(os.walk(entry)) for name in sorted(names))
            below = (name for name in names if is_visible(name.relative_to(folder).parts))
            found += [_partitioned_file(name, folder) for name in below]
        else:
            found.append(SourceFile(entry, str(entry)))
    return found


def is_visible(parts: Iterable[str]) -> bool:
    """Return whether no part of a path is hidden; engines hide files such as `_SUCCESS`."""
    return all(part[0] not in "._" for part in parts)


def _fixed_part(pattern: Path) -> Path:
    """Return the folder that a glob begins with, up to its first wildcard."""
    parts = pattern.parts
    wildcard = next((number for number, part in enumerate(parts) if has_magic(part)), len(parts))
    return Path(*parts[:wildcard])


def _partitioned_file(path: Path, root: Path) -> SourceFile:
    return SourceFile(path, str(path), read_partitions(path.relative_to(root).parts[:-1], str(path)))
