"""State of the tags of each application, kept as a record of the index.

    tags-FAMILY-DIGEST      an Arrow file of one row: a list of ids, and lists of tags and of their bitmaps

Records outlive restores, compactions, vacuum and builds that replace the index. The small facts of a state stand in the
list of records as well, so that a plan reads them without the file.

A copy of the index, such as a backup that is put back, does not know what was synced from the original since, and no
index knows what another one has synced. There all tags are in doubt until the next sync, which sets them again.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import orjson

from audience.errors import DamagedError, InvalidIndexError, LockedError, PlanError, Problem
from audience.index.records.place import PLACE_FACT, create_place, read_place
from audience.index.records.record_files import (
    RecordContent,
    RecordFile,
    load_record_list,
    read_listed_file,
    replace_record_files,
)
from audience.index.storage import arrow_file
from audience.index.storage.arrow_file import ArrowTable
from audience.index.storage.bitmaps import BitMap, deserialize_bitmap, serialize_bitmap
from audience.index.storage.polars_bridge import arrow_to_series, series_to_arrow
from audience.index.storage.published import Storage, damaged_error
from audience.index.storage.write_lock import lock_for_update
from audience.language.ast import Tag
from audience.tag_sync.changes import doubt_changes, forget_known
from audience.tag_sync.last_index import find_other_index, name_source
from audience.tag_sync.state import Application, AttributeSync, StartedSync, StateFacts, TagState
from audience.tag_sync.tags import DeviceTags, NamedScope, Rows, Scope, SyncedTag, join_scopes

STATE_PREFIX = "tags-"
STATE_VERSION = 1
DIGEST_LENGTH = 16


def state_record(application: Application) -> str:
    """Return the name of the record of an application.

    >>> state_record(Application(family="emas", digest="0123456789abcdef0123", host="https://…"))
    'tags-emas-0123456789abcdef'
    """
    return f"{STATE_PREFIX}{application.family}-{application.digest[:DIGEST_LENGTH]}"


def list_states(storage: Storage) -> list[StateFacts]:
    """Return the facts of all applications whose tags were ever synced from an index, by name of the record.

    Raises:
        DamagedError: The list of records is not what was written.
        InvalidIndexError: Another version has written a state.
    """
    files = load_record_list(storage).files
    return [_read_facts(storage, name, entry) for name, entry in sorted(files.items()) if name.startswith(STATE_PREFIX)]


def load_state(storage: Storage, application: Application) -> TagState:
    """Return the state of an application; that of one that was never synced has no tags.

    Raises:
        DamagedError: The file is not what was written.
        InvalidIndexError: Another version has written it.
        PlanError: Its tags are bound to ids of another kind.
    """
    name = state_record(application)
    listed = load_record_list(storage)
    while (entry := listed.files.get(name)) is not None:
        facts = _read_facts(storage, name, entry)
        _require_key_type(facts.application, application)
        try:
            state = _parse_state(facts, read_listed_file(storage, entry), storage.path_of(name))
            return _doubt_everything(state) if facts.is_copy or facts.other_index else state
        except DamagedError:
            newer = load_record_list(storage)  # the file was deleted because a newer version has replaced it
            if newer == listed:
                raise
            listed = newer
    return TagState(application=application)


def _doubt_everything(state: TagState) -> TagState:
    """Return *state* when another index has synced: any device may have or lack any tag that was ever synced."""
    state = state if state.started is None else doubt_changes(state)
    everything = Scope(tags=frozenset(tag.tag for tag in state.known.tags))
    return replace(forget_known(state, everything), started=None, wanted=())


def _require_key_type(stored: Application, application: Application) -> None:
    if stored.key_type != application.key_type:
        message = f"the tags at {stored.host} are bound to {stored.key_type}, not to {application.key_type}"
        hint = f"sync with --key-type {stored.key_type}: a push with tags asks for those of one kind of ids"
        raise PlanError(Problem("other-key-type", message, hint=hint))


def save_state(storage: Storage, state: TagState, *, wait: float = 60) -> TagState:
    """Write *state* in the place of the one that it was made from. Return it with the checksum of its file.

    Args:
        storage: Storage of the index.
        state: State to write.
        wait: Seconds to wait for another writer of the index.

    Raises:
        LockedError: Another process changes the index, or has written a state of the application.
    """
    name = state_record(state.application)
    with lock_for_update(storage, "sync of tags", wait):
        entry = load_record_list(storage).files.get(name)
        if (entry.checksum if entry else "") != state.checksum:
            application = state.application
            message = f"another process has synced tags of {application.family} at {application.host}"
            raise LockedError(Problem("locked", message, hint="sync again: it begins with what was synced"))
        place = create_place(storage)
        is_of_copy = entry is not None and entry.facts[PLACE_FACT] != place
        state = replace(state, source=state.source if state.source and not is_of_copy else name_source())
        facts = _facts_to_json(describe_state(state))
        content = RecordContent(
            name, _serialize_state(state, facts), {"version": STATE_VERSION, PLACE_FACT: place, **facts}
        )
        written = replace_record_files(storage, [content]).files[name]
    return replace(state, checksum=written.checksum)


def drop_state(storage: Storage, state: TagState, *, wait: float = 60) -> None:
    """Drop the record of *state*, as if nothing had ever been synced to its application.

    Raises:
        LockedError: Another process changes the index.
    """
    with lock_for_update(storage, "sync of tags", wait):
        replace_record_files(storage, [], removed=[state_record(state.application)])


def describe_state(state: TagState) -> StateFacts:
    """Return the facts of *state*."""
    return StateFacts(
        application=state.application,
        number=state.number,
        attributes=state.attributes,
        unfinished=state.unfinished,
        started=state.started,
        devices=len(state.known.ids),
        tags=len(state.known.tags),
        unknown_ids=len(state.unknown_ids),
        checksum=state.checksum,
        source=state.source,
    )


def _serialize_state(state: TagState, facts: Mapping[str, Any]) -> bytes:
    """Return the content of the file of *state*; it includes *facts*, so that each change changes its checksum."""
    tags = state.known.tags
    strings = {
        "tag_type": [tag.tag.type for tag in tags],
        "tag_value": [tag.tag.value for tag in tags],
        "tag_name": [tag.name for tag in tags],
    }
    rows = {"known": state.known.rows, "doubtful": state.doubtful, "wanted": state.wanted}
    columns = {"id": _one_list(series_to_arrow(state.known.ids), len(state.known.ids))}
    columns |= {name: _one_list(arrow_file.from_strings(values), len(values)) for name, values in strings.items()}
    columns |= {
        name: _one_list(arrow_file.from_bytes(map(serialize_bitmap, bitmaps)), len(bitmaps))
        for name, bitmaps in rows.items()
    }
    columns["unknown_id"] = arrow_file.from_bytes([serialize_bitmap(state.unknown_ids)])
    return arrow_file.to_ipc_bytes(columns, orjson.dumps(facts))


def _one_list(values: Any, count: int) -> Any:
    return arrow_file.build_lists(np.array([count], dtype=np.int64), values)


def _parse_state(facts: StateFacts, data: bytes, path: str) -> TagState:
    table = ArrowTable(memoryview(data))
    lists = {name: table.column(name).values for name in table.column_names if name != "unknown_id"}
    strings = [lists[name].to_pylist() for name in ("tag_type", "tag_value", "tag_name")]
    tags = tuple(SyncedTag(Tag(type_, value), name) for type_, value, name in zip(*strings, strict=True))
    ids = arrow_to_series(lists["id"]).alias("id")
    known, doubtful, wanted = (_parse_rows(lists[name], path) for name in ("known", "doubtful", "wanted"))
    if len(ids) != facts.devices or not len(tags) == len(known) == len(doubtful):
        raise damaged_error(path)
    return TagState(
        application=facts.application,
        number=facts.number,
        known=DeviceTags(ids, tags, known),
        doubtful=doubtful,
        unknown_ids=_parse_bitmap(table.column("unknown_id")[0].as_py(), path),
        attributes=facts.attributes,
        unfinished=facts.unfinished,
        started=facts.started,
        wanted=wanted,
        checksum=facts.checksum,
        source=facts.source,
    )


def _parse_rows(bitmaps: Any, path: str) -> Rows:
    return tuple(_parse_bitmap(data.as_py(), path) for data in bitmaps)


def _parse_bitmap(data: bytes, path: str) -> BitMap:
    return deserialize_bitmap(memoryview(data), path)


def _facts_to_json(facts: StateFacts) -> dict[str, Any]:
    started = facts.started
    return {
        "application": {
            "family": facts.application.family,
            "digest": facts.application.digest,
            "host": facts.application.host,
            "key_type": facts.application.key_type,
        },
        "number": facts.number,
        "attributes": {
            name: {
                **_named_to_json(sync.named),
                "snapshot": sync.snapshot,
                "devices_digest": sync.devices_digest,
                "ended_at": sync.ended_at,
                "effective_at": sync.effective_at,
                "is_read": sync.is_read,
            }
            for name, sync in facts.attributes.items()
        },
        "unfinished": _scope_to_json(facts.unfinished),
        "started": started
        and {
            "number": started.number,
            "attributes": {name: _named_to_json(named) for name, named in started.attributes.items()},
            "snapshot": started.snapshot,
            "devices_digest": started.devices_digest,
            "started_at": started.started_at,
            "is_read": started.is_read,
            "packing": started.packing,
        },
        "devices": facts.devices,
        "tags": facts.tags,
        "unknown_ids": facts.unknown_ids,
        "source": facts.source,
    }


def _scope_to_json(scope: Scope) -> dict[str, Any]:
    return {"types": sorted(scope.types), "tags": sorted([tag.type, tag.value] for tag in scope.tags)}


def _named_to_json(named: NamedScope) -> dict[str, Any]:
    return {"scope": _scope_to_json(named.scope), "naming": named.naming}


def _read_facts(storage: Storage, name: str, entry: RecordFile) -> StateFacts:
    """Return the facts in an entry of the list of records."""
    facts = dict(entry.facts)
    if facts.pop("version", None) != STATE_VERSION:
        message = f"{name} of {storage.location} was written by another version of audience"
        raise InvalidIndexError(Problem("other-format", message, hint="use the version that has written it"))
    is_copy = facts.pop(PLACE_FACT) != read_place(storage)
    application, source = Application(**facts["application"]), facts["source"]
    other_index = find_other_index(application, source)
    started = facts["started"]
    attributes = {
        attribute: AttributeSync(named=_parse_named(fields), **_without(fields, "scope", "naming"))
        for attribute, fields in facts["attributes"].items()
    }
    unfinished = _parse_scope(facts["unfinished"])
    if is_copy or other_index:
        unfinished = join_scopes([unfinished, *(sync.named.scope for sync in attributes.values())])
    return StateFacts(
        application=application,
        number=facts["number"],
        attributes=attributes,
        unfinished=unfinished,
        started=started
        and StartedSync(
            attributes={name: _parse_named(fields) for name, fields in started["attributes"].items()},
            **_without(started, "attributes"),
        ),
        devices=facts["devices"],
        tags=facts["tags"],
        unknown_ids=facts["unknown_ids"],
        is_copy=is_copy,
        other_index=other_index,
        source=source,
        checksum=entry.checksum,
    )


def _parse_named(fields: Mapping[str, Any]) -> NamedScope:
    return NamedScope(_parse_scope(fields["scope"]), fields["naming"])


def _parse_scope(fields: Mapping[str, Any]) -> Scope:
    return Scope(frozenset(fields["types"]), frozenset(Tag(type_, value) for type_, value in fields["tags"]))


def _without(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}
