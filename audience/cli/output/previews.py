"""Text of previews: what is sent, method by method."""

import json
from collections.abc import Iterator, Sequence

from audience.counts import format_count
from audience.delivery.previews import RequestPreview, RunPreview
from audience.requests.parts import Part

MAX_SHOWN_PARTS = 8


def format_previews(previews: Sequence[RunPreview]) -> str:
    """Return the requests of each vendor, one below the other."""
    blocks = [
        "\n".join(_format_lines(preview, request, _choice_note(preview, request)))
        for preview in previews
        for request in preview.requests
    ]
    return "\n\n".join(blocks) or "there is nothing to send"


def _choice_note(run: RunPreview, preview: RequestPreview) -> str:
    """Return whether a send uses the method of *preview*, if there are several for the ids."""
    methods = {each.method for each in run.requests if each.device_count is not None}
    if preview.device_count is None or len(methods) < 2:
        return ""
    return "; `audience send` uses it" if preview.chosen else f"; only with --method {preview.method}"


def _format_lines(run: RunPreview, preview: RequestPreview, note: str) -> Iterator[str]:
    place = "" if preview.platform is None else f" for {preview.platform}"
    count = "native" if preview.device_count is None else format_count(preview.device_count, "device")
    yield f"{run.vendor} by {preview.method}{place}: {count} in {format_count(preview.call_count, 'call')}{note}"
    yield from (f"  {_format_part(part)}" for part in preview.parts[:MAX_SHOWN_PARTS] if _format_part(part))
    if len(preview.parts) > MAX_SHOWN_PARTS:
        yield f"  and {format_count(len(preview.parts) - MAX_SHOWN_PARTS, 'other part')}"
    for problem in preview.problems:
        yield f"  not possible: {problem.message}"
    for request in preview.requests:
        yield f"{request['method']} {request['path']}"
        for key in ("query", "body"):
            if key in request:
                yield f"{key} {json.dumps(request[key], indent=2, ensure_ascii=False)}"


def _format_part(part: Part) -> str:
    """Return what distinguishes a part, and its size; nothing for requests that are not divided."""
    names = (
        *(() if part.variant is None else (f"variant {part.variant}",)),
        *(() if part.language is None else (part.language,)),
        *(() if part.zone is None else (part.zone,)),
    )
    return f"{', '.join(names)}: {format_count(len(part), 'device')}" if names else ""
