"""Endpoint that translates a vendor's payload, or an expression, for other vendors, to an expression, or to SQL."""

import json
import warnings
from threading import Lock
from typing import Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from audience.errors import ExpressionError, Problem
from audience.index.query.index_sql import translate_to_sql
from audience.index.query.questions import bind_segments
from audience.index.storage.snapshot import Snapshot
from audience.json_forms.plans import PlanForm, plan_json
from audience.json_forms.problems import ProblemForm, problem_json
from audience.json_forms.questions import QuestionForm, question_json
from audience.json_forms.sql import SqlForm, sql_json
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import Expr
from audience.language.binding import bind
from audience.language.printer import render
from audience.language.zones import DEFAULT_ZONE
from audience.planning.catalog.catalog import Catalog
from audience.planning.catalog.vendor_names import with_catalog_names
from audience.planning.planner import plan as make_plan
from audience.server.bodies import QuestionBody, parse_text, read_asked
from audience.server.calls import Call, Endpoint
from audience.server.endpoints.plans import load_served_catalog
from audience.server.indexes import find_index
from audience.server.operand_limit import limit_operands
from audience.server.problems import HttpError, add_place
from audience.vendors import get_vendor, vendor_names
from audience.vendors.payload_reader import load_json

TEXT, SQL, ALL_VENDORS = "text", "sql", "all"
DIALECT = "duckdb"
JSON_PREFIXES = ("{", "[", '"', "/")  # other payloads are strings: a form, or EngageLab's `all`
WARNINGS_LOCK = Lock()  # what collects warnings is one for the whole process


class TranslateBody(QuestionBody):
    """Body of a translation."""

    payload: Any = Field(
        description="Payload of the source: its JSON, or a text that holds it; an expression for `text`.",
        examples=[{"to": {"tag": ["Shenzhen"]}}],
    )
    source: str = Field(default=TEXT, description="Vendor of the payload, or `text`.", examples=["engagelab"])
    target: str = Field(
        default=TEXT, description="Vendor, or `text`, or `sql`, or `all` to compare vendors.", examples=["tpns"]
    )
    index: str | None = Field(
        default=None, description="With `sql`: index that was built from the table; the only one by default."
    )
    dialect: Literal["duckdb", "postgres", "clickhouse"] | None = Field(
        default=None, description=f"With `sql`: the database; `{DIALECT}` by default."
    )
    column_types: dict[str, str] | None = Field(
        default=None,
        description="With `sql`: types in the database by the names of columns in the table.",
        examples=[{"price": "double"}],
    )


class TranslatedSqlForm(SqlForm):
    """Translation to SQL.

    Attributes:
        snapshot: Snapshot of the index that names the columns.
        warnings: What the vendor's documentation does not allow in the payload.
    """

    snapshot: int
    warnings: list[ProblemForm]


class ComparedTranslationForm(TypedDict):
    """Translation for all vendors.

    Attributes:
        expression: Expression of the payload.
        vendors: Plans by vendor.
        warnings: What the vendor's documentation does not allow in the payload.
    """

    expression: str
    vendors: dict[str, PlanForm]
    warnings: list[ProblemForm]


class TranslatedTextForm(QuestionForm):
    """Translation to an expression.

    Attributes:
        warnings: What the vendor's documentation does not allow in the payload.
    """

    warnings: list[ProblemForm]


class TranslatedPlanForm(PlanForm):
    """Translation for one vendor.

    Attributes:
        warnings: What the vendor's documentation does not allow in the payload.
    """

    warnings: list[ProblemForm]


def translate(
    call: Call,
) -> TranslatedTextForm | TranslatedPlanForm | ComparedTranslationForm | TranslatedSqlForm:
    """Translate an expression or a vendor's targeting payload for another vendor, for all, to an expression or to SQL.

    What needs ids is in `by_ids` with its reasons. SQL is a WHERE clause over the table that an index was built from.
    """
    body, catalog = call.body, load_served_catalog(call)
    payload = None if body.source == TEXT else _load_payload(body.payload)
    expr, problems = (
        (_parse_text_payload(body.payload), [])
        if body.source == TEXT
        else _parse_payload(body.source, payload, catalog)
    )
    found = [problem_json(problem) for problem in problems]
    if body.target == SQL:
        return {**_write_sql(expr, call), "warnings": found}
    _require_no_sql_fields(body)
    asked = read_as_of(body.as_of, body.timezone, DEFAULT_ZONE, body.allow_gaps)
    if body.target == TEXT:
        return {**question_json(expr, bind(expr, asked.moment, asked.zone), asked), "warnings": found}
    plans = _plan_payload(expr, payload, body, catalog, asked)
    if body.target == ALL_VENDORS:
        return {"expression": render(expr), "vendors": plans, "warnings": found}
    return {**plans[body.target], "warnings": found}


