"""Endpoints about segments: list, show, save and drop them, with who changed what and when."""

import hashlib

from pydantic import Field
from typing_extensions import TypedDict

from audience.errors import ExpressionError, Problem
from audience.index.device_index import DeviceIndex
from audience.index.records.segment_history import SegmentAction, SegmentChange
from audience.json_forms.problems import ProblemForm, problem_json
from audience.json_forms.questions import format_as_of
from audience.json_forms.segment_history import (
    SegmentChangeForm,
    SnapshotCountForm,
    segment_change_json,
    snapshot_count_json,
)
from audience.json_forms.segments import NamedSegmentForm, segment_json
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import Segment
from audience.language.binding import is_relative
from audience.language.printer import render
from audience.language.suggest import did_you_mean
from audience.server.bodies import ExprBody, Query, read_question
from audience.server.calls import Answer, Call, Endpoint
from audience.server.problems import HttpError

MAX_COUNTED_SNAPSHOTS = 100
WAIT_SECONDS = 2.0  # for another writer of the index
MAX_NAME_LENGTH = 200


class ChangedForm(TypedDict):
    """Last change of a segment.

    Attributes:
        at: When, in UTC.
        by: Who, if that was said.
        action: Whether it was saved or dropped.
    """

    at: str
    by: str | None
    action: SegmentAction


class ListedSegmentForm(TypedDict):
    """Segment in a list.

    Attributes:
        name: Its name, without the leading @.
        expression: Its expression.
        devices: Its devices; null if it cannot be counted.
        is_relative: Whether its days are relative to each question.
        used_by: Segments and policies that refer to it, such as `@vip` and `policy consent`.
        changed: Its last change; null if none is recorded.
        etag: Identifies its expression, for `If-Match`.
        problem: Why it cannot be counted.
    """

    name: str
    expression: str
    devices: int | None
    is_relative: bool
    used_by: list[str]
    changed: ChangedForm | None
    etag: str
    problem: ProblemForm | None


class SegmentsForm(TypedDict):
    """Segments of an index.

    Attributes:
        segments: The segments, by name.
        snapshot: Snapshot that was asked.
        as_of: Moment at which they were counted.
    """

    segments: list[ListedSegmentForm]
    snapshot: int
    as_of: str


class SegmentForm(NamedSegmentForm):
    """Segment with its history.

    Attributes:
        used_by: What mentions it.
        changed: Its last change; null if none is recorded.
        history: Its changes, oldest first.
        counts: Its devices in the kept snapshots, if the query asks for them.
        etag: Identifies its expression, for `If-Match`.
        warnings: Operands that no device matches.
        snapshot: Snapshot that was asked.
    """

    used_by: list[str]
    changed: ChangedForm | None
    history: list[SegmentChangeForm]
    counts: list[SnapshotCountForm]
    etag: str
    warnings: list[ProblemForm]
    snapshot: int


class DroppedForm(TypedDict):
    """Segment that was deleted.

    Attributes:
        name: Its name.
        snapshot: First snapshot without it.
    """

    name: str
    snapshot: int


class SegmentQuery(Query):
    """Query for a segment."""

    counts: bool = Field(default=False, description="Also count it in the snapshots that are kept.")


def list_segments(call: Call) -> SegmentsForm:
    """List the segments with their devices, who changed them last, and what uses them."""
    index = call.index
    asked = read_as_of(default_timezone=index.snapshot.timezone)
    users, changes = index.segment_users(), {change.name: change for change in index.segment_history()}
    return {
        "segments": [
            _listed_segment_json(name, index, asked, users.get(name, ()), changes.get(name)) for name in index.segments
        ],
        "snapshot": index.snapshot.manifest.number,
        "as_of": format_as_of(asked),
    }


def show_segment(call: Call) -> Answer:
    """Return a segment with its devices and its history: who changed it, when, and how."""
    name, index = read_segment_name(call), call.index
    _require_segment(name, index)
    asked = read_as_of(default_timezone=index.snapshot.timezone)
    form = _segment_form(name, index, asked, with_counts=call.query.counts)
    return Answer(form, headers={"ETag": form["etag"]})


def save_segment(call: Call) -> Answer:
    """Save an expression as a segment: 201 for a new one, 200 for a changed one.

    With `If-Match: ETAG` only the segment that the caller has seen is changed, with `If-None-Match: *` none.
    """
    name, index = read_segment_name(call), DeviceIndex(call.index.snapshot)
    question = read_question(call.body, index.snapshot)
    conditions, was_saved = _Conditions(call, name), []

    def require(text: str | None) -> None:
        conditions.require(text)
        was_saved.append(text is not None)

    index.save_segment(name, question.expr, call.caller.name, wait=WAIT_SECONDS, require=require)
    _show_others(call)
    form = _segment_form(name, index, question.asked, with_counts=False)
    return Answer(form, 200 if was_saved[0] else 201, {"ETag": form["etag"]})


