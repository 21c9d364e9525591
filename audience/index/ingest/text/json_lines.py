"""Search for the first line of an NDJSON file that is not a JSON object, for the error about an unreadable file."""

import json
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any

LINE_HINT = "each line is one JSON object; correct the line"
ARRAY_HINT = "write one object a line, as jq -c '.[]' does"
OBJECT_HINT = "write one object a line, as jq -c . does"


def find_bad_line(file: Path) -> tuple[str, str] | None:
    """Return what is wrong with the first line of *file* that is not a JSON object, and what to do; None if none is."""
    has_object = False
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            problem = _find_problem(line, f"line {number:,}", has_object)
            if problem is not None:
                return problem
            has_object = True
    return None


def _find_problem(line: bytes, place: str, has_object: bool) -> tuple[str, str] | None:
    if not has_object and line.startswith(BOM_UTF8):
        return f"{place} begins with a byte order mark", "save it as UTF-8 without one"
    try:
        value = json.loads(line.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        return f"{place} is not valid UTF-8", "convert the file, as iconv -f GB18030 -t UTF-8 does"
    except (ValueError, RecursionError) as error:
        if not has_object and line.strip() in (b"[", b"{"):
            hint = ARRAY_HINT if line.strip() == b"[" else OBJECT_HINT
            return f"{place} is only the beginning of a JSON value", hint
        where = f" at character {error.pos + 1:,}" if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        return f"{place} is not valid JSON: {reason}{where}", LINE_HINT
    if isinstance(value, dict):
        return None
    return f"{place} is not a JSON object", ARRAY_HINT if isinstance(value, list) else LINE_HINT


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON; write null")
