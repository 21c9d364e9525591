"""Endpoints that ask an index: what it holds, counts, explanations, completions, mistakes, memberships."""

from collections.abc import Hashable, Mapping

import polars as pl
from pydantic import Field
from typing_extensions import TypedDict

from audience.errors import ExpressionError, Problem
from audience.index.query.counting import count_devices
from audience.index.query.explain import explain_expr
from audience.index.query.leave_one_out import count_without_each
from audience.index.query.membership import ID, KNOWN, match_device, match_devices, select_member_columns
from audience.index.query.physical_explanation import explain_physical
from audience.index.query.validate import validate_and_expand
from audience.index.storage.snapshot import Snapshot
from audience.json_forms.counts import (
    CompletionsForm,
    CountForm,
    ExplanationForm,
    MembersForm,
    completion_json,
    explain_lines_json,
    share_of,
)
from audience.json_forms.indexes import (
    IndexDescriptionForm,
    IndexesForm,
    index_description_json,
    index_json,
)
from audience.json_forms.physical import physical_json
from audience.json_forms.problems import ProblemForm, problem_json
from audience.json_forms.questions import format_as_of
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import Everyone, Expr
from audience.language.printer import render
from audience.planning.catalog.check import load_catalog
from audience.planning.linter import lint
from audience.planning.suggested_fixes import suggest_fix
from audience.server.bodies import Body, ExprBody, Query, QuestionBody, parse_text, read_asked, read_question
from audience.server.calls import Call, Endpoint
from audience.server.operand_limit import limit_operands
from audience.server.problems import HttpError, add_place

MAX_SINGLE_IDS = 32  # that are looked up one by one, which is the quickest for few
MAX_VALUES = 1_000
PLACEHOLDER = "\0"  # begins the names of columns, which are neither `id` nor `known` then
EVERYONE = Everyone()


class DescribeQuery(Query):
    """Query for what an index holds."""

    values: int = Field(default=10, ge=0, le=MAX_VALUES, description="Most frequent values of each attribute.")


class ExplainBody(ExprBody):
    """Body of an explanation."""

    leave_one_out: bool = Field(default=False, description="Also count the expression without each of its nodes.")
    physical: bool = Field(default=False, description="Also show how the expression is evaluated, and what it costs.")


class CompleteBody(Body):
    """Body of a completion."""

    text: str = Field(description="Expression, complete or not.", examples=["province:gua"])
    position: int | None = Field(default=None, ge=0, description="Position in the text; its end by default.")
    within: bool = Field(default=False, description="Also count devices that match what is selected already.")


class MembersBody(QuestionBody):
    """Body of a question about devices."""

    ids: list[str] = Field(description="Ids of devices.", examples=[["r1", "nobody"]])
    exprs: dict[str, str] = Field(description="Audiences by name.", examples=[{"vip": "vip AND age < 30"}])
    column: str | None = Field(
        default=None, description="Column of the ids, as expressions name it; any column of device ids by default."
    )

    def quick_key(self) -> Hashable:
        """Return the audiences, if the ids are few."""
        if len(self.ids) > MAX_SINGLE_IDS:
            return None
        return (tuple(self.exprs.values()), self.timezone, self.as_of, self.column, self.allow_gaps)


class LintFindingForm(ProblemForm):
    """Likely mistake.

    Attributes:
        fix: What may be meant instead; null if nothing is known.
    """

    fix: "FixForm | None"


class FixForm(TypedDict):
    """Expression to write instead.

    Attributes:
        expr: The expression.
    """

    expr: str


class LintForm(TypedDict):
    """Likely mistakes of an expression.

    Attributes:
        findings: The mistakes; none is good.
        canonical: The expression as `audience fmt` writes it.
        snapshot: Snapshot that was asked.
        as_of: Moment of the question, as clocks of the zone show it.
    """

    findings: list[LintFindingForm]
    canonical: str
    snapshot: int
    as_of: str


def list_indexes(call: Call) -> IndexesForm:
    """List the indexes of the service."""
    return {"indexes": [index_json(name, index) for name, index in call.indexes.items()]}


def describe_index(call: Call) -> IndexDescriptionForm:
    """Return what an index holds: ids, attributes, segments, events and policies.

    Attributes have their kind, the number of their values, and the most frequent values with their devices.
    """
    index = call.index
    asked = read_as_of(default_timezone=index.snapshot.timezone)
    return index_description_json(call.path["index"], index, asked, call.query.values)


def count(call: Call) -> CountForm:
    """Count the devices of an expression. The count is exact."""
    snapshot = call.index.snapshot
    question = read_question(call.body, snapshot)
    return _count_json(count_devices(question.expr, snapshot, question.asked), snapshot, question.asked)


def explain(call: Call) -> ExplanationForm:
    """Return the count of each part of an expression, like a funnel.

    In an AND, each operand has the number of devices that are left after it. With `leave_one_out`, the outermost nodes
    also have the expression without them. With `physical` the way of each node in each shard is shown, as `count`
    would take it now.
    """
    index, body = call.index, call.body
    snapshot = index.snapshot
    question = read_question(body, snapshot)
    physical = explain_physical(question.expr, snapshot, question.asked) if body.physical else None  # before it is kept
    lines = explain_expr(question.expr, snapshot, question.asked)
    without = count_without_each(question.expr, snapshot, question.asked) if body.leave_one_out else None
    return {
        **_count_json(lines[0].device_count, snapshot, question.asked),
        "devices": len(index),
        "lines": explain_lines_json(lines, len(index), without),
        "physical": None if physical is None else physical_json(physical),
    }


