"""Run the benchmarks one after the other, and write their tables into RESULTS.md.

Each one runs in a process of its own and leaves NAME.json and NAME.md in the folder of results. Its tables replace what
is between `<!-- NAME -->` and `<!-- end of NAME -->` in RESULTS.md, with earlier figures beside. Tables of devices are
kept in the folder of devices; indexes are built again.

    python -m benchmarks.all --folder DIR --results DIR [--devices N] [--growth N,…] [--steps NAME,…]
                             [--realdata FOLDER] [--document FILE] [--resume] [--report-only]

With `--resume`, steps with results of this commit are not run again; with `--report-only`, none is.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.devices import INDEX_FOLDER
from benchmarks.earlier_figures import format_earlier_figures
from benchmarks.report import describe_commit, format_bytes

RESULTS_FILE = Path(__file__).with_name("RESULTS.md")
FIGURE_NAME = "growth.svg"


@dataclass(frozen=True, slots=True)
class Step:
    """One benchmark: the name of its section, its arguments, and its module if that has another name."""

    name: str
    arguments: Callable[[argparse.Namespace], list[str]]
    module: str = ""


def _in_folder(options: argparse.Namespace) -> list[str]:
    return _in_folder_of(options.devices, options)


def _in_largest_folder(options: argparse.Namespace) -> list[str]:
    return _in_folder_of(max(options.growth), options)


def _in_folder_of(count: int, options: argparse.Namespace) -> list[str]:
    return ["--devices", f"{count}", "--folder", f"{options.folder / str(count)}"]


def _for_regimes(options: argparse.Namespace) -> list[str]:
    return ["--folder", f"{options.folder / 'regimes'}", *_realdata(options)]


def _realdata(options: argparse.Namespace) -> list[str]:
    return ["--realdata", options.realdata] if options.realdata else []


def _for_scale(options: argparse.Namespace) -> list[str]:
    counts = [f"{count}" for count in options.growth]
    figure = options.document.with_name(FIGURE_NAME)
    return ["--devices", *counts, "--folder", f"{options.folder}", "--runs", "3", "--figure", f"{figure}"]


STEPS = (
    Step("regimes", _for_regimes),
    Step("real_table", _for_regimes),
    Step("build", _in_folder),
    Step("evaluate", _in_folder),
    Step("emit", _in_folder),
    Step("start", _in_folder),
    Step("console", _in_folder),
    Step("update", _in_folder),
    Step("membership", _in_folder),
    Step("soak", lambda options: ["--folder", f"{options.folder / 'soak'}"]),  # at a size that thousands of changes fit
    Step("events", lambda options: ["--devices", f"{options.devices}", "--folder", f"{options.folder / 'events'}"]),
    Step("insight", _in_folder),
    Step("forms", lambda options: ["--devices", f"{options.devices}", "--folder", f"{options.folder / 'forms'}"]),
    Step("service", lambda options: ["--devices", f"{options.devices}", "--folder", f"{options.folder / 'service'}"]),
    Step("sync", lambda options: []),  # at its own size, to which the limits of the vendors fit
    Step("scale", _for_scale),
    Step("threads", lambda options: ["--index", f"{options.folder / str(max(options.growth)) / INDEX_FOLDER}"]),
    Step("emit_largest", lambda options: [*_in_largest_folder(options), "--runs", "1"], module="emit"),
    Step("update_largest", _in_largest_folder, module="update"),
)


def run_step(step: Step, options: argparse.Namespace) -> None:
    """Run *step*. Its files appear when it has ended well."""
    result, partial = options.results / f"{step.name}.json", options.results / f"{step.name}.json.partial"
    partial.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        f"benchmarks.{step.module or step.name}",
        *step.arguments(options),
        "--json",
        f"{partial}",
    ]
    print(f"{step.name}: {' '.join(command[1:])}", file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{step.name} failed with exit code {done.returncode}")
    result.with_suffix(".md").write_text(done.stdout)
    partial.rename(result)


def is_measured(step: Step, options: argparse.Namespace) -> bool:
    """Return whether there are results of *step* at this commit; the document and the figure may differ from it."""
    file = options.results / f"{step.name}.json"
    commit = json.loads(file.read_text())["commit"] if file.exists() else ""
    return commit.removesuffix("-dirty") == describe_commit().removesuffix("-dirty")


def remove_indexes(folder: Path) -> None:
    """Remove the indexes of earlier runs, and what says that they are there."""
    for index in folder.rglob(INDEX_FOLDER):
        shutil.rmtree(index)
    for file in folder.rglob("built.json"):
        file.unlink()


def write_section(name: str, results: Path, document: str) -> str:
    """Return *document* with the results of step *name* in its section."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if document.count(start) != 1 or document.count(end) != 1:
        print(f"{name}: no section between {start} and {end}; see {results / name}.md", file=sys.stderr)
        return document
    measured = json.loads((results / f"{name}.json").read_text())
    parts = [
        describe_run(measured),
        format_earlier_figures(name, measured),
        (results / f"{name}.md").read_text().strip(),
    ]
    before, rest = document.split(start)
    section = "\n\n".join([start, *filter(None, parts), end])
    return before + section + rest.split(end)[1]


def describe_run(measured: dict[str, Any]) -> str:
    """Return the date, the commit and the machine as a sentence."""
    machine = measured["machine"]
    memory = format_bytes(machine["memory_bytes"])
    return f"{measured['date']}, commit {measured['commit']}, {machine['cpu']}, {machine['cores']} cores, {memory}."


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [step.name for step in STEPS]
    parser.add_argument("--folder", type=Path, required=True, help="of devices")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument(
        "--document", type=Path, default=RESULTS_FILE, help="with the sections; the figure is beside it"
    )
    parser.add_argument("--devices", type=float, default=1e7)
    parser.add_argument("--growth", default="1e6,3e6,1e7,3e7,1e8", help="the numbers of devices of `scale`")
    parser.add_argument("--steps", default=",".join(names), help=f"of {', '.join(names)}")
    parser.add_argument("--realdata", help="passed on to `regimes` and `real_table`")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--report-only", action="store_true")
    options = parser.parse_args()
    options.devices = int(options.devices)
    options.growth = [int(float(count)) for count in options.growth.split(",")]
    options.steps = options.steps.split(",")
    if unknown := set(options.steps) - set(names):
        parser.error(f"no step {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return options


def main() -> None:
    options = parse_options()
    options.results.mkdir(parents=True, exist_ok=True)
    steps = [step for step in STEPS if step.name in options.steps]
    if not options.report_only:
        if not options.resume:
            remove_indexes(options.folder)
        for step in steps:
            if not (options.resume and is_measured(step, options)):
                run_step(step, options)
    document = options.document.read_text()
    for step in steps:
        if (options.results / f"{step.name}.json").exists():
            document = write_section(step.name, options.results, document)
    options.document.write_text(document)


if __name__ == "__main__":
    main()
