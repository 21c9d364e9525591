"""Place of an index: a name that distinguishes its folder from copies of the folder.

Some records are about what other systems have, and are true in one folder only: a copy, or a backup that is put back,
knows nothing of what was done from the other folder since. Such a record has the place in its facts.

The place is the fingerprint of an empty file: its inode, and the time of its last status change, which no program can
set. Moving the folder keeps them, copying it makes others.
"""

from pathlib import Path

from audience._fs.atomic import fsync_path
from audience._fs.private_files import PRIVATE_FOLDER_MODE, create_file
from audience.index.records.record_files import load_record_list, replace_facts
from audience.index.storage.layout import SYNCS_FOLDER
from audience.index.storage.published import Storage

PLACE_FILE = f"{SYNCS_FOLDER}/place"
PLACE_FACT = "place"
NANOSECONDS_PER_MICROSECOND = 1_000  # network file systems keep no finer times


def read_place(storage: Storage) -> str:
    """Return the place of an index; empty if none of its records has one."""
    try:
        stat = Path(storage.path_of(PLACE_FILE)).stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return f"{stat.st_ino} {stat.st_ctime_ns // NANOSECONDS_PER_MICROSECOND}"


def create_place(storage: Storage) -> str:
    """Return the place of an index, which is created if it has none. The caller has the lock of the index."""
    file = Path(storage.path_of(PLACE_FILE))
    if not file.exists():
        file.parent.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
        create_file(file).close()
        fsync_path(file)
        fsync_path(file.parent)
    return read_place(storage)


def move_place(storage: Storage, old_place: str) -> None:
    """Move records from the place *old_place* to that of the folder that has replaced it.

    The caller has the lock of the index. If the process dies before, the records are of another place, as in a copy.
    """
    files = load_record_list(storage).files
    moved = {name: entry for name, entry in files.items() if old_place and entry.facts.get(PLACE_FACT) == old_place}
    if moved:
        place = create_place(storage)
        replace_facts(storage, {name: {**entry.facts, PLACE_FACT: place} for name, entry in moved.items()})
