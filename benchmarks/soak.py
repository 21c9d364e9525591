"""Change an index all the time while another process counts, and check every answer.

A writer updates, tags, untags, removes and adds random devices, one small change after another. A reader refreshes
and counts in a loop, also before the first change and after the last one: what is slow then does not wait for a core.
Counts are compared with those of plain sets, which are kept by change: the number of the snapshot tells which ones. The
folder is measured all the time.

    python -m benchmarks.soak [--devices N] [--changes N] [--rate PER_SECOND] [--folder DIR] [--json FILE]

An hour of one change a second is `--rate 1`; without a rate, changes follow one another as fast as they go.
"""

import argparse
import bisect
import math
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from itertools import accumulate
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from audience import DeviceIndex
from benchmarks.report import describe_environment, format_table, open_folder, save_json

CITIES, TAGS, MAX_AGE = [f"c{number}" for number in range(20)], ["vip", "new", "sent"], 80
DEVICES_PER_CHANGE = 10
KINDS = ("update", "tag", "untag", "remove", "add")
SHARES = (0.4, 0.2, 0.1, 0.1, 0.2)  # of the changes
QUIET_SECONDS, SAMPLE_SECONDS = 5.0, 0.2
STEPS = 200  # of a histogram, for each factor of e
Device = tuple[int, str, frozenset[str]]  # age, city, tags
QUESTIONS: dict[str, Callable[[Device], bool]] = {
    "vip": lambda device: "vip" in device[2],
    "age < 30 AND NOT vip": lambda device: device[0] < 30 and "vip" not in device[2],
    "(city:c1 OR city:c2) AND age >= 40 AND NOT sent": lambda device: (
        device[1] in ("c1", "c2") and device[0] >= 40 and "sent" not in device[2]
    ),
    "NOT city:c3": lambda device: device[1] != "c3",
    "new AND sent": lambda device: {"new", "sent"} <= device[2],
}


class Phase(IntEnum):
    """What happens while the reader counts."""

    QUIET = 0
    CHANGING = 1
    AFTER = 2


@dataclass(frozen=True, slots=True)
class Change:
    """One small change: what is done to which devices, and the ages, cities or tag that they get."""

    kind: str
    ids: tuple[str, ...]
    ages: tuple[int, ...] = ()
    cities: tuple[str, ...] = ()
    tag: str = ""

    def apply(self, index: DeviceIndex) -> int:
        """Make the change. Return the number of the snapshot that is current then."""
        match self.kind:
            case "update" | "add":
                return index.update(
                    pl.DataFrame({"device_id": self.ids, "age": self.ages, "city": self.cities})
                ).snapshot
            case "tag":
                return index.tag(self.ids, add=self.tag).snapshot
            case "untag":
                return index.tag(self.ids, remove=self.tag).snapshot
        return index.remove(self.ids).snapshot


