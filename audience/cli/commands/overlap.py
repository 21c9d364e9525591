"""Command that compares several audiences with each other."""

import re
from collections.abc import Sequence
from typing import Annotated

from audience.cli.cluster_options import ClusterOptions
from audience.cli.declarations import Argument, Option
from audience.cli.options import IndexArgument, QuestionOptions
from audience.cli.output.expressions import print_question
from audience.cli.output.writer import Output
from audience.cli.streams import find_width
from audience.errors import PlanError, Problem
from audience.index.query.insight.overlap_text import format_overlap
from audience.index.query.insight.overlapping import name_segments, overlap_segments
from audience.index.query.questions import bind_segments
from audience.index.query.unmatched import find_unmatched
from audience.index.storage.published import open_storage
from audience.index.storage.snapshot import Snapshot, open_snapshot
from audience.json_forms.insight import overlap_json
from audience.language.ast import Expr, Segment
from audience.language.parser import parse

NAMED = re.compile(r"([\w.-]+)=(?!=)(.+)", re.DOTALL)


def run_overlap(
    output: Output,
    index: IndexArgument,
    exprs: Annotated[
        list[str] | None,
        Argument(metavar="[[NAME=]EXPR]...", help="Audiences, at most 50, each with a name if that is no attribute."),
    ] = None,
    *,
    segments: Annotated[bool, Option("--segments", help="Compare all saved segments.")] = False,
    question: QuestionOptions,
    cluster_options: ClusterOptions,
) -> None:
    """Show how many devices each two of several audiences share, and each combination of up to ten.

    The second table has, for each row, the share of its audience that is also in the audience of a column.
    """
    snapshot = open_snapshot(open_storage(index), threads=question.threads)
    asked = question.read(snapshot.timezone)
    audiences = name_segments(_list_saved(exprs, snapshot) if segments else _read_named(exprs or [], snapshot))
    with cluster_options.open() as cluster:
        overlap = overlap_segments(audiences, snapshot, asked, cluster)
    for expr in audiences.values():
        if question.matter_for(expr, snapshot):
            print_question(bind_segments(expr, snapshot, asked), asked, output)
        output.print_warnings(find_unmatched(expr, snapshot, asked))
    output.print_result(overlap_json(overlap), lambda: format_overlap(overlap, find_width()))


def _list_saved(exprs: Sequence[str] | None, snapshot: Snapshot) -> dict[str, Expr]:
    """Return all saved segments by name. Raises PlanError if expressions are named too."""
    if exprs:
        message = "expected expressions or --segments, not both"
        raise PlanError(Problem("bad-option", message, hint="name a saved segment as @name among the expressions"))
    return {name: Segment(name) for name in sorted(snapshot.manifest.segments)}


def _read_named(words: Sequence[str], snapshot: Snapshot) -> dict[str, Expr]:
    """Return expressions by name. `NAME=EXPR` has a name, unless it compares an attribute of the index.

    Raises:
        ExpressionError: An expression is invalid.
        PlanError: Two have one name.
    """
    named: dict[str, Expr] = {}
    for word in words:
        found = NAMED.fullmatch(word)
        has_name = found is not None and found[1] not in snapshot.roles
        name, text = (found[1], found[2]) if found is not None and has_name else (word, word)
        if name in named:
            hint = "write another name before it: name=expression"
            raise PlanError(Problem("same-segment", f"two audiences have the name {name!r:.80}", hint=hint))
        named[name] = parse(text)
    return named
