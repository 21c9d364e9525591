"""Changes of an index: devices updated, tagged and removed, each as a new snapshot.

A device that changes leaves its row, which is dead from then on, and gets a new one in a new shard. Nothing that a
reader may hold is ever written to.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.errors import Problem, TableError
from audience.index.changes.compaction import Group, loose, rewritten, stacked, stale, uneven, untidy
from audience.index.ingest.build import check_ids, refuse_doubled, refuse_shared, refuse_too_many, written_table
from audience.index.ingest.cast import first_rows
from audience.index.ingest.decode import decoded, dictionaries, listed, packed, refuse_mixed
from audience.index.ingest.encode import Table
from audience.index.ingest.reader import Opened, opened
from audience.index.ingest.sources import Source
from audience.index.schema.column_roles import Roles, distinct
from audience.index.schema.columns import Column
from audience.index.storage import bitmaps, id_search
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import SHARDS, Manifest, Snapshot, now, publish, write_dead
from audience.index.storage.write_lock import writing
from audience.language.attribute_names import BARE
from audience.language.suggest import did_you_mean
from audience.progress import Progress

LISTS = ("tags", "tag", "xg_user_define")  # what columns of bare tags are usually called
PART = 1 << 20  # devices of an update that are in memory at once
SOON = 1 << 18  # devices; to tidy up more takes a second or more

Found: TypeAlias = tuple[Shard, pl.DataFrame]  # a shard, and the rows that were found there with their ids
Rows: TypeAlias = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Change:
    """What a change did: the number of its snapshot, and how many devices it changed, added and removed.

    *unknown* ids are those that no device has; of them nothing was done.
    """

    snapshot: int
    changed: int = 0
    added: int = 0
    removed: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Opening:
    """An index that is being changed: what is current, its shards, the names that new files get, who hears of it."""

    folder: Path
    manifest: Manifest
    shards: list[Shard]
    names: Iterator[str]
    progress: Progress

    @classmethod
    def of(cls, folder: Path, manifest: Manifest, progress: Progress) -> "Opening":
        names = (f"{manifest.number + 1:08}-{number:05}" for number in count())
        return cls(folder, manifest, list(Snapshot(folder, manifest).shards), names, progress)

    def written(self, table: Table) -> Shard:
        """A new shard of *table*."""
        return Shard(self.folder / SHARDS, written_table(self.folder / SHARDS, next(self.names), table))

    def tidied(self, shards: Sequence[Shard], what: str, columns: Sequence[Column]) -> int:
        """Make *shards* the index, and what would slow down questions new ones; the number of the last snapshot.

        Where that takes a while, they are published as they are before, so that the change is seen soon.
        """
        state, groups = self, untidy(shards)
        anew = stale(groups)
        if sum(shard.devices for group in anew for shard in group) > SOON:
            state = replace(self, manifest=self.publish(shards, what, columns))
            what = f"tidied after {what.partition(':')[0]}"
        return state.publish(self.rewritten(groups, anew, columns), what, columns).number

    def rewritten(self, groups: Sequence[Group], anew: Sequence[Group], columns: Sequence[Column]) -> list[Shard]:
        """*groups* as shards, those *anew* written."""
        return rewritten(groups, anew, columns, (self.folder / SHARDS, self.names), self.progress)

    def publish(self, shards: Sequence[Shard], what: str, columns: Sequence[Column]) -> Manifest:
        """Make *shards* the index; its manifest."""
        number = self.manifest.number + 1
        devices = sum(shard.devices for shard in shards)
        refuse_too_many(devices)
        dead = write_dead(self.folder, number, {shard.name: shard.dead for shard in shards if shard.dead})
        files = tuple(shard.files for shard in shards)
        manifest = Manifest(number, now(), what, devices, tuple(columns), files, dead, self.manifest.segments)
        publish(self.folder, manifest)
        return manifest


def update(
    folder: Path,
    source: Source,
    roles: Roles,
    vendors: Sequence[str],
    *,
    new: Iterable[str],
    wait: float,
    progress: Progress,
) -> Change:
    """Write what the table *source* says of devices: those that are known change in its columns, others are added.

    Raises TableError as a build does, and for a column that the index does not have, unless it is one of *new*.
    """
    with writing(folder, "update", wait) as manifest:
        table = _known_columns(source, replace(roles, known=manifest.columns), vendors, set(new))
        columns = list(dict.fromkeys((*manifest.columns, *table.columns)))
        key = _key(table, manifest)
        if not table.rows and len(columns) == len(manifest.columns):
            return Change(manifest.number)
        state = Opening.of(folder, manifest, progress)
        shards, fresh, changed = state.shards, list[Shard](), 0
        for first, part in table.parts(PART):
            progress("updating devices", first, table.rows)
            _check_key(part, key, first)
            found = _found(shards, [f"id:{key.name}"], part[key])
            changed += sum(len(rows) for _, rows in found)
            fresh.append(state.written(_merged(part, key, found, columns)))
            shards = _left(shards, found)
        progress("checking ids", 0, 0)
        others = [column for column in table.columns if column.role == "id" and column != key]
        refuse_doubled(fresh, table, [key])  # what others had such an id has left them
        refuse_doubled([*shards, *fresh], table, others, fresh)
        refuse_shared([*shards, *fresh], columns)
        refuse_mixed([*shards, *fresh], columns)
        added = table.rows - changed
        what = f"update: {_devices(changed)} changed, {added:,} added"
        return Change(state.tidied([*shards, *fresh], what, columns), changed, added)


def _key(table: Opened, manifest: Manifest) -> Column:
    """The first column of ids that the index and *table* share."""
    for column in manifest.columns:
        if column.role == "id" and column in table.columns:
            return column
    names = ", ".join(column.source for column in manifest.columns if column.role == "id")
    raise TableError(Problem("no-id", "the table has no column of ids that the index has", hint=f"it has {names}"))


def _known_columns(source: Source, roles: Roles, vendors: Sequence[str], new: set[str]) -> Opened:
    """The table *source*, whose columns are those of the index, or *new*."""
    table = opened(source, roles, vendors)
    sources = [column.source for column in roles.known]
    for column in table.columns:
        if column not in roles.known and column.source not in new:
            hint = did_you_mean(column.source, sources) or f"say --new {column.source}, or --ignore {column.source}"
            message = f"the index was built without a column {column.source!r}"
            raise TableError(Problem("new-column", message, hint=hint))
    distinct(list(dict.fromkeys((*roles.known, *table.columns))))
    return table


def _check_key(part: Table, key: Column, first: int) -> None:
    """Every row needs an id in the column *key*, and no two rows of a part the same."""
    check_ids(part, first)
    for wrong, code, what in (
        (part[key].is_null(), "missing-id", "no id"),
        (part[key].is_duplicated(), "duplicate-id", "an id that another row has"),
    ):
        rows = first_rows(wrong, part[key], first)
        if rows:
            raise TableError(Problem(code, f"column {key.source!r} holds {what}: {rows}"))


def _found(shards: Sequence[Shard], names: Sequence[str], ids: pl.Series) -> list[Found]:
    """Where the devices with *ids* are, in rising rows; one id that names two devices is refused."""
    found = []
    for shard in shards:
        rows = pl.concat([pl.DataFrame(schema=id_search.FOUND), *(id_search.rows(shard, name, ids) for name in names)])
        if len(rows):
            found.append((shard, (rows.unique() if len(names) > 1 else rows).sort("row")))
    if len(names) > 1:
        named = pl.concat([rows.select("id") for _, rows in found]) if found else pl.DataFrame({"id": []})
        twice = named.filter(named["id"].is_duplicated())
        if len(twice):
            message = f"{twice['id'][0]!r} names different devices at different vendors"
            raise TableError(Problem("ambiguous-id", message))
    return found


def _left(shards: Sequence[Shard], found: Iterable[Found]) -> list[Shard]:
    """*shards* without the rows that were *found*."""
    gone = {shard.name: bitmaps.from_rows(_rows(rows)) for shard, rows in found}
    return [
        shard.without(gone[shard.name] | (shard.dead or bitmaps.BitMap())) if shard.name in gone else shard
        for shard in shards
    ]


def _rows(found: pl.DataFrame) -> Rows:
    return found["row"].unique().sort().to_numpy()


def _merged(part: Table, key: Column, found: Sequence[Found], columns: Sequence[Column]) -> Table:
    """The devices of *part*, with what the shards know of them beyond it."""
    names = dictionaries(columns)
    part = {column: packed(values, names.get(column)) for column, values in part.items()}
    kept = [column for column in columns if column not in part]
    added = np.ones(len(part[key]), dtype=np.bool_)
    tables = []
    for shard, rows in found:
        old, at = decoded(shard, rows["row"].to_numpy(), kept, names), rows["at"]
        tables.append({column: old[column] if column in old else part[column].gather(at) for column in columns})
        added[at.to_numpy()] = False
    others = pl.Series(np.flatnonzero(added))
    missing = pl.Series([None], dtype=pl.String).new_from_index(0, len(others))
    tables.append({column: part[column].gather(others) if column in part else missing for column in columns})
    return stacked(tables, columns)


def tag(
    folder: Path, ids: Iterable[str], add: Iterable[str], remove: Iterable[str], wait: float, progress: Progress
) -> Change:
    """Give the devices with *ids* the bare tags *add*, and take *remove* from them.

    Raises TableError for a tag that is to be added and removed, and for an id that names two devices.
    """
    adds, removes = _tag_names(add), _tag_names(remove)
    _check_tags(adds, removes)
    wanted = _distinct_ids(ids)
    with writing(folder, "tag", wait) as manifest:
        progress("tagging devices", 0, 0)
        state = Opening.of(folder, manifest, progress)
        found = _found(state.shards, _id_names(manifest), wanted)
        owners = _owners(state.shards, manifest.columns, [*adds, *removes])
        columns = list(dict.fromkeys((*manifest.columns, *(owners[name] for name in adds))))
        distinct(columns)
        unknown = len(wanted) - sum(rows["id"].n_unique() for _, rows in found)
        moving = [(shard, some) for shard, rows in found if len(some := _not_so_yet(shard, _rows(rows), adds, removes))]
        fresh = [state.written(_tagged(table, owners, adds, removes)) for table in _tables(moving, columns)]
        changed = sum(len(rows) for _, rows in moving)
        if not changed:
            return Change(manifest.number, unknown=unknown)
        said = [*(f"+{name}" for name in adds), *(f"-{name}" for name in removes)]
        what = f"tag {', '.join(said)}: {_devices(changed)} changed"
        number = state.tidied([*_left(state.shards, moving), *fresh], what, columns)
        return Change(number, changed, unknown=unknown)


def _tables(found: Iterable[Found], columns: Sequence[Column]) -> Iterator[Table]:
    """The devices that were *found*, as many at a time as are in memory at once, but for those of one shard."""
    some, size, names = list[Table](), 0, dictionaries(columns)
    for shard, rows in found:
        if some and size + len(rows) > PART:
            yield stacked(some, columns)
            some, size = [], 0
        some.append(decoded(shard, rows["row"].to_numpy(), columns, names))
        size += len(rows)
    if some:
        yield stacked(some, columns)


def _check_tags(adds: Mapping[str, None], removes: Mapping[str, None]) -> None:
    if not adds and not removes:
        raise TableError(Problem("no-tag", "no tag is to be added or removed", hint="say --add TAG or --remove TAG"))
    for name in adds:
        if name in removes:
            raise TableError(Problem("both-ways", f"the tag {name!r} is to be added and removed", hint="say one"))


def _tag_names(names: Iterable[str]) -> dict[str, None]:
    found = dict[str, None]()
    for name in names:
        if not isinstance(name, str) or not name:
            raise TableError(Problem("empty-name", f"{name!r} is no tag", hint="write at least one character"))
        if not _is_text(name):
            raise TableError(Problem("bad-name", f"{name!r} is no text", hint="half of a character stands in it"))
        found[name] = None
    return found


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _distinct_ids(ids: Iterable[str]) -> pl.Series:
    """*ids*, each once; one text is one id, not its letters."""
    try:
        some = ids if isinstance(ids, pl.Series) else [ids] if isinstance(ids, str) else list(ids)
        return pl.Series("id", some, dtype=pl.String).drop_nulls().unique()
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise TableError(Problem("bad-ids", "the ids are no texts", hint="give a list of texts")) from error


def _id_names(manifest: Manifest) -> list[str]:
    return [name for name in manifest.ids if name.startswith("id:")]


def _owners(shards: Sequence[Shard], columns: Sequence[Column], names: Iterable[str]) -> dict[str, Column]:
    """The column that each of the tags *names* belongs to: where it stands already, or one that is called so.

    Any other tag goes to the first column of lists; one that holds no tag but its own name is yes or no.
    """
    sources = {column.source: column for column in columns if column.role == "tags"}
    claims = id_search.claims(shards)
    found = {name: sources[min(claims[name])] for name in names if claims.get(name)}
    lists = {source for value, some in claims.items() for source in some if source != value}
    usual = next((name for name in LISTS if name in sources), None) or next(filter(lists.__contains__, sources), None)
    if usual is None:
        taken = {column.source for column in columns}
        free = next(name for name in chain(LISTS, (f"tags {number}" for number in count(2))) if name not in taken)
        sources[usual := free] = Column(free, "tags", BARE)
    return {name: found.get(name) or sources[name if name in sources else usual] for name in names}


def _not_so_yet(shard: Shard, rows: Rows, adds: Iterable[str], removes: Iterable[str]) -> pl.DataFrame:
    """Those of *rows* that lack a tag which is added, or have one which is removed."""
    within = bitmaps.from_rows(rows)
    changing = bitmaps.BitMap()
    for name in adds:
        changing |= within - shard.tagged(name)
    for name in removes:
        changing |= within & shard.tagged(name)
    return pl.DataFrame({"row": bitmaps.rows_of(changing)})


def _tagged(table: Table, owners: Mapping[str, Column], adds: Iterable[str], removes: Iterable[str]) -> Table:
    """*table* with the tags of all of its devices changed."""
    changed = dict(table)
    for column in dict.fromkeys(owners.values()):
        more = [name for name in adds if owners[name] == column]
        less = [name for name in removes if owners[name] == column]
        if column not in changed:  # a tag that nobody has is taken from nobody
            continue
        tags = listed(changed[column]).fill_null([])
        changed[column] = tags.list.set_union(more).list.set_difference(less)
    return changed


def remove(folder: Path, ids: Iterable[str], wait: float, progress: Progress) -> Change:
    """Take the devices with *ids* out of the index."""
    wanted = _distinct_ids(ids)
    with writing(folder, "remove", wait) as manifest:
        progress("removing devices", 0, 0)
        state = Opening.of(folder, manifest, progress)
        found = _found(state.shards, _id_names(manifest), wanted)
        unknown = len(wanted) - sum(rows["id"].n_unique() for _, rows in found)
        removed = sum(len(_rows(rows)) for _, rows in found)
        if not removed:
            return Change(manifest.number, unknown=unknown)
        number = state.tidied(_left(state.shards, found), f"remove: {_devices(removed)}", manifest.columns)
        return Change(number, removed=removed, unknown=unknown)


def compact(folder: Path, wait: float, progress: Progress) -> Change:
    """Write what questions have to go around anew: shards with dead rows, and many small ones as one."""
    with writing(folder, "compact", wait) as manifest:
        state = Opening.of(folder, manifest, progress)
        groups = loose(state.shards)
        anew = uneven(groups)
        shards = state.rewritten(groups, anew, manifest.columns)
        if shards == state.shards:
            return Change(manifest.number)
        what = f"compact: {len(state.shards)} shards are {len(shards)} now"
        return Change(state.publish(shards, what, manifest.columns).number)


def _devices(many: int) -> str:
    return "1 device" if many == 1 else f"{many:,} devices"