class Histogram:
    """How often something took how long, to half a percent: an hour of counts is more than memory has room for."""

    def __init__(self) -> None:
        self.times: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Note one time."""
        self.times[round(math.log(seconds) * STEPS)] += 1

    def find_percentile(self, percent: int) -> float:
        """Return the milliseconds that *percent* of the times do not exceed."""
        wanted = self.times.total() * percent / 100
        steps = sorted(self.times)
        at = bisect.bisect_left(list(accumulate(self.times[step] for step in steps)), wanted)
        return math.exp(steps[at] / STEPS) * 1e3


@dataclass(frozen=True, slots=True)
class Latencies:
    """Times of the refreshes and of the counts of a reader; the first counts of a snapshot also by themselves."""

    refresh: Histogram = field(default_factory=Histogram)
    count: Histogram = field(default_factory=Histogram)
    first: Histogram = field(default_factory=Histogram)

    def summarize(self) -> dict[str, float]:
        """Return the number of counts, and the percentiles in milliseconds."""
        named = {"count": self.count, "refresh": self.refresh, "first": self.first}
        percentiles = {
            f"{name}_p{percent}": times.find_percentile(percent)
            for name, times in named.items()
            for percent in (50, 99)
            if times.times
        }
        return {"counts": self.count.times.total(), **percentiles}


@dataclass(frozen=True, slots=True)
class SoakMeasurement:
    """What a soak showed: bytes, latencies in milliseconds, and the answers that were wrong."""

    devices: int
    changes: int
    seconds: float
    index_bytes: int
    max_bytes: int
    max_files: int
    write_p50: float
    write_p99: float
    write_max: float
    quiet: dict[str, float]
    busy: dict[str, float]
    after: dict[str, float]
    answers_checked: int
    snapshots_read: int
    wrong: list[str]


def make_devices(count: int, seed: int = 1) -> dict[str, Device]:
    """Return random devices by id."""
    random = np.random.default_rng(seed)
    ages, cities = random.integers(0, MAX_AGE, count).tolist(), random.integers(0, len(CITIES), count).tolist()
    has_tags = (random.random((count, len(TAGS))) < 0.2).tolist()
    return {
        f"d{number}": (
            ages[number],
            CITIES[cities[number]],
            frozenset(tag for tag, has_tag in zip(TAGS, has_tags[number], strict=True) if has_tag),
        )
        for number in range(count)
    }


def make_table(devices: dict[str, Device]) -> pl.DataFrame:
    """Return *devices* as a table."""
    return pl.DataFrame(
        {
            "device_id": list(devices),
            "age": [age for age, _, _ in devices.values()],
            "city": [city for _, city, _ in devices.values()],
            "tags": [sorted(tags) for _, _, tags in devices.values()],
        }
    )


def iter_changes(devices: dict[str, Device], count: int, seed: int = 2) -> Iterator[tuple[Change, list[int]]]:
    """Yield *count* random changes, each with the answers to all questions after it; *devices* are changed."""
    random = np.random.default_rng(seed)
    names = list(devices)
    answers = [sum(map(fits, devices.values())) for fits in QUESTIONS.values()]
    for number in range(count):
        change = _draw_change(number, names, random)
        for at, name in enumerate(change.ids):
            before = devices.get(name)
            after = _change_device(before, change, at)
            for question, fits in enumerate(QUESTIONS.values()):
                answers[question] += (after is not None and fits(after)) - (before is not None and fits(before))
            if after is not None:
                devices[name] = after
            elif before is not None:
                del devices[name]
        if change.kind == "add":
            names += change.ids
        yield change, list(answers)


def _draw_change(number: int, names: list[str], random: np.random.Generator) -> Change:
    kind = KINDS[random.choice(len(KINDS), p=SHARES)]
    drawn = random.choice(len(names), DEVICES_PER_CHANGE, replace=False).tolist()
    ids = tuple(names[at] for at in drawn)
    if kind == "add":
        ids = tuple(f"n{number}-{at}" for at in range(DEVICES_PER_CHANGE))
    ages = tuple(random.integers(0, MAX_AGE, DEVICES_PER_CHANGE).tolist())
    cities = tuple(CITIES[at] for at in random.integers(0, len(CITIES), DEVICES_PER_CHANGE))
    return Change(kind, ids, ages, cities, TAGS[int(random.integers(len(TAGS)))])


def _change_device(device: Device | None, change: Change, at: int) -> Device | None:
    """Return *device* after *change*, in which it is the one at the position *at*; None if there is none."""
    tags: frozenset[str] = frozenset() if device is None else device[2]
    if change.kind in ("update", "add"):
        return change.ages[at], change.cities[at], tags
    if device is None or change.kind == "remove":
        return None
    return device[0], device[1], tags | {change.tag} if change.kind == "tag" else tags - {change.tag}


def write_changes(folder: Path, devices: int, count: int, rate: float, phase: Any, results: Any) -> None:
    """Make all changes; put the last snapshot, the answers and the seconds of each, and all seconds, into *results*."""
    index, written = DeviceIndex.open(folder), []
    start = time.perf_counter()
    for number, (change, answers) in enumerate(iter_changes(make_devices(devices), count)):
        if not number:  # all devices are made
            phase.value, start = Phase.CHANGING, time.perf_counter()
        if rate:
            time.sleep(max(0.0, start + number / rate - time.perf_counter()))
        began = time.perf_counter()
        written.append((change.apply(index), answers, time.perf_counter() - began))
    phase.value = Phase.AFTER
    results.put((written, time.perf_counter() - start))


def read_answers(folder: Path, is_warm: Event, phase: Any, is_done: Event, results: Any) -> None:
    """Refresh and count in a loop; put the latencies by phase, and the answers by snapshot, into *results*."""
    index = DeviceIndex.open(folder)
    latencies = [Latencies() for _ in Phase]
    seen: dict[tuple[int, int], set[int]] = {}
    while not is_done.is_set():
        kept = latencies[phase.value]
        start = time.perf_counter()
        index.refresh()
        kept.refresh.add(time.perf_counter() - start)
        for question, text in enumerate(QUESTIONS):
            start = time.perf_counter()
            count = index.count(text)
            took = time.perf_counter() - start
            kept.count.add(took)
            answered = (index.snapshot.manifest.number, question)
            if answered not in seen:
                kept.first.add(took)
            seen.setdefault(answered, set()).add(count)
        is_warm.set()
    results.put(([each.summarize() for each in latencies], seen))


def run_soak(
    folder: Path, devices: int, changes: int, rate: float = 0.0, quiet_seconds: float = QUIET_SECONDS
) -> SoakMeasurement:
    """Build an index in *folder*, change it while it is read, and return what was measured."""
    index = DeviceIndex.build(make_table(make_devices(devices)), folder / "soak.index", replace=True)
    first_answers = [index.count(text) for text in QUESTIONS]
    sizes = [_measure_folder(index.folder)]
    processes = multiprocessing.get_context("spawn")
    is_warm, is_done, phase = processes.Event(), processes.Event(), processes.Value("i", Phase.QUIET, lock=False)
    written, read = processes.Queue(), processes.Queue()
    reader = processes.Process(target=read_answers, args=(index.folder, is_warm, phase, is_done, read), daemon=True)
    writer = processes.Process(
        target=write_changes, args=(index.folder, devices, changes, rate, phase, written), daemon=True
    )
    reader.start()
    is_warm.wait()
    time.sleep(quiet_seconds)
    writer.start()
    while written.empty() and writer.is_alive():
        sizes.append(_measure_folder(index.folder))
        time.sleep(SAMPLE_SECONDS)
    made, seconds = written.get(timeout=60)
    time.sleep(quiet_seconds)
    is_done.set()
    (quiet, busy, after), seen = read.get(timeout=60)
    for process in (writer, reader):
        process.join()
    took = np.array([each for _, _, each in made]) * 1e3
    wrong = _find_wrong_answers(first_answers, [(number, answers) for number, answers, _ in made], seen)
    return SoakMeasurement(
        devices=devices,
        changes=changes,
        seconds=seconds,
        index_bytes=sizes[0][0],
        max_bytes=max(size for size, _ in sizes),
        max_files=max(count for _, count in sizes),
        write_p50=float(np.percentile(took, 50)),
        write_p99=float(np.percentile(took, 99)),
        write_max=float(took.max()),
        quiet=quiet,
        busy=busy,
        after=after,
        answers_checked=len(seen),
        snapshots_read=len({number for number, _ in seen}),
        wrong=wrong,
    )


def _find_wrong_answers(
    first: list[int], made: list[tuple[int, list[int]]], seen: dict[tuple[int, int], set[int]]
) -> list[str]:
    """Return a line for each answer that is not the one of its snapshot; a change may be followed by a compaction."""
    expected, last = {1: first}, 1
    for number, answers in made:
        expected |= dict.fromkeys(range(last + 1, number + 1), answers)
        last = number
    texts = list(QUESTIONS)
    return [
        f"snapshot {number}: {texts[question]}: {sorted(counts)}, expected {expected[number][question]}"
        for (number, question), counts in sorted(seen.items())
        if counts != {expected[number][question]}
    ]


def _measure_folder(folder: Path) -> tuple[int, int]:
    """Return the bytes and the number of the files below *folder*, some of which may be deleted meanwhile."""
    sizes = []
    for path in folder.rglob("*"):
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:
            continue
    return sum(sizes), len(sizes)


def format_report(measured: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    phases = [measured[phase] for phase in ("quiet", "busy", "after")]
    rows = [
        (
            name,
            *(f"{each[key]:.3f}" if key in each else "" for each in phases),
            f"{phases[1][key] / phases[0][key]:.2f}",
        )
        for name, key in (
            ("count, median", "count_p50"),
            ("count, 99 %", "count_p99"),
            ("first count of a snapshot, median", "first_p50"),
            ("refresh, median", "refresh_p50"),
            ("refresh, 99 %", "refresh_p99"),
        )
    ]
    head = (
        f"{measured['devices']:,} devices, {measured['changes']:,} changes in {measured['seconds']:,.0f} s; "
        f"{measured['answers_checked']:,} answers of {measured['snapshots_read']:,} snapshots checked, "
        f"{len(measured['wrong'])} wrong\n"
        f"index {measured['index_bytes'] / 1e6:.1f} MB, at most {measured['max_bytes'] / 1e6:.1f} MB on disk "
        f"({measured['max_bytes'] / measured['index_bytes']:.2f} times) in {measured['max_files']:,} files\n"
        f"a change takes {measured['write_p50']:.0f} ms (99 %: {measured['write_p99']:.0f}, "
        f"the longest {measured['write_max']:.0f})\n\n"
    )
    return head + format_table(("ms", "quiet", "while changing", "quiet again", "while changing / quiet"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=float, default=1e6)
    parser.add_argument("--changes", type=int, default=3_600)
    parser.add_argument("--rate", type=float, default=0.0, help="changes per second; 0 is as fast as they go")
    parser.add_argument("--folder", type=Path, help="keep the index here")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    options = parser.parse_args()
    with open_folder(options.folder) as folder:
        measured = asdict(run_soak(folder, int(options.devices), options.changes, options.rate))
    save_json({**describe_environment(), **measured}, options.json)
    print(format_report(measured))
    if measured["wrong"]:
        raise SystemExit("\n".join(measured["wrong"]))


if __name__ == "__main__":
    main()
