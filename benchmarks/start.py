"""Measure commands as processes of their own, beside a process that counts the same devices with DuckDB.

Commands take turns, so that a busy machine slows all of them. The smallest of each figure is kept: the seconds of the
processor, of the process and the system for it, and those on the clock. Counts are compared. Modules are compiled once,
as those of an installed package are, whatever the variables of the environment say.

    python -m benchmarks.start [--devices N] [--runs N] [--folder DIR] [--json FILE]
"""

import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.devices import TABLE_FOLDER
from benchmarks.emit import prepare_index
from benchmarks.report import describe_environment, format_ms, format_table, make_parser, open_folder, save_json

PEER = "DuckDB, `python -c`"
EXPR = "province:guangdong"
DUCKDB_CODE = """
import duckdb
counted = duckdb.sql("SELECT count(*) FROM read_parquet('{table}/*.parquet') WHERE province = 'guangdong'")
print(counted.fetchall()[0][0])
"""
AUDIENCE = [sys.executable, "-m", "audience"]


@dataclass(frozen=True, slots=True)
class StartMeasurement:
    """Smallest seconds of a command, of the processor and on the clock."""

    command: str
    processor: float
    clock: float


def list_commands(index: Path) -> dict[str, list[str]]:
    """Return the command lines by name; the peer is the first, and the second has to print the same."""
    duckdb = DUCKDB_CODE.format(table=index.parent / TABLE_FOLDER)
    return {
        PEER: [sys.executable, "-c", duckdb],
        "`audience count`": [*AUDIENCE, "count", f"{index}", EXPR],
        "`audience --help`": [*AUDIENCE, "--help"],
        "`audience count --help`": [*AUDIENCE, "count", "--help"],
        "`audience parse`": [*AUDIENCE, "parse", EXPR],
        "`audience translate`": [*AUDIENCE, "translate", "--to", "tpns", EXPR],
        "Python alone": [sys.executable, "-c", "pass"],
    }


def measure_commands(commands: dict[str, list[str]], runs: int) -> list[StartMeasurement]:
    """Run each command in turn, once more than is measured."""
    with TemporaryDirectory() as compiled:
        environment = _with_compiled_modules(compiled)
        peer_count, count = [
            subprocess.check_output(command, env=environment) for command in list(commands.values())[:2]
        ]
        if peer_count != count:
            raise SystemExit(f"{count!r} devices, but {peer_count!r} of the peer")
        rounds = [[_run(command, environment) for command in commands.values()] for _ in range(runs + 1)][1:]
    return [
        StartMeasurement(name, *map(min, zip(*seconds, strict=True)))
        for name, seconds in zip(commands, zip(*rounds, strict=True), strict=True)
    ]


def _with_compiled_modules(folder: str) -> dict[str, str]:
    """Return the environment with compiled modules in *folder*."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, "PYTHONPYCACHEPREFIX": folder}


def _run(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return the seconds of the processor and on the clock that *command* takes."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - start


def format_report(answers: list[StartMeasurement]) -> str:
    """Return *answers* as Markdown, with their ratios to the peer, which is the first."""
    peer = answers[0]
    rows = [
        (
            each.command,
            format_ms(each.processor),
            f"{each.processor / peer.processor:.2f}",
            format_ms(each.clock),
            f"{each.clock / peer.clock:.2f}",
        )
        for each in answers
    ]
    return format_table(("", "processor, ms", "to DuckDB's", "clock, ms", "to DuckDB's"), rows)


def run_benchmark(folder: Path, devices: int, runs: int) -> dict[str, Any]:
    """Measure everything. Return the results, ready for JSON."""
    index = prepare_index(folder, devices)
    answers = measure_commands(list_commands(index), runs)
    return {**describe_environment(), "devices": devices, "answers": [asdict(answer) for answer in answers]}


def main() -> None:
    options = make_parser(__doc__, "devices", "runs", "folder", "json").parse_args()
    with open_folder(options.folder) as folder:
        measured = run_benchmark(folder, int(options.devices), options.runs)
    save_json(measured, options.json)
    print(format_report([StartMeasurement(**answer) for answer in measured["answers"]]))


if __name__ == "__main__":
    main()
