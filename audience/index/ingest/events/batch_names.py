"""Names of batches: a file that was added before is recognized by its content."""

from io import BytesIO

import orjson
import polars as pl

from audience._fs.checksums import new_hasher
from audience.index.ingest.locations.source_files import SourceFile
from audience.index.ingest.reader import wrap_polars_errors

READ_BYTES = 1 << 24  # of a file that are hashed at a time
BLOCK_ROWS = 1 << 16  # rows of a frame that are hashed at a time


def name_file_batch(file: SourceFile, event: str | None) -> str:
    """Return the name of the batch of a file.

    Its content decides, with *event*, the name of all its events, and the columns that its Hive folders give.
    """
    hasher = new_hasher()
    hasher.update(b"" if event is None else event.encode() + b"\0")
    hasher.update(orjson.dumps(dict(file.partitions)) if file.partitions else b"")
    with wrap_polars_errors(), file.path.open("rb") as opened:
        while data := opened.read(READ_BYTES):
            hasher.update(data)
    return f"xxh3-{hasher.hexdigest()}"


class FrameHasher:
    """Hasher of the content of events that arrive in frames; how they are divided makes no difference.

    >>> frame, hashers = pl.DataFrame({"event": [0, 0, 0], "at": [1, 2, 3]}), [FrameHasher(), FrameHasher()]
    >>> hashers[0].add(frame, ["buy"])
    >>> for row in range(3):
    ...     hashers[1].add(frame[row : row + 1], ["buy"])
    >>> hashers[0].name() == hashers[1].name()
    True
    """

    def __init__(self) -> None:
        self._hasher = new_hasher()
        self._pending: list[pl.DataFrame] = []
        self._names: list[str] = []

    def add(self, frame: pl.DataFrame, names: "list[str]") -> None:
        """Add the events of *frame*, whose names are positions in *names*."""
        self._names = names
        self._pending.append(frame)
        while sum(map(len, self._pending)) >= BLOCK_ROWS:
            joined = pl.concat(self._pending, how="vertical_relaxed")
            self._hasher.update(_to_bytes(joined[:BLOCK_ROWS]))
            self._pending = [joined[BLOCK_ROWS:]]

    def name(self) -> str:
        """Return the name of the batch of all events that were added."""
        if self._pending:
            self._hasher.update(_to_bytes(pl.concat(self._pending, how="vertical_relaxed")))
            self._pending = []
        self._hasher.update(orjson.dumps(self._names))
        return f"xxh3-{self._hasher.hexdigest()}"


def _to_bytes(frame: pl.DataFrame) -> bytes:
    stream = BytesIO()
    frame.rechunk().write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
    return stream.getvalue()
