"""Exports whose rows the processes of a cluster write, each those of some shards; the file is that of one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import BinaryIO

from audience._fs.atomic import TEMP_SUFFIX, reject_url
from audience.cluster.cluster import Cluster
from audience.errors import OutputError, Problem
from audience.index.query.evaluate import find_live_rows
from audience.index.query.exported_columns import DEFAULT_ROWS, empty_frame, iter_exported_frames
from audience.index.query.exported_files import ExportForm, stream_parts, write_export, write_part
from audience.index.query.shared_shards import GroupTask, map_groups
from audience.index.query.validate import validate_and_expand
from audience.index.storage.bitmaps import bitmap_to_rows
from audience.index.storage.joined_shard import rows_by_shard
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf
from audience.language.ast import Expr
from audience.progress import Progress


@dataclass(frozen=True, slots=True)
class _ExportQuestion:
    """Devices to export: their expression, validated and expanded, the form, and the folder of the parts."""

    expr: Expr
    form: ExportForm
    folder: Path


@dataclass(frozen=True, slots=True)
class _Part:
    """Exported devices of a shard: the file, and their number."""

    path: Path
    devices: int


def export_on_cluster(
    expr: Expr,
    snapshot: Snapshot,
    asked: AsOf,
    path: Path,
    form: ExportForm,
    cluster: Cluster,
    *,
    replace: bool,
    progress: Progress,
) -> tuple[int, int]:
    """Write the devices of *expr* to the file *path*, in a folder that all processes see; it appears when complete.

    The processes write the rows beside it, and this one joins them. Return the number of devices and of bytes.

    Args:
        expr: Audience.
        snapshot: Snapshot.
        asked: When and where it is asked.
        path: File.
        form: Its form.
        cluster: Processes that write.
        replace: Replace an older file.
        progress: Progress callback.

    Raises:
        ExpressionError: The expression refers to something that the index does not have.
        TableError: A value of a list has the separator.
        OutputError: *path* exists or cannot be written.
        ClusterError: The cluster is lost, or its processes do not see the index.
    """
    expanded = validate_and_expand(expr, snapshot, asked)
    with _open_folder(path.absolute()) as folder:
        question, parts = _ExportQuestion(expanded, form, folder), dict[str, _Part]()
        for answer in map_groups(_write_parts, snapshot, question, cluster):
            parts |= answer
            progress("writing", sum(part.devices for part in parts.values()), 0)
        in_order = [parts[shard.name].path for shard in snapshot.shards]

        def join(file: BinaryIO) -> None:
            stream_parts(file, form.file_format, empty_frame(form.columns), in_order, DEFAULT_ROWS)

        return sum(part.devices for part in parts.values()), write_export(path, join, replace)


@contextmanager
def _open_folder(path: Path) -> Iterator[Path]:
    """Yield a folder beside *path* that only the owner may read, and remove it at the end."""
    reject_url(path)
    try:
        folder = TemporaryDirectory(f"{TEMP_SUFFIX}", f".{path.name}.", path.parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{path}: {error.strerror or error}")) from error
    with folder as name:
        yield Path(name)


def _write_parts(task: GroupTask[_ExportQuestion]) -> dict[str, _Part]:
    """Write the devices of each shard to a file, and return the files by the names of the shards."""
    question, evaluated, parts = task.question, task.shards(), dict[str, _Part]()
    rows = rows_by_shard(evaluated, [find_live_rows(question.expr, shard) for shard in evaluated])
    form = question.form
    for shard in task.place.open().shards:
        if shard.name not in rows:
            continue
        path = question.folder / f"{shard.name}.{token_hex(4)}"  # another process may write the same
        frames = iter_exported_frames([(shard, bitmap_to_rows(rows[shard.name]))], form.columns, DEFAULT_ROWS)
        write_part(path, form.file_format, frames, form.list_separator)
        parts[shard.name] = _Part(path, len(rows[shard.name]))
    return parts
