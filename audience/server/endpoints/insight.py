"""Endpoints that look into an index: profiles, overlaps, values of attributes, and its snapshots."""

from pydantic import Field
from typing_extensions import TypedDict

from audience.errors import Problem
from audience.index.query.value_listing import list_values
from audience.json_forms.diff import DiffForm, diff_json
from audience.json_forms.indexes import kind_of
from audience.json_forms.insight import OverlapForm, ProfileForm, overlap_json, profile_json
from audience.json_forms.questions import format_as_of
from audience.language.as_of import read_as_of
from audience.language.ast import Expr, Segment
from audience.language.suggest import did_you_mean
from audience.language.validation import join_some
from audience.server.bodies import ExprBody, Query, QuestionBody, parse_text, read_asked, read_question
from audience.server.calls import Call, Endpoint
from audience.server.operand_limit import limit_operands
from audience.server.problems import HttpError

MAX_VALUES = 1_000


class ValuesQuery(Query):
    """Query for the values of an attribute."""

    prefix: str = Field(default="", description="Beginning of the values.")
    limit: int = Field(default=50, ge=1, le=MAX_VALUES, description="Largest number of values.")
    within: str | None = Field(default=None, description="Expression of devices among which values are counted, too.")
    as_of: str | None = Field(default=None, description="Moment of that expression; without it, now.")
    timezone: str | None = Field(default=None, description="Its time zone; without it, that of the index.")


class ProfileBody(ExprBody):
    """Body of a profile."""

    against: str | None = Field(default=None, description="Expression to compare with; everybody by default.")
    values: int | None = Field(
        default=None, ge=1, le=MAX_VALUES, description="How many values of an attribute are listed; 10 by default."
    )
    attributes: list[str] | None = Field(default=None, description="Names of attributes and events; all by default.")


class OverlapBody(QuestionBody):
    """Body of an overlap: expressions by name, or names of saved segments."""

    exprs: dict[str, str] | None = Field(
        default=None, description="Expressions by name, at most 50.", examples=[{"men": "male", "young": "age < 30"}]
    )
    segments: list[str] | None = Field(default=None, description="Names of saved segments, at most 50.")


class DiffBody(ExprBody):
    """Body of a comparison of two snapshots."""

    from_: int = Field(alias="from", ge=1, description="Number of the first snapshot.", examples=[1])
    to: int = Field(ge=1, description="Number of the second snapshot.", examples=[2])


class SnapshotDiffForm(DiffForm):
    """Devices of an audience in two snapshots, by what became of them.

    Attributes:
        snapshot: Current snapshot, whose segments count.
        as_of: Moment of the question, as clocks of the zone show it.
    """

    snapshot: int
    as_of: str


class ListedValueForm(TypedDict):
    """Value of an attribute.

    Attributes:
        value: The value.
        devices: Number of devices with the value.
        within: How many of these devices match the expression; null without an expression.
    """

    value: str
    devices: int
    within: int | None


class ValuesForm(TypedDict):
    """Values of an attribute.

    Attributes:
        name: Name of the attribute.
        kind: `tag`, `string`, `number`, `date`, `time` or `version`.
        values: The most frequent values; of numbers that are not counted one by one, the smallest.
        total: Number of all values with this beginning.
        snapshot: Snapshot that was asked.
        as_of: Moment of the question, as clocks of the zone show it.
    """

    name: str
    kind: str
    values: list[ListedValueForm]
    total: int
    snapshot: int
    as_of: str


class SnapshotForm(TypedDict):
    """Snapshot of an index.

    Attributes:
        number: Its number.
        created: When it was published, in UTC.
        devices: Number of its devices.
        description: Operation that created it.
    """

    number: int
    created: str
    devices: int
    description: str


class SnapshotsForm(TypedDict):
    """Snapshots of an index.

    Attributes:
        snapshots: The kept snapshots, oldest first.
        snapshot: The current one.
    """

    snapshots: list[SnapshotForm]
    snapshot: int


