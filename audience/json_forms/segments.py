"""JSON form of segments."""

from typing_extensions import TypedDict

from audience.errors import ExpressionError
from audience.index.device_index import DeviceIndex
from audience.json_forms.questions import QuestionForm, question_json
from audience.language.as_of import AsOf
from audience.language.ast import Segment
from audience.language.binding import is_relative
from audience.language.id_files import id_files_json
from audience.language.printer import render


class IdFileForm(TypedDict):
    """File of ids that an expression names.

    Attributes:
        path: Its path.
        digest: Its digest when it was read.
        id_count: Number of its ids.
    """

    path: str
    digest: str
    id_count: int


class SegmentQuestionForm(QuestionForm):
    """Segment, as of a moment.

    Attributes:
        expanded: Expression with saved expressions for the segments in it.
        id_files: Files of ids that the expression names.
        is_relative: Whether its days are relative to each question.
        devices: Its devices; null if it asks about days of events that are not covered.
    """

    expanded: str
    id_files: list[IdFileForm]
    is_relative: bool
    devices: int | None


class NamedSegmentForm(SegmentQuestionForm):
    """Segment with its name.

    Attributes:
        name: Its name, without the leading @.
    """

    name: str


def segment_json(segment: Segment, index: DeviceIndex, asked: AsOf) -> NamedSegmentForm:
    """Return the JSON form of a saved segment, with its count then and there.

    Raises:
        ExpressionError: The segment does not exist, or does not fit the index any more.
    """
    bound, expanded = index.bind(segment, **asked.to_arguments()), index.expand_segments(segment)
    saved = index.segments[segment.name]
    return {
        "name": segment.name,
        **question_json(saved, bound, asked),
        "expanded": render(expanded),
        "id_files": id_files_json(saved),  # type: ignore[typeddict-item]
        "is_relative": is_relative(expanded),
        "devices": count_segment(segment, index, asked),
    }


def count_segment(segment: Segment, index: DeviceIndex, asked: AsOf) -> int | None:
    """Return how many devices a segment has then and there; None if it asks about events that are not covered."""
    try:
        return index.count(segment, **asked.to_arguments())
    except ExpressionError as error:
        if {problem.code for problem in error.problems} != {"not-covered"}:
            raise
        return None
