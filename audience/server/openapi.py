"""OpenAPI document of the service, from the types and docstrings of its endpoints."""

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from inspect import cleandoc
from typing import Any

from pydantic import TypeAdapter

from audience import __version__
from audience.server.calls import Endpoint
from audience.server.field_descriptions import Json, collect_descriptions, describe_fields
from audience.server.media_types import JSON_MEDIA_TYPE
from audience.server.problems import PROBLEM_MEDIA_TYPE, ErrorForm

OPENAPI_VERSION = "3.1.0"
REF_TEMPLATE = "#/components/schemas/{model}"
TITLE = "audience"
DESCRIPTION = (
    "Exact counts, explanations and ids of audiences. Each answer is of one snapshot of an index, which it names. "
    "Errors are `application/problem+json`, always with `code`, `span` and `hint`."
)
STREAM_HEADERS = {
    "Audience-Snapshot": "Snapshot that was asked.",
    "Audience-As-Of": "Moment of the question, as clocks of the zone show it.",
    "Audience-Count": "Devices that match.",
    "Audience-Cursor": "Where to go on; only if there is more.",
}
PARAMETERS = {
    "index": "Name of an index.",
    "name": "Name.",
    "attribute": "Name of an attribute.",
}


def build_document(endpoints: Sequence[Endpoint], *, needs_keys: bool) -> Json:
    """Return the OpenAPI document of *endpoints*.

    Args:
        endpoints: Endpoints of the service.
        needs_keys: Whether callers need a key.
    """
    schemas, components = _collect_schemas(endpoints)
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        operation = _describe_endpoint(endpoint, schemas, needs_keys)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": OPENAPI_VERSION,
        "info": {"title": TITLE, "version": __version__, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Key with the scopes that an operation names, made by `audience keys add`.",
                }
            },
        },
    }


def _collect_schemas(endpoints: Iterable[Endpoint]) -> tuple[dict[Any, Json], Json]:
    """Return the schema of each type of an answer or a body, and the definitions that they refer to."""
    answers = [ErrorForm, *(endpoint.answer for endpoint in endpoints if endpoint.media_types[0] == JSON_MEDIA_TYPE)]
    inputs = [model for endpoint in endpoints for model in (endpoint.body, endpoint.query) if model is not None]
    wanted: list[Any] = [(each, "serialization", TypeAdapter(each)) for each in dict.fromkeys(answers)]
    wanted += [(each, "validation", TypeAdapter(each)) for each in dict.fromkeys(inputs)]
    found, definitions = TypeAdapter.json_schemas(wanted, ref_template=REF_TEMPLATE)
    descriptions = collect_descriptions(answers)
    schemas = definitions.get("$defs", {})
    components = {name: describe_fields(schema, descriptions) for name, schema in schemas.items()}
    return {type_: schema for (type_, _), schema in found.items()}, components


def _describe_endpoint(endpoint: Endpoint, schemas: dict[Any, Json], needs_keys: bool) -> Json:
    summary, _, description = cleandoc(endpoint.handler.__doc__ or "").partition("\n")
    operation: Json = {
        "operationId": endpoint.handler.__name__,
        "summary": summary,
        "description": description.strip() or summary,
        "tags": [endpoint.handler.__module__.rpartition(".")[2]],
        "parameters": _list_parameters(endpoint, schemas),
        "responses": _list_responses(endpoint, schemas),
    }
    if endpoint.body is not None:
        content = {JSON_MEDIA_TYPE: {"schema": schemas[endpoint.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    if endpoint.scope is not None:
        operation["security"] = [{"key": [endpoint.scope]}] if needs_keys else [{}, {"key": [endpoint.scope]}]
        operation["description"] += f"\n\nScope: `{endpoint.scope}`."
    return operation


def _list_parameters(endpoint: Endpoint, schemas: dict[Any, Json]) -> list[Json]:
    parameters: list[Json] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PARAMETERS.get(name, "Name."),
            "schema": {"type": "string", "minLength": 1},
        }
        for name in re.findall(r"\{(\w+)\}", endpoint.path)
    ]
    if endpoint.query is not None:
        schema = endpoint.query.model_json_schema(ref_template=REF_TEMPLATE)
        required = schema.get("required", ())
        for name, field in schema["properties"].items():
            description = field.pop("description", name)
            parameters.append(
                {
                    "name": name,
                    "in": "query",
                    "required": name in required,
                    "description": description,
                    "schema": field,
                }
            )
    return parameters


def _list_responses(endpoint: Endpoint, schemas: dict[Any, Json]) -> Json:
    """Return the answers of an endpoint, and its errors."""
    responses: Json = {}
    for status in (200, *endpoint.statuses):
        responses[str(status)] = {"description": HTTPStatus(status).phrase}
        if status != HTTPStatus.NO_CONTENT:
            responses[str(status)]["content"] = _describe_content(endpoint, schemas)
    if len(endpoint.media_types) > 1:
        responses["200"]["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in STREAM_HEADERS.items()
        }
    error = {PROBLEM_MEDIA_TYPE: {"schema": schemas[ErrorForm]}}
    if endpoint.body is not None or endpoint.query is not None:
        description = "The call is invalid; `problems` names the places."
        responses["400"] = {"description": description, "content": error}
    if endpoint.scope is not None:
        responses["401"] = {
            "description": "The key is missing or unknown.",
            "headers": {"WWW-Authenticate": {"description": "Bearer.", "schema": {"type": "string"}}},
            "content": error,
        }
        responses["403"] = {"description": "The key does not permit it.", "content": error}
    if "{" in endpoint.path:
        responses["404"] = {"description": "There is nothing of this name.", "content": error}
    responses["4XX"] = {"description": "The call is refused.", "content": error}
    responses["5XX"] = {"description": "The service has failed, or is busy: `Retry-After`.", "content": error}
    return responses


def _describe_content(endpoint: Endpoint, schemas: dict[Any, Json]) -> Json:
    if endpoint.media_types[0] == JSON_MEDIA_TYPE:
        return {JSON_MEDIA_TYPE: {"schema": schemas[endpoint.answer]}}
    return {media_type.partition(";")[0]: {"schema": {"type": "string"}} for media_type in endpoint.media_types}
