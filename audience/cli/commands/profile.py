"""Command that compares the devices of an audience with everybody, or with another audience."""

from typing import Annotated

from audience.cli.cluster_options import ClusterOptions
from audience.cli.declarations import Option
from audience.cli.options import EXPR_COMPLETION, ExprArgument, IndexArgument, QuestionOptions
from audience.cli.output.expressions import print_question
from audience.cli.output.writer import Output
from audience.cli.streams import find_width
from audience.index.query.insight.profile_text import format_profile
from audience.index.query.insight.profiling import DEFAULT_VALUES, profile_devices
from audience.index.query.questions import bind_segments
from audience.index.query.unmatched import find_unmatched
from audience.index.storage.published import open_storage
from audience.index.storage.snapshot import open_snapshot
from audience.json_forms.insight import profile_json
from audience.language.parser import parse


def run_profile(
    output: Output,
    index: IndexArgument,
    expr: ExprArgument,
    *,
    against: Annotated[
        str | None,
        Option(
            "--against",
            metavar="EXPR",
            help="Audience to compare with.",
            autocompletion=EXPR_COMPLETION,
            show_default="everybody",
        ),
    ] = None,
    attribute: Annotated[
        list[str] | None, Option("--attribute", metavar="NAME", help="Only this attribute or event. Repeatable.")
    ] = None,
    values: Annotated[
        int, Option("--values", min=1, metavar="N", help="How many values of an attribute are listed.")
    ] = DEFAULT_VALUES,
    question: QuestionOptions,
    cluster_options: ClusterOptions,
) -> None:
    """Show what distinguishes the devices of an audience: values, ranges and days with counts, shares and lift.

    Attributes and values come in the order of what they reveal about the audience. A lift of 2 is twice the share that
    everybody has; the interval beside it is the range that chance leaves open.
    """
    snapshot, audience = open_snapshot(open_storage(index), threads=question.threads), parse(expr)
    base, asked = None if against is None else parse(against), question.read(snapshot.timezone)
    with cluster_options.open() as cluster:
        profile = profile_devices(audience, base, snapshot, asked, attribute, values, cluster)
    for each in (audience, base):
        if each is not None and question.matter_for(each, snapshot):
            print_question(bind_segments(each, snapshot, asked), asked, output)
        output.print_warnings([] if each is None else find_unmatched(each, snapshot, asked))
    output.print_result(profile_json(profile), lambda: format_profile(profile, find_width()))
