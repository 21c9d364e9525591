"""What was measured, where and with what, as Markdown for people."""

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.peers import PARSED
from benchmarks.queries import QUESTIONS

LIBRARIES = ("pyroaring", "numpy", "polars", "duckdb", "chdb")
MEASURES = ("count", "rows", "ids")
OPTIONS: dict[str, dict[str, Any]] = {
    "devices": {"type": float, "default": 1e7},
    "runs": {"type": int, "default": 5},
    "threads": {"type": int, "default": 1, "help": "of Polars, DuckDB and chdb; the bitmaps have one"},
    "folder": {"type": Path, "help": "keep the devices and the index here, or use what is here"},
    "json": {"type": Path, "help": "write everything that was measured to this file"},
}


def circumstances() -> dict[str, Any]:
    """The date, the commit, the machine and the versions."""
    described = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(described, capture_output=True, text=True, cwd=Path(__file__).parent, check=True)
    return {
        "date": date.today().isoformat(),
        "commit": commit.stdout.strip(),
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "system": platform.platform(terse=True),
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }


def _cpu() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def printed(measured: dict[str, Any]) -> str:
    """*measured* as Markdown."""
    answers = [answer for visit in measured["visits"] for answer in visit["answers"]]
    parts = [_head(measured), _built(measured), _opening(measured), _visits(measured)]
    parts += [_question(name, [one for one in answers if one["question"] == name]) for name in QUESTIONS]
    return "\n\n".join(parts)


def _head(measured: dict[str, Any]) -> str:
    machine = measured["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in measured["versions"].items())
    return "\n".join(
        [
            f"- {measured['date']}, commit {measured['commit']}",
            f"- {machine['cpu']}, {machine['cores']} cores, {size(machine['memory_bytes'])}, {machine['system']}",
            f"- {versions}",
            f"- {measured['built']['devices']:,} devices; {measured['threads']} thread(s);"
            f" the smallest of {measured['runs']} runs",
        ]
    )


def _built(measured: dict[str, Any]) -> str:
    built = measured["built"]
    files = ", ".join(f"{name} {size(count)}" for name, count in built["files"].items() if count > 10_000)
    return (
        f"The index: built from a Parquet file of {size(built['table_bytes'])} in {built['seconds']:.1f} s with"
        f" {built['threads']} threads, {size(built['peak_bytes'])} of memory at the highest;"
        f" {size(sum(built['files'].values()))} on disk ({files})."
    )


def _opening(measured: dict[str, Any]) -> str:
    opened = measured["opening"]
    counts = ", ".join(f"{name} {ms(seconds)}" for name, seconds in opened["first_count"].items())
    return (
        f"Opening it takes {ms(opened['open'])} ms; the first count after that, in ms: {counts};"
        f" the first list of ids (flagship) {ms(opened['first_ids'])} ms."
    )


def _visits(measured: dict[str, Any]) -> str:
    rows = [(v["peer"], f"{v['load_seconds']:.1f}", size(v["gained_bytes"])) for v in measured["visits"]]
    return table(("library", "load s", "memory gained by loading"), rows)


def _question(name: str, answers: list[dict[str, Any]]) -> str:
    seconds = {(answer["line"], answer["measure"]): answer["seconds"] for answer in answers}
    number = next(answer["found"] for answer in answers if answer["measure"] == "count")
    head = ("", *(column for measure in MEASURES for column in (f"{measure} ms", "ours / it")))
    lines = dict.fromkeys(line for line, _ in seconds)
    rows = [(line, *_cells(line, seconds)) for line in lines]
    return f"### {name.capitalize()}\n\n`{QUESTIONS[name].text}`: {int(number):,} devices\n\n{table(head, rows)}"


def _cells(line: str, seconds: dict[tuple[str, str], float]) -> Iterator[str]:
    for measure in MEASURES:
        if (line, measure) in seconds:
            yield ms(seconds[line, measure])
            yield _ratio(seconds[PARSED, measure] / seconds[line, measure])
        else:
            yield from ("", "")


def _ratio(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio > 0.2 else f"1/{1 / ratio:,.0f}"


def options(doc: str, *names: str) -> argparse.ArgumentParser:
    """What a benchmark is asked by: the options *names*; *doc* is its help."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in names:
        parser.add_argument(f"--{name}", **OPTIONS[name])
    return parser


@contextmanager
def kept(folder: Path | None) -> Iterator[Path]:
    """A folder for the devices: *folder*, or one that is gone afterwards."""
    with TemporaryDirectory(prefix="audience-benchmark-") as scratch:
        place = folder or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        yield place


def save(measured: Any, file: Path | None) -> None:
    """Write what was *measured* to *file*, if there is one."""
    if file:
        file.write_text(json.dumps(measured, indent=2) + "\n")


def ms(found: float) -> str:
    return f"{found * 1e3:,.{3 if found < 0.01 else 1}f}"


def seconds(found: float) -> str:
    return f"{found:,.1f}"


def size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---", *("--:" for _ in head[1:])), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
