"""Exports whose rows the processes of a cluster write, each those of some shards; the file is that of one process."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

from audience._fs.atomic import lock_output
from audience.cluster.cluster import Cluster
from audience.index.ingest.shared.kept_calls import ResultForm, digest_job, open_kept_calls
from audience.index.query.evaluate import find_live_rows
from audience.index.query.exported_columns import DEFAULT_ROWS, empty_frame, iter_exported_frames
from audience.index.query.exported_files import ExportForm, stream_parts, write_export, write_part
from audience.index.query.shared_shards import GroupTask, SnapshotPlace, group_tasks
from audience.index.query.validate import validate_and_expand
from audience.index.storage.bitmaps import bitmap_to_rows
from audience.index.storage.joined_shard import rows_by_shard
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf
from audience.language.ast import Expr
from audience.progress import Progress

KIND = "export"  # of the folder of finished shards


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

    The processes write the rows beside it, and this one joins them. Return the number of devices and of bytes. If the
    cluster or this process is lost, the same export goes on from the shards that were finished.

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
        OutputError: *path* exists, cannot be written, or is being written by another process.
        ClusterError: The cluster is lost, or its processes do not see the index.
    """
    expanded = validate_and_expand(expr, snapshot, asked)
    digest = digest_job(repr(SnapshotPlace.of(snapshot)), pickle.dumps(expanded), repr(form))
    with lock_output(path.absolute()), open_kept_calls(path, digest, KIND) as kept:
        question, parts = _ExportQuestion(expanded, form, kept.folder), dict[str, _Part]()
        tasks = {f"shards-{task.positions[0]:06}": task for task in group_tasks(snapshot, question)}
        for answer in kept.map(_write_parts, tasks, PARTS_FORM, cluster):
            parts |= answer
            progress("writing", sum(part.devices for part in parts.values()), 0)
        in_order = [parts[shard.name].path for shard in snapshot.shards]

        def join(file: BinaryIO) -> None:
            stream_parts(file, form.file_format, empty_frame(form.columns), in_order, DEFAULT_ROWS)

        return sum(part.devices for part in parts.values()), write_export(path, join, replace)


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


def _parts_to_json(parts: dict[str, _Part]) -> Any:
    return {name: [part.path.name, part.devices] for name, part in parts.items()}


def _parts_from_json(data: Any, folder: Path) -> dict[str, _Part]:
    return {name: _Part(folder / file, devices) for name, (file, devices) in data.items()}


def _list_parts(parts: dict[str, _Part]) -> list[Path]:
    return [part.path for part in parts.values()]


PARTS_FORM = ResultForm(_parts_to_json, _parts_from_json, _list_parts)
