"""Tools of agents: questions of the service that change nothing and answer no ids of devices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import cleandoc
from itertools import chain
from typing import Any

from pydantic import BaseModel, TypeAdapter

from audience.errors import AudienceError, ExpressionError, Problem
from audience.index.query.unmatched import find_unmatched
from audience.json_forms.problems import ProblemForm, problem_json
from audience.language.ast import Expr
from audience.server.bodies import ExprBody, parse_text, read_asked
from audience.server.calls import Call, Endpoint
from audience.server.endpoints import insight, plans, queries, translations, vendors
from audience.server.field_descriptions import Json, collect_descriptions, describe_fields
from audience.server.indexes import ServedIndexes, find_index
from audience.server.json_body import validate_fields
from audience.server.problems import HttpError, add_place
from audience.server.scopes import Caller
from audience.server.settings import ServeSettings

PLACE = "arguments"
SERVICE_PLACES = ("body", "query")  # where the service has what are arguments here
AGENT = Caller("agent", frozenset(["count"]))
PATH_ARGUMENTS = {"index": "Name of the index.", "attribute": "Name of the attribute; bare tags are `tag`."}
QUESTIONS = (queries.count, queries.explain, insight.profile, insight.overlap, plans.plan, plans.plan_all)
WARNINGS_SCHEMA = {
    "type": "array",
    "description": "Tags, ids and ranges of the expressions that no device has; often these are misspelled.",
    "items": {"$ref": "#/$defs/ProblemForm"},
}


@dataclass(frozen=True, slots=True)
class AgentTool:
    """Tool: an endpoint of the service, of which parameters of the path and fields of the body are arguments.

    Attributes:
        name: Name of the tool.
        endpoint: Endpoint that answers it.
    """

    name: str
    endpoint: Endpoint

    @property
    def description(self) -> str:
        """Return the docstring of the endpoint's handler."""
        return cleandoc(self.endpoint.handler.__doc__ or "")

    @property
    def model(self) -> type[BaseModel] | None:
        """Return the model of the arguments that are not part of the path."""
        return self.endpoint.body or self.endpoint.query

    @property
    def has_warnings(self) -> bool:
        """Return whether answers name what no device has of the expressions; `lint` reports it by itself."""
        return self.endpoint.handler in QUESTIONS

    @property
    def path_arguments(self) -> list[str]:
        """Return the names of the arguments that are part of the endpoint's path."""
        return [name for name in PATH_ARGUMENTS if f"{{{name}}}" in self.endpoint.path]


def _make_tools(**handlers: Any) -> dict[str, AgentTool]:
    """Return a tool for each handler, by its name."""
    modules = (queries, insight, plans, translations, vendors)
    endpoints = {endpoint.handler: endpoint for module in modules for endpoint in module.ENDPOINTS}
    return {name: AgentTool(name, endpoints[handler]) for name, handler in handlers.items()}


TOOLS: Mapping[str, AgentTool] = _make_tools(
    describe_index=queries.describe_index,
    list_values=insight.show_values,
    complete=queries.complete,
    count=queries.count,
    explain=queries.explain,
    lint=queries.find_mistakes,
    profile=insight.profile,
    overlap=insight.overlap,
    plan=plans.plan,
    compare_vendors=plans.plan_all,
    translate=translations.translate,
    list_vendors=vendors.list_vendors,
)


def build_input_schema(tool: AgentTool, index_names: Sequence[str]) -> Json:
    """Return the JSON schema of a tool's arguments. The index is one of them if there are several."""
    schema: Json = {"type": "object"} if tool.model is None else tool.model.model_json_schema()
    is_choice = len(index_names) > 1
    names = [name for name in tool.path_arguments if name != "index" or is_choice]
    arguments: Json = {name: {"type": "string", "description": PATH_ARGUMENTS[name]} for name in names}
    if "index" in arguments:
        arguments["index"]["enum"] = [*index_names]
    fields = {name: field for name, field in schema.get("properties", {}).items() if name != "index" or is_choice}
    schema["properties"] = {**arguments, **fields}
    schema["required"] = [*arguments, *schema.get("required", [])]
    return {**schema, "additionalProperties": False}


