"""Endpoints that stream the ids of devices."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import accumulate, chain

import polars as pl
from pydantic import Field

from audience.errors import AudienceError, Problem
from audience.index.query.device_set import DeviceSet
from audience.index.query.exported_columns import choose_columns, empty_frame, iter_exported_frames
from audience.index.query.resolve import resolve_rows
from audience.index.query.vendor_id_columns import find_id_column
from audience.index.schema.columns import IdColumn
from audience.index.storage.bitmaps import RowNumbers, bitmap_to_rows, rows_to_bitmap
from audience.index.storage.id_arrays import take_series
from audience.index.storage.list_columns import as_lists
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.json_forms.questions import format_as_of
from audience.language.suggest import did_you_mean
from audience.server.bodies import ExprBody, Question, read_question
from audience.server.calls import Call, Endpoint, Stream
from audience.server.cursors import Cursor, digest_question, parse_cursor
from audience.server.encodings import STREAM_MEDIA_TYPES, encode_frames
from audience.server.media_types import choose_media_type
from audience.server.problems import HttpError

ROWS_PER_FRAME = 1 << 15
MAX_LIMIT = 1 << 40


class StreamBody(ExprBody):
    """Body of a call that streams devices."""

    columns: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Columns; all of them by default.",
        examples=[["token", "alias"]],
    )
    limit: int | None = Field(
        default=None, ge=1, le=MAX_LIMIT, description="Devices of this answer; all of them by default."
    )
    cursor: str | None = Field(
        default=None, max_length=4_096, description="Header `Audience-Cursor` of the last answer: go on behind it."
    )
    list_separator: str = Field(
        default=";", min_length=1, max_length=100, description="Text between the values of a list in CSV."
    )

    def digest(self) -> str:
        """Return a digest of what is asked, without how many devices at once and how they are written."""
        unasked = {"limit", "cursor", "list_separator"}
        return digest_question(type(self).__name__, *self.model_dump(exclude=unasked).values())


class ResolveBody(StreamBody):
    """Body of a call that streams ids."""

    vendor: str | None = Field(
        default=None, description="Vendor whose ids are wanted, as the only column `token`.", examples=["tpns"]
    )


class ExportBody(StreamBody):
    """Body of a call that streams ids and attributes."""


def resolve(call: Call) -> Stream:
    """Stream the ids of the devices of an expression, a device a line.

    All devices are streamed unless a limit is given. If more devices are left then, the header `Audience-Cursor` has
    the cursor of the next page. All pages of a cursor come from one snapshot, in one order. A device without an id in a
    column has null there.
    """
    body: ResolveBody = call.body
    cursor, snapshot, question = _read_page(call)
    columns = _choose_columns(body, snapshot)
    devices = DeviceSet(resolve_rows(question.expr, snapshot, question.asked), snapshot)
    start, stop = _find_bounds(body, cursor, devices)
    return _stream_page(call, question, devices, stop, iter_id_frames(devices, columns, start, stop))


def export(call: Call) -> Stream:
    """Stream the ids and attributes of the devices of an expression, a device a line, each column of one type.

    All devices are streamed unless there is a limit; the header `Audience-Cursor` then is where to go on, as for ids.
    Without `columns`, all ids and attributes are, and the bare tags as `tags`.
    """
    body: ExportBody = call.body
    cursor, snapshot, question = _read_page(call)
    try:
        columns = choose_columns(body.columns, snapshot)
    except AudienceError as error:
        raise HttpError(400, *(replace(problem, path="body.columns") for problem in error.problems)) from None
    devices = DeviceSet(resolve_rows(question.expr, snapshot, question.asked), snapshot)
    start, stop = _find_bounds(body, cursor, devices)
    rows = _iter_rows(devices, start, stop)
    frames = chain([empty_frame(columns)], iter_exported_frames(rows, columns, ROWS_PER_FRAME))
    return _stream_page(call, question, devices, stop, frames)


def _read_page(call: Call) -> tuple[Cursor | None, Snapshot, Question]:
    """Return the cursor of a call, and the snapshot and the question, which are those of the cursor if there is one."""
    choose_media_type(call.headers.get("accept"), STREAM_MEDIA_TYPES)
    body: StreamBody = call.body
    cursor = None if body.cursor is None else parse_cursor(body.cursor, call.path["index"], body.digest())
    return cursor, *_read_question_at(call, cursor)


def _find_bounds(body: StreamBody, cursor: Cursor | None, devices: DeviceSet) -> tuple[int, int]:
    """Return the first device of a page, and the one behind its last."""
    start = 0 if cursor is None else cursor.position
    return start, len(devices) if body.limit is None else min(start + body.limit, len(devices))


def _stream_page(
    call: Call, question: Question, devices: DeviceSet, stop: int, frames: Iterator[pl.DataFrame]
) -> Stream:
    """Return a page as a stream, with a cursor if there are more devices."""
    body: StreamBody = call.body
    media_type = choose_media_type(call.headers.get("accept"), STREAM_MEDIA_TYPES)
    headers, manifest = _describe_stream(question, devices), devices.snapshot.manifest
    if stop < len(devices):
        moment = question.asked.moment.isoformat()
        cursor = Cursor(call.path["index"], manifest.number, manifest.checksum, moment, body.digest(), stop)
        headers["Audience-Cursor"] = str(cursor)
    return Stream(media_type, encode_frames(media_type, frames, body.list_separator), headers)


def _describe_stream(question: Question, devices: DeviceSet) -> dict[str, str]:
    """Return the headers of a stream: what was asked, and how many devices match."""
    return {
        "Audience-Snapshot": str(devices.snapshot.manifest.number),
        "Audience-As-Of": format_as_of(question.asked),
        "Audience-Count": str(len(devices)),
        "Vary": "Accept",
    }


def _read_question_at(call: Call, cursor: Cursor | None) -> tuple[Snapshot, Question]:
    """Return the snapshot that is asked, and the question; those of the cursor if there is one."""
    index = call.index
    if cursor is None:
        return index.snapshot, read_question(call.body, index.snapshot)
    assert call.served is not None
    snapshot = call.served.at_snapshot(call.path["index"], cursor.snapshot, cursor.checksum).snapshot
    question = read_question(call.body, snapshot)
    try:
        moment = datetime.fromisoformat(cursor.as_of)
    except ValueError:
        hint = "send the header Audience-Cursor of the page before, as it is"
        problem = Problem(
            "wrong-cursor", f"the cursor has no moment: {cursor.as_of!r:.60}", path="body.cursor", hint=hint
        )
        raise HttpError(400, problem) from None
    return snapshot, replace(question, asked=replace(question.asked, moment=moment))


def _choose_columns(body: ResolveBody, snapshot: Snapshot) -> dict[str, IdColumn]:
    """Return the columns of ids that are streamed, by the names of their fields."""
    if body.vendor is not None and body.columns is not None:
        hint = "leave one of them out: with a vendor, the only column is token"
        problem = Problem("bad-field", "columns and vendor exclude each other", path="body.columns", hint=hint)
        raise HttpError(400, problem)
    try:
        if body.vendor is not None:
            return {"token": find_id_column(snapshot.id_columns, body.vendor)}
    except AudienceError as error:
        raise HttpError(400, *(replace(problem, path="body.vendor") for problem in error.problems)) from None
    kept = {column.name: column for column in snapshot.id_columns}
    for position, name in enumerate(body.columns or ()):
        if name not in kept:
            hint = did_you_mean(name, kept) or f"it keeps {', '.join(kept)}"
            problem = Problem("no-column", f"the index keeps no column {name!r:.80}", hint=hint)
            raise HttpError(400, replace(problem, path=f"body.columns.{position}"))
    return {name: kept[name] for name in body.columns or kept}


def iter_id_frames(devices: DeviceSet, columns: dict[str, IdColumn], start: int, stop: int) -> Iterator[pl.DataFrame]:
    """Iterate over the ids of the devices from *start* up to *stop*; a first frame without rows has the columns."""
    shards = [shard for shard, rows in zip(devices.snapshot.shards, devices.bitmaps, strict=True) if rows]
    with_lists = {column for column in columns.values() if any(shard.has_id_lists(column) for shard in shards)}
    yield pl.DataFrame(
        schema={name: pl.List(pl.String) if column in with_lists else pl.String for name, column in columns.items()}
    )
    for shard, rows in _iter_rows(devices, start, stop):
        chosen = rows_to_bitmap(rows)
        series = [take_series(shard, column, chosen).rename(name) for name, column in columns.items()]
        yield pl.DataFrame(
            [
                as_lists(each).rename(each.name) if column in with_lists else each
                for each, column in zip(series, columns.values(), strict=True)
            ]
        )


def _iter_rows(devices: DeviceSet, start: int, stop: int) -> Iterator[tuple[Shard, RowNumbers]]:
    """Iterate over the rows of the devices from *start* up to *stop*, some of one shard at a time."""
    ends = accumulate(len(bitmap) for bitmap in devices.bitmaps)
    for shard, bitmap, end in zip(devices.snapshot.shards, devices.bitmaps, ends, strict=True):
        first, last = max(start - end + len(bitmap), 0), min(stop - end + len(bitmap), len(bitmap))
        if first < last:
            rows = bitmap_to_rows(bitmap)
            for place in range(first, last, ROWS_PER_FRAME):
                yield shard, rows[place : min(place + ROWS_PER_FRAME, last)]


ENDPOINTS = (
    Endpoint("POST", "/v1/indexes/{index}/export", export, bytes, "ids", ExportBody, media_types=STREAM_MEDIA_TYPES),
    Endpoint("POST", "/v1/indexes/{index}/resolve", resolve, bytes, "ids", ResolveBody, media_types=STREAM_MEDIA_TYPES),
)
