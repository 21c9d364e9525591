"""Ids written as request bodies in a second, in memory and on disk, compared with other methods.

The other methods are a Python list of each thousand with orjson, `str.join` of Polars, quoted rows that numpy takes,
and `string_agg` of DuckDB. All start with the audience resolved and the ids in memory, and build the same bodies, byte
for byte. Each method has a process of its own, so that the ids of a hundred million devices fit into memory as often
as it keeps them, and the fastest of several runs counts. On disk everything is synced, in files of 1,000 lines. The
index writes whole `emit` folders with checksums, and resolves the audience again for each; it takes turns there with
lists and orjson.

    python -m benchmarks.emit [--devices N] [--runs N] [--threads N] [--folder DIR] [--json FILE]
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import numpy as np
import orjson
import polars as pl
import xxhash

from audience import DeviceIndex, get_vendor, parse
from audience._fs.atomic import fsync_path
from audience.index.query.device_set import DeviceSet
from audience.planning.plans import Plan
from audience.requests.batching import iter_json_bodies
from audience.requests.json_bodies import BodyTemplate, learn_template
from audience.requests.writer import MAX_LINES_PER_FILE, write_requests
from audience.vendors.spec import Vendor
from benchmarks import devices
from benchmarks.evaluate import fastest_times, run_in_process
from benchmarks.report import OPTIONS, describe_environment, format_table, make_parser, open_folder, save_json

AUDIENCES = {"everyone": "everyone", "a third": "province:guangdong", "one in a hundred": "t039 OR t079"}
VENDOR_BY_FORM = {"an array": "engagelab", "commas": "emas"}
CASES = tuple((audience, form) for form in VENDOR_BY_FORM for audience in AUDIENCES)
OUR_METHOD, BASELINE_METHOD = "the index", "list + orjson"
ID_LENGTH = 36
MIN_TIMED_IDS = 5_000_000  # in all runs of a case
QUOTED_AT_ONCE = 1_000_000  # ids that become rows of numpy in one step

MakeBodies: TypeAlias = Callable[[], Iterable[bytes]]
PrepareBodies: TypeAlias = Callable[[DeviceSet, Vendor], MakeBodies]


@dataclass(frozen=True, slots=True)
class MemoryMeasurement:
    """Seconds of one method to build the bodies of one case, the number of ids in them, and their digest."""

    seconds: float
    id_count: int
    digest: str


@dataclass(frozen=True, slots=True)
class EmitMeasurement:
    """Seconds of each method to write the ids of an audience in one form, in memory and to disk."""

    audience: str
    form: str
    id_count: int
    memory_seconds: dict[str, float]
    disk_seconds: dict[str, float]


def measure_all(index_folder: Path, scratch: Path, runs: int, threads: int) -> list[EmitMeasurement]:
    """Measure all audiences in all forms; every method must build the same bodies."""
    memory = {
        method: run_in_process(measure_memory, method, index_folder, scratch, runs, threads, threads=threads)
        for method in METHODS
    }
    disk = run_in_process(measure_disk, index_folder, scratch, runs, threads, threads=threads)
    return [
        _join_methods(case, {name: by_case[case] for name, by_case in memory.items()}, disk[case]) for case in CASES
    ]


def _join_methods(
    case: tuple[str, str], memory: dict[str, MemoryMeasurement], disk_seconds: dict[str, float]
) -> EmitMeasurement:
    digests = {name: measured.digest for name, measured in memory.items()}
    assert len(set(digests.values())) == 1, (case, digests)
    seconds = {name: measured.seconds for name, measured in memory.items()}
    return EmitMeasurement(*case, memory[OUR_METHOD].id_count, seconds, disk_seconds)


def measure_memory(
    method: str, index_folder: Path, scratch: Path, runs: int, threads: int
) -> dict[tuple[str, str], MemoryMeasurement]:
    """Measure one method in memory, alone in its process."""
    index = DeviceIndex.open(index_folder, threads=threads)
    prepare = METHODS[method](index, scratch, threads)
    return {case: _measure_bodies(index, case, prepare, runs) for case in CASES}


def _measure_bodies(index: DeviceIndex, case: tuple[str, str], prepare: PrepareBodies, runs: int) -> MemoryMeasurement:
    device_set = index.resolve(AUDIENCES[case[0]])
    make_bodies = prepare(device_set, get_vendor(VENDOR_BY_FORM[case[1]]))
    digest = _hash_bodies(make_bodies())
    (seconds,) = fastest_times([lambda: _consume_bodies(make_bodies())], _count_runs(runs, len(device_set)))
    return MemoryMeasurement(seconds, len(device_set), digest)


def _count_runs(runs: int, id_count: int) -> int:
    """Return *runs*, or more for few ids: other work disturbs a short run as much as a long one."""
    return max(runs, MIN_TIMED_IDS // max(id_count, 1))


def _prepare_index(index: DeviceIndex, scratch: Path, threads: int) -> PrepareBodies:
    return lambda device_set, vendor: lambda: iter_json_bodies(device_set, vendor.name)


def _prepare_lists(index: DeviceIndex, scratch: Path, threads: int) -> PrepareBodies:
    return lambda device_set, vendor: lambda: _dump_lists(device_set, vendor)


def _dump_lists(device_set: DeviceSet, vendor: Vendor) -> Iterator[bytes]:
    for chunk in _slice_ids(device_set.ids(vendor.name), vendor.max_ids):
        yield orjson.dumps(vendor.target_ids(chunk.to_list()))


def _prepare_polars(index: DeviceIndex, scratch: Path, threads: int) -> PrepareBodies:
    def prepare(device_set: DeviceSet, vendor: Vendor) -> MakeBodies:
        parts = _split_template(vendor)
        return lambda: _join_with_polars(device_set.ids(vendor.name), vendor.max_ids, parts)

    return prepare


def _join_with_polars(ids: pl.Series, batch: int, parts: tuple[str, str, str]) -> Iterator[bytes]:
    prefix, separator, suffix = parts
    for chunk in _slice_ids(ids, batch):
        yield f"{prefix}{chunk.str.join(separator).item()}{suffix}".encode()


def _slice_ids(ids: pl.Series, batch: int) -> Iterator[pl.Series]:
    return (ids.slice(at, batch) for at in range(0, len(ids), batch))


def _prepare_numpy(index: DeviceIndex, scratch: Path, threads: int) -> PrepareBodies:
    """Take rows from an array in which each id is followed by the separator."""
    ids = _load_ids(index)
    quote_ids = lru_cache(1)(lambda separator: _quote_ids(ids, separator))

    def prepare(device_set: DeviceSet, vendor: Vendor) -> MakeBodies:
        template = _find_template(vendor)
        quoted, rows, batch = quote_ids(template.separator.decode()), device_set.global_rows(), vendor.max_ids
        end, starts = -len(template.separator), range(0, len(rows), batch)
        return lambda: (template.fill(quoted[rows[at : at + batch]].tobytes()[:end]) for at in starts)

    return prepare


def _quote_ids(ids: pl.Series, separator: str) -> Any:
    """Return an array of *ids*, each followed by *separator*; made in steps, so that no second copy is in memory."""
    quoted = np.empty(len(ids), f"V{ID_LENGTH + len(separator)}")
    for at in range(0, len(ids), QUOTED_AT_ONCE):
        joined = (ids.slice(at, QUOTED_AT_ONCE) + separator).str.join("").item()
        quoted[at : at + QUOTED_AT_ONCE] = np.frombuffer(joined.encode(), quoted.dtype)
    return quoted


def _prepare_duckdb(index: DeviceIndex, scratch: Path, threads: int) -> PrepareBodies:
    connection = duckdb.connect(config={"threads": threads, "temp_directory": str(scratch / "duckdb")})
    connection.execute("set enable_progress_bar = false")
    everyone = _load_ids(index).to_frame().with_row_index("row").to_arrow()  # noqa: F841  # DuckDB finds it by its name
    connection.execute("create table ids as select row, token from everyone")
    return lambda device_set, vendor: _join_with_duckdb(connection, device_set, vendor)


def _join_with_duckdb(connection: Any, device_set: DeviceSet, vendor: Vendor) -> MakeBodies:
    """Join the ids of the audience beforehand. Bodies are made in steps, as all at once need 12 GB for 100 million."""
    rows = device_set.global_rows()
    audience = pl.DataFrame({"row": rows, "position": np.arange(len(rows), dtype=np.uint32)}).to_arrow()  # noqa: F841
    connection.execute(
        "create or replace table wanted as select position, token from audience join ids using (row) order by position"
    )
    parts, step = _split_template(vendor), MAX_LINES_PER_FILE * vendor.max_ids
    return lambda: _aggregate_bodies(connection, parts, vendor.max_ids, range(0, len(rows), step))


def _aggregate_bodies(connection: Any, parts: tuple[str, str, str], batch: int, steps: range) -> Iterator[bytes]:
    prefix, separator, suffix = parts
    select = (
        "select ? || string_agg(token, ? order by position) || ? from wanted where position >= ? and position < ?"
        f" group by position // {batch} order by position // {batch}"
    )
    for at in steps:
        bodies = connection.execute(select, [prefix, separator, suffix, at, at + steps.step]).fetchall()
        yield from (body.encode() for (body,) in bodies)


METHODS: dict[str, Callable[[DeviceIndex, Path, int], PrepareBodies]] = {
    OUR_METHOD: _prepare_index,
    BASELINE_METHOD: _prepare_lists,
    "Polars": _prepare_polars,
    "numpy": _prepare_numpy,
    "DuckDB": _prepare_duckdb,
}


def _load_ids(index: DeviceIndex) -> pl.Series:
    ids = index.resolve("everyone").ids()
    assert ids.str.len_bytes().unique().to_list() == [ID_LENGTH]
    return ids


def _find_template(vendor: Vendor) -> BodyTemplate:
    template = learn_template(vendor.target_ids, vendor.max_ids)
    assert template is not None
    return template


def _split_template(vendor: Vendor) -> tuple[str, str, str]:
    """Return what stands before, between and after the ids of a body."""
    template = _find_template(vendor)
    return template.prefix.decode(), template.separator.decode(), template.suffix.decode()


def _hash_bodies(bodies: Iterable[bytes]) -> str:
    hasher = xxhash.xxh3_128()
    for body in bodies:
        hasher.update(body + b"\n")
    return hasher.hexdigest()


def _consume_bodies(bodies: Iterable[bytes]) -> None:
    for _ in bodies:
        pass


def measure_disk(index_folder: Path, scratch: Path, runs: int, threads: int) -> dict[tuple[str, str], dict[str, float]]:
    """Measure `emit`, and lists with orjson written to files."""
    index = DeviceIndex.open(index_folder, threads=threads)
    return {case: _time_on_disk(index, case, scratch, runs) for case in CASES}


def _time_on_disk(index: DeviceIndex, case: tuple[str, str], scratch: Path, runs: int) -> dict[str, float]:
    """Return the seconds to emit, and to write the bodies of the baseline; both must write the same."""
    expr, vendor = parse(AUDIENCES[case[0]]), get_vendor(VENDOR_BY_FORM[case[1]])
    by_ids, device_set = Plan(vendor.name, expr, (), expr, ()), index.resolve(expr)
    calls = {
        OUR_METHOD: lambda folder: write_requests(by_ids, index, folder),
        BASELINE_METHOD: lambda folder: _write_bodies(_dump_lists(device_set, vendor), folder),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(_count_runs(runs, len(device_set))):
        for name, call in calls.items():
            os.sync()  # what was written before is not part of it
            start = time.perf_counter()
            call(scratch / name)
            times[name].append(time.perf_counter() - start)
        assert _file_digests(scratch / OUR_METHOD) == _file_digests(scratch / BASELINE_METHOD), case
        for name in calls:
            shutil.rmtree(scratch / name)
    return {name: min(seconds) for name, seconds in times.items()}


def _write_bodies(bodies: Iterable[bytes], folder: Path) -> None:
    folder.mkdir()
    lines, number = iter(bodies), 0
    while chunk := list(islice(lines, MAX_LINES_PER_FILE)):
        number += 1
        (folder / f"requests-{number:05}.ndjson").write_bytes(b"".join(line + b"\n" for line in chunk))
    for file in folder.iterdir():
        fsync_path(file)


def _file_digests(folder: Path) -> dict[str, str]:
    return {file.name: xxhash.xxh3_128_hexdigest(file.read_bytes()) for file in folder.glob("requests-*")}


def prepare_index(folder: Path, count: int) -> Path:
    """Return the index in *folder*; it is built unless it exists with this many devices."""
    index_folder, threads = folder / devices.INDEX_FOLDER, os.cpu_count() or 1
    if not index_folder.exists() or len(DeviceIndex.open(index_folder)) != count:
        run_in_process(devices.generate_table, folder, count, threads=threads)
        run_in_process(devices.build_index, folder, threads, threads=threads)
    return index_folder


def format_report(answers: list[EmitMeasurement]) -> str:
    """Return *answers* as Markdown: millions of ids a second, and the factor to the baseline."""
    methods = list(answers[0].memory_seconds)
    head = (
        "millions of ids a second",
        "ids",
        *methods,
        "× baseline",
        f"disk: {OUR_METHOD}",
        f"disk: {BASELINE_METHOD}",
        "× baseline",
    )
    rows = []
    for answer in answers:
        memory, disk = (
            [answer.id_count / seconds / 1e6 for seconds in by_method.values()]
            for by_method in (answer.memory_seconds, answer.disk_seconds)
        )
        cells = [*memory, memory[0] / memory[1], *disk, disk[0] / disk[1]]
        rows.append((f"{answer.audience}, {answer.form}", f"{answer.id_count:,}", *(f"{cell:.1f}" for cell in cells)))
    return format_table(head, rows)


def main() -> None:
    options = make_parser(__doc__, *OPTIONS).parse_args()
    with open_folder(options.folder) as folder, open_folder(None) as scratch:
        index_folder = prepare_index(folder, int(options.devices))
        answers = measure_all(index_folder, scratch, options.runs, options.threads)
    results = {**describe_environment(), "runs": options.runs, "answers": [asdict(answer) for answer in answers]}
    save_json(results, options.json)
    print(format_report(answers))


if __name__ == "__main__":
    main()
