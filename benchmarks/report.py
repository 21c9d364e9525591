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
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.peers import PARSED_LINE
from benchmarks.queries import QUERIES

LIBRARIES = ("pyroaring", "numpy", "polars", "duckdb", "chdb")
MEASURES = ("count", "rows", "ids")
OPTIONS: dict[str, dict[str, Any]] = {
    "devices": {"type": float, "default": 1e7},
    "runs": {"type": int, "default": 5},
    "threads": {"type": int, "default": 1, "help": "of Polars, DuckDB and chdb; the bitmaps have one"},
    "folder": {"type": Path, "help": "keep the devices and the index here, or use what is here"},
    "json": {"type": Path, "help": "write everything that was measured to this file"},
}


def describe_environment() -> dict[str, Any]:
    """The date, the commit, the machine and the versions."""
    return {
        "date": date.today().isoformat(),
        "commit": describe_commit(),
        "machine": {
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "system": platform.platform(terse=True),
        },
        "versions": {"python": platform.python_version()} | _installed_versions(),
    }


def describe_commit() -> str:
    """The commit, and whether files differ from it."""
    described = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(
        described, capture_output=True, text=True, cwd=Path(__file__).parent, check=True
    ).stdout.strip()


def _installed_versions() -> dict[str, str]:
    """The versions of the libraries that are installed: a proof needs no peers."""
    return {name: version(name) for name in LIBRARIES if find_spec(name) is not None}


def _cpu_model() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def format_report(measured: dict[str, Any]) -> str:
    """*measured* as Markdown."""
    answers = [answer for visit in measured["visits"] for answer in visit["answers"]]
    parts = [_format_head(measured), _format_build(measured), _format_opening(measured), _format_peers(measured)]
    parts += [_format_query(name, [one for one in answers if one["question"] == name]) for name in QUERIES]
    return "\n\n".join(parts)


def _format_head(measured: dict[str, Any]) -> str:
    machine = measured["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in measured["versions"].items())
    return "\n".join(
        [
            f"- {measured['date']}, commit {measured['commit']}",
            f"- {machine['cpu']}, {machine['cores']} cores, "
            f"{format_bytes(machine['memory_bytes'])}, {machine['system']}",
            f"- {versions}",
            f"- {measured['built']['devices']:,} devices; {measured['threads']} thread(s);"
            f" the smallest of {measured['runs']} runs",
        ]
    )


def _format_build(measured: dict[str, Any]) -> str:
    built = measured["built"]
    files = ", ".join(f"{name} {format_bytes(count)}" for name, count in built["files"].items() if count > 10_000)
    return (
        f"The index: built from a Parquet file of {format_bytes(built['table_bytes'])} in {built['seconds']:.1f} s with"
        f" {built['threads']} threads, {format_bytes(built['peak_bytes'])} of memory at the highest;"
        f" {format_bytes(sum(built['files'].values()))} on disk ({files})."
    )


def _format_opening(measured: dict[str, Any]) -> str:
    opened = measured["opening"]
    counts = ", ".join(f"{name} {format_ms(seconds)}" for name, seconds in opened["first_count"].items())
    return (
        f"Opening it takes {format_ms(opened['open'])} ms; the first count after that, in ms: {counts};"
        f" the first list of ids (flagship) {format_ms(opened['first_ids'])} ms."
    )


def _format_peers(measured: dict[str, Any]) -> str:
    rows = [(v["peer"], f"{v['load_seconds']:.1f}", format_bytes(v["gained_bytes"])) for v in measured["visits"]]
    return format_table(("library", "load s", "memory gained by loading"), rows)


def _format_query(name: str, answers: list[dict[str, Any]]) -> str:
    seconds = {(answer["line"], answer["measure"]): answer["seconds"] for answer in answers}
    number = next(answer["result"] for answer in answers if answer["measure"] == "count")
    head = ("", *(column for measure in MEASURES for column in (f"{measure} ms", "ours / it")))
    lines = dict.fromkeys(line for line, _ in seconds)
    rows = [(line, *_format_cells(line, seconds)) for line in lines]
    return f"### {name.capitalize()}\n\n`{QUERIES[name].text}`: {int(number):,} devices\n\n{format_table(head, rows)}"


def _format_cells(line: str, seconds: dict[tuple[str, str], float]) -> Iterator[str]:
    for measure in MEASURES:
        if (line, measure) in seconds:
            yield format_ms(seconds[line, measure])
            yield _format_ratio(seconds[PARSED_LINE, measure] / seconds[line, measure])
        else:
            yield from ("", "")


def _format_ratio(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio > 0.2 else f"1/{1 / ratio:,.0f}"


def make_parser(doc: str, *names: str) -> argparse.ArgumentParser:
    """What a benchmark is asked by: the options *names*; *doc* is its help."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in names:
        parser.add_argument(f"--{name}", **OPTIONS[name])
    return parser


@contextmanager
def open_folder(folder: Path | None) -> Iterator[Path]:
    """A folder for the devices: *folder*, or one that is gone afterwards."""
    with TemporaryDirectory(prefix="audience-benchmark-") as scratch:
        place = folder or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        yield place


def save_json(measured: Any, file: Path | None) -> None:
    """Write what was *measured* to *file*, if there is one."""
    if file:
        file.write_text(json.dumps(measured, indent=2) + "\n")


def format_ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.{3 if seconds < 0.01 else 1}f}"


def format_seconds(duration: float) -> str:
    return f"{duration:,.1f}"


def format_bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def format_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---", *("--:" for _ in head[1:])), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