def complete(call: Call) -> CompletionsForm:
    """Return what may come next at a position of a text: names, values, segments and keywords."""
    index, body = call.index, call.body
    position = len(body.text) if body.position is None else body.position
    if position > len(body.text):
        message = f"expected a position from 0 to {len(body.text):,}, got {position:,}"
        raise HttpError(400, Problem("bad-field", message, path="body.position"))
    completions = [completion_json(each) for each in index.complete(body.text, position, body.within)]
    return {"completions": completions, "snapshot": index.snapshot.manifest.number}


def find_mistakes(call: Call) -> LintForm:
    """Return likely mistakes of an expression: empty audiences, redundant branches, tags that no device has."""
    index = call.index
    question = read_question(call.body, index.snapshot)
    catalog = None if call.settings.catalog is None else load_catalog(call.settings.catalog)
    problems = lint(question.expr, index, catalog, **question.asked.to_arguments())
    return {
        "findings": [_finding_json(problem, call.body.expr) for problem in problems],
        "canonical": render(question.expr),
        "snapshot": index.snapshot.manifest.number,
        "as_of": format_as_of(question.asked),
    }


def _finding_json(problem: Problem, text: str) -> LintFindingForm:
    fixed = suggest_fix(text, problem)
    return {**problem_json(problem), "fix": None if fixed is None else {"expr": fixed}}


def find_members(call: Call) -> MembersForm:
    """Return which audiences devices are in, by their ids; null for an id that no device has."""
    snapshot, body = call.index.snapshot, call.body
    asked = read_asked(body, snapshot)
    exprs = {name: parse_text(text, _place_of(name)) for name, text in body.exprs.items()}
    limit_operands(exprs.values(), snapshot.segments, "body.exprs")
    for name, expr in exprs.items():
        _validate_audience(name, expr, snapshot, asked)
    if body.column is not None:
        _require_column(body.column, snapshot)
    match = _match_one_by_one if len(body.ids) <= MAX_SINGLE_IDS else _match_together
    return {
        "snapshot": snapshot.manifest.number,
        "as_of": format_as_of(asked),
        "members": match(body.ids, exprs, body.column, snapshot, asked),
    }


def _place_of(name: str) -> str:
    return f"body.exprs.{name:.80}"


def _validate_audience(name: str, expr: Expr, snapshot: Snapshot, asked: AsOf) -> None:
    """Raise ExpressionError with its place if a named expression does not fit the index."""
    try:
        validate_and_expand(expr, snapshot, asked)
    except ExpressionError as error:
        raise add_place(error, _place_of(name)) from None


def _require_column(column: str, snapshot: Snapshot) -> None:
    try:
        select_member_columns(column, snapshot)
    except ExpressionError as error:
        raise add_place(error, "body.column") from None


def _match_one_by_one(
    ids: list[str], exprs: Mapping[str, Expr], column: str | None, snapshot: Snapshot, asked: AsOf
) -> dict[str, list[str] | None]:
    asked_exprs = [EVERYONE, *exprs.values()]  # a device that exists matches the first one
    members: dict[str, list[str] | None] = {}
    for identifier in ids:
        known, *matches = match_device(identifier, asked_exprs, column, snapshot, asked)
        members[identifier] = [name for name, match in zip(exprs, matches, strict=True) if match] if known else None
    return members


def _match_together(
    ids: list[str], exprs: Mapping[str, Expr], column: str | None, snapshot: Snapshot, asked: AsOf
) -> dict[str, list[str] | None]:
    columns = {f"{PLACEHOLDER}{number}": expr for number, expr in enumerate(exprs.values())}
    answers = match_devices(pl.Series(ids, dtype=pl.String), columns, column, snapshot, asked)
    return {
        row[ID]: [name for name, key in zip(exprs, columns, strict=True) if row[key]] if row[KNOWN] else None
        for row in answers.iter_rows(named=True)
    }


def _count_json(devices: int, snapshot: Snapshot, asked: AsOf) -> CountForm:
    return {
        "count": devices,
        "share": share_of(devices, snapshot.device_count),
        "snapshot": snapshot.manifest.number,
        "as_of": format_as_of(asked),
    }


ENDPOINTS = (
    Endpoint("POST", "/v1/indexes/{index}/members", find_members, MembersForm, "count", MembersBody, is_light=True),
    Endpoint("POST", "/v1/indexes/{index}/count", count, CountForm, "count", ExprBody, is_light=True),
    Endpoint("POST", "/v1/indexes/{index}/explain", explain, ExplanationForm, "count", ExplainBody),
    Endpoint("POST", "/v1/indexes/{index}/complete", complete, CompletionsForm, "count", CompleteBody, is_light=True),
    Endpoint("POST", "/v1/indexes/{index}/lint", find_mistakes, LintForm, "count", ExprBody),
    Endpoint("GET", "/v1/indexes", list_indexes, IndexesForm, "count", is_light=True),
    Endpoint("GET", "/v1/indexes/{index}", describe_index, IndexDescriptionForm, "count", query=DescribeQuery),
)
