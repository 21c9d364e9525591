"""JSON forms of counts, explanations, completions and memberships."""

from collections.abc import Sequence

from typing_extensions import TypedDict

from audience.index.query.explain import ExplainLine
from audience.index.query.leave_one_out import LeaveOneOut
from audience.json_forms.leave_one_out import LeftOutForm, left_out_by_path
from audience.json_forms.physical import PhysicalForm
from audience.language.completion import Completion


class CountForm(TypedDict):
    """Number of devices.

    Attributes:
        count: Devices that match.
        share: Their share of all devices; 0 for an empty index.
        snapshot: Snapshot that was asked.
        as_of: Moment of the question, as clocks of the zone show it.
    """

    count: int
    share: float
    snapshot: int
    as_of: str


class ExplainedNodeForm(TypedDict):
    """Node of an expression.

    Attributes:
        depth: Level in the tree.
        text: The node; an operator without its operands.
        count: Devices that match it.
        share: Their share of all devices; 0 for an empty index.
        remaining: Devices left in the enclosing AND after this node; null if it is no operand of an AND.
        values: Number of values that a pattern fits; null for other nodes, or if too many fit it.
        path: Position of the node among the operands of its parent, from the root on.
        without: Expression without this node; null if it was not asked for, or makes no sense.
    """

    depth: int
    text: str
    count: int
    share: float
    remaining: int | None
    values: int | None
    path: list[int]
    without: LeftOutForm | None


class ExplanationForm(CountForm):
    """Count that is broken down.

    Attributes:
        devices: Devices of the index.
        lines: Nodes of the expression, parents before children.
        physical: Evaluation of the expression; null if it was not asked for.
    """

    devices: int
    lines: list[ExplainedNodeForm]
    physical: PhysicalForm | None


class CompletionForm(TypedDict):
    """Text that may replace the word at a position.

    Attributes:
        text: Text as it is written, in quotes if necessary.
        kind: What it is: `keyword`, `function`, `attribute`, `value`, `tag`, `segment`, `unit`, `time`, `variant`,
            `event` or `property`.
        start: Start of the text that it replaces.
        end: End of the text that it replaces.
        devices: Devices that have the value or did the event; null if they were not counted.
        within: Devices that also match what is selected already; null if they were not counted.
    """

    text: str
    kind: str
    start: int
    end: int
    devices: int | None
    within: int | None


class CompletionsForm(TypedDict):
    """Completions of an expression.

    Attributes:
        completions: Completions, the most frequent values first.
        snapshot: Snapshot whose names and values they are.
    """

    completions: list[CompletionForm]
    snapshot: int


class MembersForm(TypedDict):
    """Audiences that devices are in.

    Attributes:
        snapshot: Snapshot that was asked.
        as_of: Moment of the question, as clocks of the zone show it.
        members: Names of the audiences of each id; null for an id that no device has.
    """

    snapshot: int
    as_of: str
    members: dict[str, list[str] | None]


def share_of(count: int, devices: int) -> float:
    """Return the share of *count* devices; 0 of no devices.

    >>> share_of(1, 4), share_of(0, 0)
    (0.25, 0.0)
    """
    return count / devices if devices else 0.0


def explain_lines_json(
    lines: Sequence[ExplainLine], devices: int, without: LeaveOneOut | None = None
) -> list[ExplainedNodeForm]:
    """Return the JSON form of an explanation of an index with *devices* devices; *without* has what each node costs."""
    left_out = {} if without is None else left_out_by_path(without)
    return [
        {
            "depth": line.depth,
            "text": line.text,
            "count": line.device_count,
            "share": share_of(line.device_count, devices),
            "remaining": line.remaining,
            "values": line.value_count,
            "path": list(line.path),
            "without": left_out.get(line.path),
        }
        for line in lines
    ]


def completion_json(completion: Completion) -> CompletionForm:
    """Return the JSON form of a completion."""
    return {
        "text": completion.text,
        "kind": completion.kind,
        "start": completion.start,
        "end": completion.end,
        "devices": completion.devices,
        "within": completion.within,
    }
