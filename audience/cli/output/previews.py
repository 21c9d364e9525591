"""Text of previews: what is sent, method by method."""

import json
from collections.abc import Iterator, Sequence

from audience.counts import format_count
from audience.delivery.previews import RequestPreview, RunPreview
from audience.requests.parts import Part

MAX_SHOWN_PARTS = 8


def format_previews(previews: Sequence[RunPreview]) -> str:
    """Return the requests of each vendor, one below the other."""
    blocks = ["\n".join(_format_lines(preview.vendor, request)) for preview in previews for request in preview.requests]
    return "\n\n".join(blocks) or "there is nothing to send"


def _format_lines(vendor: str, preview: RequestPreview) -> Iterator[str]:
    place = "" if preview.platform is None else f" for {preview.platform}"
    count = "native" if preview.device_count is None else format_count(preview.device_count, "device")
    yield f"{vendor} by {preview.method}{place}: {count} in {format_count(preview.call_count, 'call')}"
    yield from (f"  {_format_part(part)}" for part in preview.parts[:MAX_SHOWN_PARTS] if _format_part(part))
    if len(preview.parts) > MAX_SHOWN_PARTS:
        yield f"  and {format_count(len(preview.parts) - MAX_SHOWN_PARTS, 'other part')}"
    for problem in preview.problems:
        yield f"  not possible: {problem.message}"
    for request in preview.requests:
        yield f"{request['method']} {request['path']}"
        yield from (
            json.dumps(request[key], indent=2, ensure_ascii=False) for key in ("query", "body") if key in request
        )


def _format_part(part: Part) -> str:
    """Return what distinguishes a part, and its size; nothing for requests that are not divided."""
    names = (
        *(() if part.variant is None else (f"variant {part.variant}",)),
        *(() if part.language is None else (part.language,)),
        *(() if part.zone is None else (part.zone,)),
    )
    return f"{', '.join(names)}: {format_count(len(part), 'device')}" if names else ""
