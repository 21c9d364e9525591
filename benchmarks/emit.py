"""Ids written as request bodies in a second, in memory and on disk, compared with other methods.

The other methods are a Python list of each thousand with orjson, `str.join` of Polars, quoted rows that numpy takes,
and `string_agg` of DuckDB. All start with the audience resolved and the ids in memory, and build the same bodies, byte
for byte. The methods take turns, and the fastest of several runs counts. On disk everything is synced, in files of
1,000 lines. The index writes whole `emit` folders with checksums, and resolves the audience again for each.

    python -m benchmarks.emit [--devices N] [--runs N] [--threads N] [--folder DIR] [--json FILE]
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
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
OUR_METHOD, BASELINE_METHOD = "the index", "list + orjson"

MakeBodies: TypeAlias = Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class EmitMeasurement:
    """Seconds of each method to write the ids of an audience in one form, in memory and to disk."""

    audience: str
    form: str
    id_count: int
    memory_seconds: dict[str, float]
    disk_seconds: dict[str, float]


def measure_all(index_folder: Path, scratch: Path, runs: int, threads: int) -> list[EmitMeasurement]:
    """Measure all audiences in all forms."""
    index = DeviceIndex.open(index_folder, threads=threads)
    ids = index.resolve("everyone").ids()
    assert ids.str.len_bytes().unique().to_list() == [36]
    base = duckdb.connect(config={"threads": threads})
    base.execute("set enable_progress_bar = false")
    everyone = ids.to_frame().with_row_index("row").to_arrow()  # noqa: F841  # DuckDB finds it by its name
    base.execute("create table ids as select row, token from everyone")
    return [
        _measure_case(index, (audience, form), ids, base, scratch, runs)
        for audience in AUDIENCES
        for form in VENDOR_BY_FORM
    ]


def _measure_case(
    index: DeviceIndex, case: tuple[str, str], ids: pl.Series, connection: Any, scratch: Path, runs: int
) -> EmitMeasurement:
    device_set, vendor = index.resolve(AUDIENCES[case[0]]), get_vendor(VENDOR_BY_FORM[case[1]])
    methods = dict(_body_makers(device_set, vendor, ids, connection))
    assert len({_hash_bodies(bodies()) for bodies in methods.values()}) == 1, case
    times = fastest_times([lambda bodies=bodies: _consume_bodies(bodies()) for bodies in methods.values()], runs)
    disk_times = _time_on_disk(index, case, methods[BASELINE_METHOD], scratch, runs)
    disk_seconds = dict(zip((OUR_METHOD, BASELINE_METHOD), disk_times, strict=True))
    return EmitMeasurement(*case, len(device_set), dict(zip(methods, times, strict=True)), disk_seconds)


def _body_makers(
    device_set: DeviceSet, target: Vendor, ids: pl.Series, connection: Any
) -> Iterator[tuple[str, MakeBodies]]:
    """Yield each method with a function that builds the bodies."""
    template = learn_template(target.target_ids, target.max_ids)
    assert template is not None
    rows = device_set.global_rows()
    parts = template.prefix.decode(), template.separator.decode(), template.suffix.decode()
    yield OUR_METHOD, lambda: iter_json_bodies(device_set, target.name)
    yield (
        BASELINE_METHOD,
        lambda: (
            orjson.dumps(target.target_ids(chunk.to_list()))
            for chunk in _slice_ids(device_set.ids(target.name), target.max_ids)
        ),
    )
    yield "Polars", lambda: _join_with_polars(device_set.ids(target.name), target.max_ids, parts)
    yield "numpy", _join_with_numpy(ids, rows, target.max_ids, template)
    yield "DuckDB", _join_with_duckdb(connection, rows, target.max_ids, parts)


def _slice_ids(ids: pl.Series, batch: int) -> Iterator[pl.Series]:
    return (ids.slice(at, batch) for at in range(0, len(ids), batch))


def _join_with_polars(ids: pl.Series, batch: int, parts: tuple[str, str, str]) -> Iterator[bytes]:
    prefix, separator, suffix = parts
    for chunk in _slice_ids(ids, batch):
        yield f"{prefix}{chunk.str.join(separator).item()}{suffix}".encode()


def _join_with_numpy(ids: pl.Series, rows: Any, batch: int, template: BodyTemplate) -> MakeBodies:
    """Take rows from an array in which each id is followed by the separator."""
    quoted = np.frombuffer(
        (ids + template.separator.decode()).str.join("").item().encode(), f"V{36 + len(template.separator)}"
    )
    end = -len(template.separator)
    starts = range(0, len(rows), batch)
    return lambda: (template.fill(quoted[rows[at : at + batch]].tobytes()[:end]) for at in starts)


def _join_with_duckdb(connection: Any, rows: Any, batch: int, parts: tuple[str, str, str]) -> MakeBodies:
    audience = pl.DataFrame({"row": rows, "position": np.arange(len(rows), dtype=np.uint32)}).to_arrow()  # noqa: F841
    connection.execute(
        "create or replace table wanted as select row, position, token from audience join ids using (row)"
    )
    select = (
        "select ? || string_agg(token, ? order by position) || ? from wanted"
        f" group by position // {batch} order by position // {batch}"
    )
    prefix, separator, suffix = parts
    return lambda: (body.encode() for (body,) in connection.execute(select, [prefix, separator, suffix]).fetchall())


def _hash_bodies(bodies: Iterable[bytes]) -> str:
    hasher = xxhash.xxh3_128()
    for body in bodies:
        hasher.update(body + b"\n")
    return hasher.hexdigest()


def _consume_bodies(bodies: Iterable[bytes]) -> None:
    for _ in bodies:
        pass


def _time_on_disk(
    index: DeviceIndex, case: tuple[str, str], baseline: MakeBodies, scratch: Path, runs: int
) -> list[float]:
    """Return the seconds to emit, and to write the bodies of the baseline; both must write the same."""
    expr, vendor = parse(AUDIENCES[case[0]]), VENDOR_BY_FORM[case[1]]
    by_ids = Plan(vendor, expr, (), expr, ())
    calls = {
        "ours": lambda folder: write_requests(by_ids, index, folder),
        "baseline": lambda folder: _write_bodies(baseline(), folder),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            start = time.perf_counter()
            call(scratch / name)
            times[name].append(time.perf_counter() - start)
        assert _file_digests(scratch / "ours") == _file_digests(scratch / "baseline"), case
        for name in calls:
            shutil.rmtree(scratch / name)
    return [min(seconds) for seconds in times.values()]


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
        answers = run_in_process(
            measure_all, index_folder, scratch, options.runs, options.threads, threads=options.threads
        )
    results = {**describe_environment(), "runs": options.runs, "answers": [asdict(answer) for answer in answers]}
    save_json(results, options.json)
    print(format_report(answers))


if __name__ == "__main__":
    main()
