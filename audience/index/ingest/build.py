"""A device table of any size → a new index folder, a shard at a time."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from operator import and_
from pathlib import Path

import polars as pl

from audience._fs.atomic import new_folder
from audience.errors import Problem, TableError
from audience.index.ingest.cast import NotVersions, first_rows
from audience.index.ingest.encode import Table, encoded
from audience.index.ingest.reader import Opened, opened, readable
from audience.index.ingest.sources import Source, named
from audience.index.schema.column_roles import Roles
from audience.index.schema.columns import Column
from audience.index.storage import id_search, shard_writer
from audience.index.storage.layout import Files
from audience.index.storage.shard import Shard
from audience.index.storage.shard_writer import Drafts
from audience.index.storage.snapshot import FOLDERS, HISTORY, MANIFEST, SHARDS, Manifest, now, publish
from audience.index.storage.write_lock import locked
from audience.progress import Progress

MOST_DEVICES = 2**32
SHARD = 1 << 22  # devices of a shard; a larger one answers faster and takes more memory to build
SHOWN = 5


def build(
    source: Source, path: Path, roles: Roles, vendors: Sequence[str], *, replace: bool, progress: Progress
) -> None:
    """Read the table *source* and write its index to the new folder *path*.

    Raises TableError, naming the column and the first offending rows, for ids that are missing, empty or there
    twice, and for values that are not what their column should hold; nothing is left at *path* then.
    """
    with _left_alone(path, replace), new_folder(path, marks=FOLDERS, replace=replace) as draft:
        progress("reading the table", 0, 0)
        table = opened(source, roles, vendors)
        refuse_too_many(table.rows)
        for name in (SHARDS, HISTORY):
            (draft / name).mkdir()
        table, files = _all_written(table, roles, draft / SHARDS, progress)
        progress("checking ids", 0, 0)
        shards = [Shard(draft / SHARDS, each) for each in files]
        refuse_doubled(shards, table, [column for column in table.columns if column.role == "id"])
        refuse_shared(shards, table.columns)
        devices = sum(each.rows for each in files)
        publish(draft, Manifest(1, now(), f"build: {devices:,} devices", devices, table.columns, files))


def _left_alone(path: Path, replace: bool) -> AbstractContextManager[None]:
    """Nobody changes the index that is to be replaced meanwhile."""
    return locked(path, "build") if replace and (path / MANIFEST).is_file() else nullcontext()


def _all_written(table: Opened, roles: Roles, folder: Path, progress: Progress) -> tuple[Opened, tuple[Files, ...]]:
    """Write all shards; a column of which some text turns out to be no version is taken for plain text, if not said."""
    while True:
        try:
            return table, tuple(written(table.shards(SHARD, progress), folder, 1))
        except NotVersions as error:
            if error.column.source in roles.said():
                raise
            table = table.retyped(error.column)


def refuse_too_many(devices: int) -> None:
    """Rows are numbered in 32 bits."""
    if devices > MOST_DEVICES:
        message = f"{devices:,} devices; {MOST_DEVICES:,} is the most"
        raise TableError(Problem("too-many-devices", message, hint="build one index for each app or region"))


def written(parts: Iterable[tuple[int, Table]], folder: Path, number: int) -> Iterator[Files]:
    """Write a shard of each of *parts*: while one is read, the one before is written, and that before it synced."""
    with ThreadPoolExecutor(1) as writing, ThreadPoolExecutor(1) as settling:
        written: list[Future[Drafts]] = []
        settled: list[Future[Files]] = []
        for count, (first, table) in enumerate(parts):
            check_ids(table, first)
            settled += [settling.submit(last.result().settled) for last in written]
            written = [writing.submit(_drafts, folder, f"{number:08}-{count:05}", table)]
        settled += [settling.submit(last.result().settled) for last in written]
        yield from (each.result() for each in settled)


def _drafts(folder: Path, name: str, table: Table) -> Drafts:
    found = encoded(table)
    return shard_writer.write(folder, name, found.rows, found.planes, found.ids)


def written_table(folder: Path, name: str, table: Table) -> Files:
    """Write *table* as the shard *name*."""
    return _drafts(folder, name, table).settled()


def check_ids(table: Table, first: int) -> None:
    """Every device of *table*, whose rows begin at *first*, needs an id, and no id may be empty."""
    columns = {column: ids for column, ids in table.items() if column.role == "id"}
    for column, ids in columns.items():
        rows = first_rows(ids == "", ids, first)
        if rows:
            raise TableError(Problem("empty-id", f"column {column.source!r} holds an empty id: {rows}"))
    if not all(ids.null_count() for ids in columns.values()):
        return
    rows = first_rows(reduce(and_, (ids.is_null() for ids in columns.values())), first=first)
    if rows:
        names = ", ".join(repr(column.source) for column in columns)
        raise TableError(Problem("missing-id", f"no id in column {names}: {rows}", hint="every device needs one"))


def refuse_doubled(
    shards: Sequence[Shard], table: Opened, columns: Sequence[Column], fresh: Sequence[Shard] | None = None
) -> None:
    """No two devices may have the same id in one of *columns*; with *fresh*, one of them in one of these shards."""
    for column in columns:
        ids = id_search.doubled(shards, f"id:{column.name}", fresh)
        if len(ids):
            rows = _rows_of(ids, column, table)
            more = f" and {len(ids) - SHOWN:,} more ids" if len(ids) > SHOWN else ""
            message = f"column {column.source!r} holds an id that another device has: {rows}{more}"
            raise TableError(Problem("duplicate-id", message))


def _rows_of(ids: pl.Series, column: Column, table: Opened) -> str:
    """Where the first of *ids* stand in *table*."""
    wanted, text = ids.head(SHOWN), named(column.source).cast(pl.String).alias("id")
    with readable():
        rows = table.source.lazy().select(text, row=pl.int_range(pl.len())).filter(pl.col("id").is_in(wanted.implode()))
        found = rows.head(2 * SHOWN).collect()
    return ", ".join(f"row {row + 1:,} ({text!r})" for text, row in found.iter_rows())


def refuse_shared(shards: Sequence[Shard], columns: Sequence[Column]) -> None:
    """A tag that two columns have is an error, for it may mean two things."""
    places = {column.source: place for place, column in enumerate(columns)}
    for value, sources in id_search.claims(shards).items():
        if len(sources) > 1:
            one, other, *_ = sorted(sources, key=places.__getitem__)
            both = f"columns {one!r} and {other!r} both hold the tag {value!r}"
            raise TableError(Problem("same-tag", both, hint=f"say --typed {other}: then it is {other}:{value}"))
