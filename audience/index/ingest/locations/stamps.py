"""States of the files and objects of a source, by which a change of them is noticed."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from audience.errors import ClusterError, Problem
from audience.index.ingest.locations.location_names import find_scheme
from audience.index.ingest.locations.source_files import list_files


@dataclass(frozen=True, slots=True)
class FileStamp:
    """State of a file."""

    path: Path
    nbytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> "FileStamp":
        """Return the state of the file at *path* as it is now."""
        status = path.stat()
        return cls(path.absolute(), status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class ObjectStamp:
    """State of an object of a store."""

    url: str
    nbytes: int
    modified: str
    etag: str | None


Stamp: TypeAlias = FileStamp | ObjectStamp


def list_stamps(name: str) -> list[Stamp]:
    """Return the states of the files, or objects, of the table *name* as they are now.

    Raises:
        TableError: There is none, or a store cannot be read.
    """
    if find_scheme(name) is None:
        return [FileStamp.of(file.path) for file in list_files(Path(name))]
    from audience.index.ingest.locations.object_files import list_object_stamps  # loads slowly, and few need it

    return [*list_object_stamps(name)]


def require_unchanged(stamps: Iterable[FileStamp]) -> None:
    """Raise ClusterError if a file is missing here, or is not the one that the head of the cluster has read."""
    for stamp in stamps:
        try:
            found: FileStamp | None = FileStamp.of(stamp.path)
        except OSError:
            found = None
        if found != stamp:
            reason = "is not on every machine" if found is None else "was changed, or differs from machine to machine"
            hint = "use a folder that all machines share, and build again"
            raise ClusterError(Problem("other-source", f"{stamp.path} {reason}", hint=hint))


def require_same(stamps: Iterable[Stamp], names: Iterable[str]) -> None:
    """Raise ClusterError if the files or objects of *names* are others than *stamps* by now."""
    found = [stamp for name in names for stamp in list_stamps(name)]
    changed = {*stamps} ^ {*found}
    if changed:
        places = sorted({str(stamp.path if isinstance(stamp, FileStamp) else stamp.url) for stamp in changed})
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        message = f"{places[0]}{more} changed while the rows were copied"
        raise ClusterError(Problem("other-source", message, hint="start the command again"))
