"""Previews as JSON data."""

from typing import Any, TypedDict

from audience.delivery.previews import RequestPreview, RunPreview
from audience.json_forms.problems import ProblemForm, problem_json


class PartForm(TypedDict):
    """Part of a run: devices that get the same message in the same window."""

    variant: str | None
    language: str | None
    zone: str | None
    devices: int


class RequestPreviewForm(TypedDict):
    """Example of the requests that a method makes with one body, without ids and keys."""

    method: str
    platform: str | None
    parts: list[PartForm]
    devices: int | None
    calls: int
    requests: list[dict[str, Any]]
    chosen: bool
    problems: list[ProblemForm]


class RunPreviewForm(TypedDict):
    """Preview of the run of one vendor."""

    vendor: str
    requests: list[RequestPreviewForm]
    warnings: list[ProblemForm]


def run_preview_json(preview: RunPreview) -> RunPreviewForm:
    """Return a preview as JSON data."""
    return {
        "vendor": preview.vendor,
        "requests": [_request_json(request) for request in preview.requests],
        "warnings": [problem_json(problem) for problem in preview.warnings],
    }


def _request_json(preview: RequestPreview) -> RequestPreviewForm:
    return {
        "method": preview.method,
        "platform": preview.platform,
        "parts": [
            {"variant": part.variant, "language": part.language, "zone": part.zone, "devices": len(part)}
            for part in preview.parts
        ],
        "devices": preview.device_count,
        "calls": preview.call_count,
        "requests": [dict(request) for request in preview.requests],
        "chosen": preview.chosen,
        "problems": [problem_json(problem) for problem in preview.problems],
    }