def drop_segment(call: Call) -> DroppedForm:
    """Delete a segment. One that is used by others stays; `If-Match` is as in PUT."""
    name, index = read_segment_name(call), DeviceIndex(call.index.snapshot)
    conditions = _Conditions(call, name)
    try:
        index.drop_segment(name, call.caller.name, wait=WAIT_SECONDS, require=conditions.require)
    except ExpressionError as error:
        statuses = {"unknown-segment": 404, "used-segment": 409}
        if error.code not in statuses:
            raise
        raise HttpError(statuses[error.code], *error.problems) from None
    _show_others(call)
    return {"name": name, "snapshot": index.snapshot.manifest.number}


def read_segment_name(call: Call) -> str:
    """Return the name of the segment in the path, without a leading @. Raises HttpError if it is not a name."""
    name = call.path["segment"].removeprefix("@")
    if not name.strip() or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        message = f"{name!r:.80} is not a segment name"
        hint = f"for example vip; at most {MAX_NAME_LENGTH} characters"
        raise HttpError(400, Problem("empty-name", message, path="path.segment", hint=hint))
    return name


class _Conditions:
    """Conditions of a call on what is saved now: the headers `If-Match` and `If-None-Match`."""

    def __init__(self, call: Call, name: str):
        self.name = name
        self.match = _split_etags(call.headers.get("if-match"))
        self.none_match = _split_etags(call.headers.get("if-none-match"))

    def require(self, text: str | None) -> None:
        """Raise HttpError if the text that is saved now, or None, does not fit."""
        etag = None if text is None else make_etag(text)
        if self.match is not None and (etag is None or not {etag, "*"} & self.match):
            raise self._make_error("was changed or dropped since it was read", "read it again, then decide")
        if self.none_match is not None and etag is not None and {etag, "*"} & self.none_match:
            raise self._make_error("is saved already", "leave If-None-Match out to replace it")

    def _make_error(self, what: str, hint: str) -> HttpError:
        return HttpError(412, Problem("changed-segment", f"{render(Segment(self.name))} {what}", hint=hint))


def make_etag(text: str) -> str:
    """Return the ETag of the text of a segment.

    >>> make_etag("male")
    '"0d248e82c62c9386878327d491c762a0"'
    """
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _split_etags(header: str | None) -> frozenset[str] | None:
    if header is None:
        return None
    return frozenset(each.strip().removeprefix("W/") for each in header.split(","))


def _require_segment(name: str, index: DeviceIndex) -> None:
    if name not in index.segments:
        hint = did_you_mean(name, index.segments)
        raise HttpError(404, Problem("unknown-segment", f"no segment is saved as {name!r:.80}", hint=hint))


def _show_others(call: Call) -> None:
    """Let the service answer from the snapshot that was just published."""
    if call.served is not None:
        call.served.refresh(call.path["index"])


def _segment_form(name: str, index: DeviceIndex, asked: AsOf, *, with_counts: bool) -> SegmentForm:
    expr, history = index.segments[name], index.segment_history(name)
    counts = index.count_over_snapshots(expr, last=MAX_COUNTED_SNAPSHOTS) if with_counts else []
    unmatched = index.find_unmatched(expr, as_of=asked.moment, timezone=asked.timezone, allow_gaps=True)
    return {
        **segment_json(Segment(name), index, asked),
        "used_by": list(index.segment_users().get(name, ())),
        "changed": _changed_json(history[-1] if history else None),
        "history": [segment_change_json(change) for change in history],
        "counts": [snapshot_count_json(count) for count in counts],
        "etag": make_etag(render(expr)),
        "warnings": [problem_json(problem) for problem in unmatched],
        "snapshot": index.snapshot.manifest.number,
    }


def _listed_segment_json(
    name: str, index: DeviceIndex, asked: AsOf, users: tuple[str, ...], changed: SegmentChange | None
) -> ListedSegmentForm:
    expr, devices, problem = index.segments[name], None, None
    try:
        devices = index.count(expr, **asked.to_arguments())
    except ExpressionError as error:  # days of events are not covered, or an attribute is gone
        problem = problem_json(error.problems[0])
    return {
        "name": name,
        "expression": render(expr),
        "devices": devices,
        "is_relative": is_relative(index.expand_segments(expr)),
        "used_by": list(users),
        "changed": _changed_json(changed),
        "etag": make_etag(render(expr)),
        "problem": problem,
    }


def _changed_json(change: SegmentChange | None) -> ChangedForm | None:
    return None if change is None else {"at": change.at, "by": change.by, "action": change.action}


ENDPOINTS = (
    Endpoint("GET", "/v1/indexes/{index}/segments", list_segments, SegmentsForm, "count"),
    Endpoint("GET", "/v1/indexes/{index}/segments/{segment}", show_segment, SegmentForm, "count", query=SegmentQuery),
    Endpoint(
        "PUT", "/v1/indexes/{index}/segments/{segment}", save_segment, SegmentForm, "write", ExprBody, statuses=(201,)
    ),
    Endpoint("DELETE", "/v1/indexes/{index}/segments/{segment}", drop_segment, DroppedForm, "write"),
)