def _plan_payload(
    expr: Expr, payload: Any, body: TranslateBody, catalog: Catalog | None, asked: AsOf
) -> dict[str, PlanForm]:
    """Return the plan of each vendor that a body asks for."""
    names = vendor_names(can="emit") if body.target == ALL_VENDORS else [body.target]
    id_vendor = None if body.source == TEXT else body.source
    return {
        name: plan_json(
            make_plan(expr, name, None, catalog, id_vendor=id_vendor, payload=payload, **asked.to_arguments())
        )
        for name in names
    }


class _ServedSqlForm(SqlForm):
    snapshot: int


def _write_sql(expr: Expr, call: Call) -> _ServedSqlForm:
    """Return *expr* as SQL over the table of an index.

    Raises:
        HttpError: There is no such index, or it is not named although there are several.
        ExpressionError: SQL cannot say a part, a type of a column is wrong, or the index does not have something.
        PlanError: The extra is not installed.
    """
    body, snapshot = call.body, _find_table(call)
    limit_operands([expr], snapshot.segments, "body.payload")
    asked = read_asked(body, snapshot)
    try:
        clause = translate_to_sql(expr, snapshot, body.dialect or DIALECT, body.column_types or {}, asked)
    except ExpressionError as error:
        is_type = error.code == "bad-column-type"
        raise add_place(error, "body.column_types" if is_type else "body.payload") from None
    question = question_json(expr, bind_segments(expr, snapshot, asked), asked)
    return {**sql_json(clause, question), "snapshot": snapshot.manifest.number}


def _find_table(call: Call) -> Snapshot:
    """Return the snapshot of the index that a body names, or of the only one."""
    name = call.body.index
    if name is None and len(call.indexes) > 1:
        problem = Problem(
            "missing-field",
            "SQL needs to know the columns of the table",
            path="body.index",
            hint=f"name the index that was built from it: {', '.join(call.indexes)}",
        )
        raise HttpError(400, problem)
    return find_index(next(iter(call.indexes)) if name is None else name, call.indexes).snapshot


def _require_no_sql_fields(body: TranslateBody) -> None:
    """Raise HttpError if a field for SQL is given, as the translation is not to SQL."""
    given = {"index": body.index, "dialect": body.dialect, "column_types": body.column_types}
    for name, value in given.items():
        if value is not None:
            problem = Problem("bad-field", "the field is for SQL only", path=f"body.{name}", hint='add "target": "sql"')
            raise HttpError(400, problem)


def _parse_text_payload(payload: Any) -> Expr:
    if not isinstance(payload, str):
        message = "expected the text of an expression, as source is text"
        hint = "name the vendor of the payload as source"
        raise HttpError(400, Problem("wrong-type", message, path="body.payload", hint=hint))
    expr = parse_text(payload, "body.payload")
    limit_operands([expr], {}, "body.payload")
    return expr


def _load_payload(payload: Any) -> Any:
    """Return a payload with the checks of its JSON, whether it came as JSON or as a text."""
    text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    return load_json(text) if text.lstrip().startswith(JSON_PREFIXES) else text.strip()


def _parse_payload(vendor_name: str, payload: Any, catalog: Catalog | None) -> tuple[Expr, list[Problem]]:
    """Return the expression of a vendor's payload, and the warnings of its parser."""
    vendor = with_catalog_names(get_vendor(vendor_name), catalog)
    with WARNINGS_LOCK, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        expr = vendor.parse(payload)
    return expr, [Problem("payload", str(warning.message)) for warning in caught]


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/translate",
        translate,
        TranslatedTextForm | TranslatedPlanForm | ComparedTranslationForm | TranslatedSqlForm,
        "count",
        TranslateBody,
    ),
)
