"""A plan → a folder of request targeting bodies, which appears complete or not at all.

requests-00001.ndjson   one targeting object a line, at most LINES of them
left_out.ndjson         devices that the vendor's lists cannot carry, with the reason, where there are any
manifest.json           expression, vendor, counts, and the size and SHA-256 of every file
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from dataclasses import replace as replace_fields
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from audience.batches import Batches, batches
from audience.errors import Problem
from audience.files import new_folder
from audience.index import DeviceIndex
from audience.language.render import render
from audience.plan import Plan
from audience.vendors.base import Payload

LINES = 1_000
MANIFEST, LEFT_OUT = "manifest.json", "left_out.ndjson"
FILES = frozenset({MANIFEST, LEFT_OUT, "requests-*.ndjson"})


@dataclass(frozen=True, slots=True)
class Emitted:
    """What was written: *devices* are meant, *told* of them by their ids, *left_out* not at all.

    A native request is told nothing by id: the vendor finds its devices itself.
    """

    vendor: str
    expression: str
    devices: int
    native: int
    batches: int
    told: int
    left_out: int
    reasons: tuple[Problem, ...]
    conditions: tuple[Problem, ...]
    files: tuple[dict[str, Any], ...]


def emit(
    plan: Plan,
    index: DeviceIndex,
    folder: Path,
    *,
    replace: bool = False,
    progress: Callable[[str, int, int], None] = lambda step, done, total: None,
) -> Emitted:
    """Write the requests of *plan* into the new *folder*, ids looked up in *index*.

    Raises OutputError where *folder* exists or cannot be written to; then nothing is left there.
    """
    devices = index.count(plan.expr)
    if devices == 0:  # an empty result sends nothing, also where the vendor would be asked by tags
        plan = replace_fields(plan, native=(), by_ids=None)
    found = batches(index.resolve(plan.by_ids), plan.vendor) if plan.by_ids is not None else None
    with new_folder(folder, marks=FILES, replace=replace) as draft:
        files = list(_write_requests(draft, _requests(plan, found, progress)))
        if found is not None and len(found.skipped):
            files.append(_write(draft / LEFT_OUT, map(orjson.dumps, found.skipped.iter_rows(named=True))))
        written = Emitted(
            vendor=plan.vendor,
            expression=render(plan.expr),
            devices=devices,
            native=len(plan.native),
            batches=0 if found is None else len(found),
            told=0 if found is None else len(found.ids),
            left_out=0 if found is None else len(found.skipped),
            reasons=(*plan.reasons, *(() if found is None else found.problems())),
            conditions=plan.conditions,
            files=tuple(files),
        )
        (draft / MANIFEST).write_bytes(orjson.dumps(as_json(written), option=orjson.OPT_INDENT_2))
    return written


def as_json(written: Emitted) -> dict[str, Any]:
    """*written* as it stands in the manifest."""
    return {**asdict(written), "reasons": _told(written.reasons), "conditions": _told(written.conditions)}


def _told(problems: Iterable[Problem]) -> list[dict[str, str]]:
    return [{"code": problem.code, "message": problem.message} for problem in problems]


def _requests(plan: Plan, found: Batches | None, progress: Callable[[str, int, int], None]) -> Iterator[Payload]:
    yield from plan.native
    for done, body in enumerate(found if found is not None else ()):
        progress("writing batches", done, len(found or ()))
        yield body


def _write_requests(folder: Path, requests: Iterator[Payload]) -> Iterator[dict[str, Any]]:
    lines = map(orjson.dumps, requests)
    number = 0
    while some := list(islice(lines, LINES)):
        number += 1
        yield _write(folder / f"requests-{number:05}.ndjson", some)


def _write(file: Path, lines: Iterable[bytes]) -> dict[str, Any]:
    """Write *lines*; what the manifest says of the file."""
    digest, count = hashlib.sha256(), 0
    with file.open("wb") as stream:
        for line in lines:
            digest.update(line + b"\n")
            stream.write(line + b"\n")
            count += 1
    return {"name": file.name, "lines": count, "bytes": file.stat().st_size, "sha256": digest.hexdigest()}