def build_output_schema(tool: AgentTool) -> Json:
    """Return the JSON schema of a tool's answer, an object."""
    answer = tool.endpoint.answer
    descriptions = collect_descriptions([answer, ProblemForm])
    schema = TypeAdapter(answer).json_schema(mode="serialization")
    definitions = schema.pop("$defs", {})
    if tool.has_warnings:
        definitions["ProblemForm"] = problem_schema = TypeAdapter(ProblemForm).json_schema()
        definitions |= problem_schema.pop("$defs", {})
        schema["properties"] |= {"warnings": WARNINGS_SCHEMA}
        schema["required"] += ["warnings"]
    schema = {"type": "object", **describe_fields(schema, descriptions)}
    if definitions:
        schema["$defs"] = {name: describe_fields(each, descriptions) for name, each in definitions.items()}
    return schema


def call_tool(tool: AgentTool, arguments: Mapping[str, Any], settings: ServeSettings, served: ServedIndexes) -> Json:
    """Return the answer of a tool.

    Args:
        tool: The tool.
        arguments: Its arguments, as the caller has given them.
        settings: Settings with the catalog.
        served: Indexes, each of which is asked at its current snapshot.

    Raises:
        AudienceError: An argument is missing, unknown or invalid, or the question cannot be answered.
    """
    fields = dict(arguments)
    indexes = served.current
    path = {name: _take_argument(fields, name, [*indexes]) for name in tool.path_arguments}
    try:
        if "index" in path:
            find_index(path["index"], indexes)
        model = _validate_arguments(tool, fields)
        is_body = tool.endpoint.body is not None
        call = Call(settings, indexes, AGENT, path, query=None if is_body else model, body=model if is_body else None)
        form: Json = tool.endpoint.handler(call)
        return {**form, "warnings": _find_warnings(call)} if tool.has_warnings else form
    except ExpressionError as error:
        is_about_expr = tool.endpoint.body is not None and issubclass(tool.endpoint.body, ExprBody)
        raise _name_arguments(add_place(error, f"{PLACE}.expr") if is_about_expr else error) from None
    except AudienceError as error:
        raise _name_arguments(error) from None


def _take_argument(fields: dict[str, Any], name: str, index_names: Sequence[str]) -> str:
    """Return an argument that is part of the path, and take it out of *fields*. The only index need not be named."""
    if name == "index" and len(index_names) == 1 and name not in fields:
        return index_names[0]
    hint = f"it is one of {', '.join(index_names)}" if name == "index" else None
    if name not in fields:
        raise HttpError(400, Problem("missing-field", f"{PLACE}.{name} is missing", path=f"{PLACE}.{name}", hint=hint))
    value = fields.pop(name)
    if not isinstance(value, str):
        raise HttpError(400, Problem("wrong-type", "expected a string", path=f"{PLACE}.{name}", hint=hint))
    return value


def _validate_arguments(tool: AgentTool, fields: Mapping[str, Any]) -> BaseModel | None:
    if tool.model is not None:
        return validate_fields(fields, tool.model, PLACE)
    for name in fields:
        message = f"{name!r:.80} is not an argument of {tool.name}"
        raise HttpError(400, Problem("unknown-field", message, path=f"{PLACE}.{name:.80}"))
    return None


def _find_warnings(call: Call) -> list[ProblemForm]:
    """Return what no device has of the expressions of a call."""
    snapshot = call.index.snapshot
    asked = read_asked(call.body, snapshot)
    problems = chain.from_iterable(find_unmatched(expr, snapshot, asked) for expr in _list_exprs(call.body))
    return [problem_json(problem) for problem in problems]


def _list_exprs(body: Any) -> list[Expr]:
    """Return the expressions of the body of a question."""
    named: Mapping[str, str] = getattr(body, "exprs", None) or {}
    texts = [getattr(body, "expr", None), getattr(body, "against", None), *named.values()]
    return [parse_text(text) for text in texts if text is not None]


def _name_arguments(error: AudienceError) -> HttpError:
    """Return *error* with paths of arguments instead of those of the service's bodies and queries."""
    return HttpError(400, *(replace(problem, path=_name_argument(problem.path)) for problem in error.problems))


def _name_argument(path: str | None) -> str | None:
    """Return the path of an argument.

    >>> _name_argument("body.exprs.vip"), _name_argument("$.tag_rules[0]")
    ('arguments.exprs.vip', '$.tag_rules[0]')
    """
    first, dot, rest = (path or "").partition(".")
    return f"{PLACE}{dot}{rest}" if first in SERVICE_PLACES else path
