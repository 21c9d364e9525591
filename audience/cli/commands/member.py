"""Command that asks which audiences devices are in."""

from typing import Annotated, Any

import polars as pl

from audience.cli.declarations import Option
from audience.cli.id_arguments import collect_ids, unknown_ids_problem
from audience.cli.options import (
    EXPR_COMPLETION,
    DelimiterOption,
    EncodingOption,
    IdFilesOption,
    IdListColumnOption,
    IdsArgument,
    IndexArgument,
    QuestionOptions,
)
from audience.cli.output.expressions import print_question
from audience.cli.output.widgets import format_table
from audience.cli.output.writer import Output
from audience.index.device_index import DeviceIndex
from audience.index.ingest.read_options import ReadOptions
from audience.index.query.membership import ID, KNOWN
from audience.index.query.questions import bind_segments
from audience.json_forms.questions import question_json
from audience.language.parser import parse


def run_member(
    output: Output,
    index: IndexArgument,
    ids: IdsArgument = None,
    *,
    expr: Annotated[
        list[str],
        Option("-e", "--expr", metavar="EXPR", help="Audience. Repeatable.", autocompletion=EXPR_COMPLETION),
    ],
    files: IdFilesOption = None,
    column: IdListColumnOption = None,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
    question: QuestionOptions,
) -> None:
    """Show which audiences devices are in, by their ids."""
    device_index = DeviceIndex.open(index)
    snapshot = device_index.snapshot
    texts = list(dict.fromkeys(expr))
    audiences = [parse(text) for text in texts]
    asked = question.read(snapshot.timezone)
    options = ReadOptions(encoding=encoding, delimiter=delimiter)
    table_column = column if files else None  # the ids of arguments and of lines of text have no column
    identifiers = collect_ids(ids or (), files or (), table_column, snapshot.manifest.columns, options)
    names = [f"audience {number}" for number in range(len(texts))]
    named = dict(zip(names, audiences, strict=True))
    answers = device_index.members(identifiers, named, column=column, **asked.to_arguments())
    facts = []
    for audience in audiences:
        bound = bind_segments(audience, snapshot, asked)
        facts.append(question_json(audience, bound, asked))
        if question.matter_for(audience, snapshot):
            print_question(bound, asked, output)
        output.print_warnings(device_index.find_unmatched(audience, **asked.to_arguments()))
    output.print_warnings(unknown_ids_problem(answers.filter(~pl.col(KNOWN))[ID], len(answers)))
    output.print_result(
        {"audiences": facts, "devices": [_device_json(row, names) for row in answers.iter_rows(named=True)]},
        lambda: _format_answers(answers.select(ID, *names), texts),
    )


def _device_json(row: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return the answers of a device, in the order of the audiences."""
    return {"id": row[ID], "known": row[KNOWN], "member": [row[name] for name in names]}


def _format_answers(answers: pl.DataFrame, texts: list[str]) -> str:
    """Return a line for each audience if there is one id, else a line for each id."""
    words = [[identifier, *("yes" if is_member else "no" for is_member in row)] for identifier, *row in answers.rows()]
    if len(words) == 1:
        return format_table(("audience", words[0][0]), list(zip(texts, words[0][1:], strict=True)))
    return format_table(("id", *texts), words)
