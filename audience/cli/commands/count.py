"""Command that counts devices."""

from audience.cli.options import AsOfOption, ExprArgument, IndexArgument, ZoneOption
from audience.cli.output.questions import print_question, question_json
from audience.cli.output.writer import Output
from audience.index.query.evaluate import count_devices
from audience.index.query.questions import bind_segments, depends_on_question
from audience.index.query.unmatched import find_unmatched
from audience.index.storage.published import open_storage
from audience.index.storage.snapshot import open_snapshot
from audience.language.as_of import read_as_of
from audience.language.parser import parse


def run_count(
    output: Output, index: IndexArgument, expr: ExprArgument, as_of: AsOfOption = None, timezone: ZoneOption = None
) -> None:
    """Count the devices of an audience."""
    snapshot, audience = open_snapshot(open_storage(index)), parse(expr)
    asked = read_as_of(as_of, timezone, snapshot.timezone)
    count, bound = count_devices(audience, snapshot, asked), bind_segments(audience, snapshot, asked)
    if as_of or timezone or depends_on_question(audience, snapshot):
        print_question(bound, asked, output)
    output.print_warnings(find_unmatched(audience, snapshot, asked))
    facts = {"count": count, "devices": snapshot.device_count, **question_json(audience, bound, asked)}
    output.print_result(facts, str(count))
