"""What every refusal of the service must be: a worded problem of a known code, and nothing of its insides."""

import json
import tomllib
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from audience import get_vendor, vendor_names
from audience.vendors.problem_codes import list_codes

CODES_FILE = Path(__file__).parents[1] / "docs" / "problem_codes.toml"
FIELDS = {"type", "title", "status", "detail", "code", "span", "hint", "problems"}
INSIDES = ("Traceback", "object at 0x", "site-packages", "pydantic", "uvicorn", "starlette", "NoneType")
MAX_DETAIL = 2_000


@cache
def known_codes() -> tuple[str, ...]:
    """The documented codes, some of them patterns."""
    areas = tomllib.loads(CODES_FILE.read_text("utf-8"))
    of_vendors = (each.code for name in vendor_names() for each in list_codes(get_vendor(name)))
    return (*(code for area in areas.values() for code in area), *of_vendors)


def find_faults(status: int, media_type: str, body: bytes) -> list[str]:
    """What is wrong with a reply: a success must be sound, a refusal worded."""
    if status < 400:
        return [] if status in (200, 201, 202, 204) else [f"status {status}"]
    if status >= 500:
        return [f"status {status}: {body[:300]!r}"]
    if media_type != "application/problem+json":
        return [f"{status} is {media_type!r}: {body[:300]!r}"]
    return find_problem_faults(status, json.loads(body))


def find_problem_faults(status: int, problem: Any) -> list[str]:
    """What is wrong with the JSON of a refusal."""
    if not isinstance(problem, dict) or set(problem) != FIELDS:
        return [f"the fields are {sorted(problem)}"]
    detail, hint, text = problem["detail"], problem["hint"], json.dumps(problem, ensure_ascii=False)
    faults = [f"shows {inside!r}: {text[:500]}" for inside in INSIDES if inside in text]
    if problem["status"] != status or not problem["title"]:
        faults.append(f"status {problem['status']} {problem['title']!r} in a reply of {status}")
    if not any(fnmatch(problem["code"], code) for code in known_codes()):
        faults.append(f"the code {problem['code']!r} is not documented")
    if not (isinstance(detail, str) and 8 <= len(detail) <= MAX_DETAIL):
        faults.append(f"the detail {str(detail)[:300]!r}")
    if not (hint is None or (isinstance(hint, str) and hint.strip())):
        faults.append(f"the hint {hint!r}")
    if not is_span(problem["span"]):
        faults.append(f"the span {problem['span']!r}")
    return faults + ([] if problem["problems"] else ["no problems"])


def is_span(span: Any) -> bool:
    """Whether *span* is a place in a text, or None."""
    return span is None or (set(span) == {"start", "end"} and 0 <= span["start"] <= span["end"])
