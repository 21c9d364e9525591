"""Endpoints about the service itself: who calls, whether it lives, and its counters."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson
from typing_extensions import TypedDict

from audience import __version__
from audience.json_forms.problems import ProblemForm, problem_json
from audience.server.access import ANONYMOUS_CALLER, unknown_key_error
from audience.server.calls import Answer, Call, Endpoint
from audience.server.metrics import METRICS_MEDIA_TYPE, Metrics
from audience.server.openapi import build_document
from audience.server.scopes import Scope


class SessionForm(TypedDict):
    """Caller of the service.

    Attributes:
        name: Name of its key; `local` without keys.
        scopes: What it may do.
        version: Version of the service.
    """

    name: str
    scopes: list[Scope]
    version: str


class HealthForm(TypedDict):
    """Service that answers.

    Attributes:
        status: `ok`.
    """

    status: str


class ReadyIndexForm(TypedDict):
    """Index that is answered from.

    Attributes:
        snapshot: Number of its snapshot.
        problem: What keeps the index from moving to its current snapshot; null if nothing does.
    """

    snapshot: int
    problem: ProblemForm | None


class ReadyForm(TypedDict):
    """Service that is ready to answer.

    Attributes:
        status: `ok`, or `stale` if an index is answered from an earlier snapshot because the current one is damaged
            or gone.
        indexes: Indexes by name.
    """

    status: str
    indexes: dict[str, ReadyIndexForm]


def show_session(call: Call) -> SessionForm:
    """Return who calls, and what the caller may do."""
    if call.caller is ANONYMOUS_CALLER:
        raise unknown_key_error(has_key=False)
    return {"name": call.caller.name, "scopes": sorted(call.caller.scopes), "version": __version__}


def show_health(call: Call) -> HealthForm:
    """Return that the process answers."""
    return {"status": "ok"}


def show_readiness(call: Call) -> ReadyForm:
    """Return from which snapshots the service answers, and what is wrong with an index."""
    problems = call.served.problems if call.served else {}
    indexes: dict[str, ReadyIndexForm] = {
        name: {
            "snapshot": index.snapshot.manifest.number,
            "problem": problem_json(problems[name]) if name in problems else None,
        }
        for name, index in call.indexes.items()
    }
    return {"status": "stale" if problems else "ok", "indexes": indexes}


def metrics_endpoint(metrics: Metrics) -> Endpoint:
    """Return the endpoint that shows counters."""

    def show_metrics(call: Call) -> Answer:
        """Return counters and times in the format of Prometheus."""
        assert call.served is not None
        return Answer(metrics.format(call.served))

    return Endpoint("GET", "/metrics", show_metrics, str, "count", media_types=(METRICS_MEDIA_TYPE,), is_light=True)


def openapi_endpoint(endpoints: Sequence[Endpoint], *, needs_keys: bool) -> Endpoint:
    """Return the endpoint that shows the OpenAPI document of the other *endpoints*."""

    @cache
    def write_document() -> bytes:
        return orjson.dumps(build_document(endpoints, needs_keys=needs_keys))

    def show_document(call: Call) -> bytes:
        """Return the OpenAPI document of the service."""
        return write_document()

    return Endpoint("GET", "/openapi.json", show_document, dict[str, Any], None, is_light=True)


ENDPOINTS = (
    Endpoint("GET", "/v1/session", show_session, SessionForm, None, is_light=True),
    Endpoint("GET", "/healthz", show_health, HealthForm, None, is_light=True),
    Endpoint("GET", "/readyz", show_readiness, ReadyForm, None, is_light=True),
)