def profile(call: Call) -> ProfileForm:
    """Return what distinguishes the devices of an expression: each attribute's values with count, share and lift.

    Counts are exact. Attributes come in the order of what they reveal about who matches.
    """
    index, body = call.index, call.body
    question = read_question(body, index.snapshot)
    against = None if body.against is None else parse_text(body.against, "body.against")
    if against is not None:
        limit_operands([question.expr, against], index.snapshot.segments)
    found = index.profile(
        question.expr,
        against,
        attributes=body.attributes,
        values=body.values,
        **question.asked.to_arguments(),
    )
    return profile_json(found)


def overlap(call: Call) -> OverlapForm:
    """Return how many devices each two of several audiences share, and each combination of up to ten."""
    index, body = call.index, call.body
    asked = read_asked(body, index.snapshot)
    audiences = _read_audiences(body)
    limit_operands(audiences.values(), index.snapshot.segments, "body")
    return overlap_json(index.overlap(audiences, **asked.to_arguments()))


def _read_audiences(body: OverlapBody) -> dict[str, Expr]:
    """Return the expressions of a body by name. Raises HttpError if it has both kinds, or none."""
    if (body.exprs is None) == (body.segments is None):
        message = "expected expressions by name as exprs, or names as segments"
        raise HttpError(400, Problem("missing-field", message, path="body"))
    if body.exprs is not None:
        return {name: parse_text(text, f"body.exprs.{name:.80}") for name, text in body.exprs.items()}
    return {name: Segment(name.removeprefix("@")) for name in body.segments or ()}


def show_values(call: Call) -> ValuesForm:
    """Return the most frequent values of an attribute, also counted among the devices of an expression."""
    index, query, name = call.index, call.query, call.path["attribute"]
    attributes = index.attributes
    if name not in attributes:
        hint = did_you_mean(name, attributes) or "GET the index for its attributes"
        raise HttpError(404, Problem("unknown-attribute", f"there is no attribute {name!r:.80}", hint=hint))
    asked = read_as_of(query.as_of, query.timezone, index.snapshot.timezone)
    within = None if query.within is None else parse_text(query.within, "query.within")
    if within is not None:
        limit_operands([within], index.snapshot.segments, "query.within")
    listing = list_values(attributes[name], query.prefix, query.limit, within, asked)
    return {
        "name": name,
        "kind": kind_of(attributes[name].role),
        "values": [
            {"value": each.value, "devices": each.device_count, "within": each.within} for each in listing.values
        ],
        "total": listing.total,
        "snapshot": index.snapshot.manifest.number,
        "as_of": format_as_of(asked),
    }


def list_snapshots(call: Call) -> SnapshotsForm:
    """List the snapshots that the index keeps."""
    index = call.index
    return {
        "snapshots": [
            {
                "number": each.number,
                "created": each.created,
                "devices": each.device_count,
                "description": each.description,
            }
            for each in index.history()
        ],
        "snapshot": index.snapshot.manifest.number,
    }


def compare_snapshots(call: Call) -> SnapshotDiffForm:
    """Return how many devices of an expression came, went and stayed between two kept snapshots.

    Both are asked at one moment.
    """
    index, body = call.index, call.body
    kept = [each.number for each in index.history()]
    for name, number in (("from", body.from_), ("to", body.to)):
        if number not in kept:
            hint = f"it keeps {join_some(list(map(str, kept)))}"
            message = f"the index keeps no snapshot {number}"
            raise HttpError(404, Problem("no-snapshot", message, path=f"body.{name}", hint=hint))
    question = read_question(body, index.snapshot)
    diff = index.diff(question.expr, body.from_, body.to, **question.asked.to_arguments())
    return {
        **diff_json(diff),
        "snapshot": index.snapshot.manifest.number,
        "as_of": format_as_of(question.asked),
    }


ENDPOINTS = (
    Endpoint("POST", "/v1/indexes/{index}/profile", profile, ProfileForm, "count", ProfileBody),
    Endpoint("POST", "/v1/indexes/{index}/overlap", overlap, OverlapForm, "count", OverlapBody),
    Endpoint("GET", "/v1/indexes/{index}/attributes/{attribute}", show_values, ValuesForm, "count", query=ValuesQuery),
    Endpoint("POST", "/v1/indexes/{index}/diff", compare_snapshots, SnapshotDiffForm, "count", DiffBody),
    Endpoint("GET", "/v1/indexes/{index}/snapshots", list_snapshots, SnapshotsForm, "count"),
)
