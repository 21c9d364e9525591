"""How many ids a second become request bodies, beside what else could write them, in memory and on disk?

Beside a Python list of each thousand and orjson, `str.join` of Polars, rows kept in quotes for numpy to take, and
`string_agg` of DuckDB. All begin with the crowd resolved and the ids in memory, make the same bodies, byte for byte,
and of several runs, in turns, the smallest time is kept. On disk everything is synced, in files of 1,000 lines; the
index's own files are whole `emit` folders with checksums, and the crowd is resolved for each anew.

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
    """So many ids, written as *form* for the crowd *crowd*: the seconds of each way, in memory and to disk."""

    audience: str
    form: str
    id_count: int
    memory_seconds: dict[str, float]
    disk_seconds: dict[str, float]


def measure_all(index_folder: Path, scratch: Path, runs: int, threads: int) -> list[EmitMeasurement]:
    """All crowds in all forms."""
    index = DeviceIndex.open(index_folder)
    ids = index.resolve("everyone").ids()
    assert ids.str.len_bytes().unique().to_list() == [36]
    base = duckdb.connect(config={"threads": threads})
    base.execute("set enable_progress_bar = false")
    everyone = ids.to_frame().with_row_index("row").to_arrow()  # noqa: F841  # DuckDB finds it by its name
    base.execute("create table ids as select row, token from everyone")
    return [
        _measure_case(index, (crowd, form), ids, base, scratch, runs) for crowd in AUDIENCES for form in VENDOR_BY_FORM
    ]


def _measure_case(
    index: DeviceIndex, case: tuple[str, str], ids: pl.Series, connection: Any, scratch: Path, runs: int
) -> EmitMeasurement:
    crowd, to = index.resolve(AUDIENCES[case[0]]), get_vendor(VENDOR_BY_FORM[case[1]])
    ways = dict(_body_makers(crowd, to, ids, connection))
    assert len({_hash_bodies(bodies()) for bodies in ways.values()}) == 1, case
    times = fastest_times([lambda bodies=bodies: _consume_bodies(bodies()) for bodies in ways.values()], runs)
    disk = dict(
        zip(
            (OUR_METHOD, BASELINE_METHOD), _time_on_disk(index, case, ways[BASELINE_METHOD], scratch, runs), strict=True
        )
    )
    return EmitMeasurement(*case, len(crowd), dict(zip(ways, times, strict=True)), disk)


def _body_makers(
    device_set: DeviceSet, target: Vendor, ids: pl.Series, connection: Any
) -> Iterator[tuple[str, MakeBodies]]:
    """Each way to make the bodies."""
    frame = learn_template(target.target_ids, target.max_ids)
    assert frame is not None
    rows, texts = device_set.global_rows(), (frame.prefix.decode(), frame.separator.decode(), frame.suffix.decode())
    yield OUR_METHOD, lambda: iter_json_bodies(device_set, target.name)
    yield (
        BASELINE_METHOD,
        lambda: (
            orjson.dumps(target.target_ids(some.to_list()))
            for some in _slice_ids(device_set.ids(target.name), target.max_ids)
        ),
    )
    yield "Polars", lambda: _join_with_polars(device_set.ids(target.name), target.max_ids, texts)
    yield "numpy", _join_with_numpy(ids, rows, target.max_ids, frame)
    yield "DuckDB", _join_with_duckdb(connection, rows, target.max_ids, texts)


def _slice_ids(ids: pl.Series, batch: int) -> Iterator[pl.Series]:
    return (ids.slice(at, batch) for at in range(0, len(ids), batch))


def _join_with_polars(ids: pl.Series, batch: int, texts: tuple[str, str, str]) -> Iterator[bytes]:
    before, between, behind = texts
    for some in _slice_ids(ids, batch):
        yield f"{before}{some.str.join(between).item()}{behind}".encode()


def _join_with_numpy(ids: pl.Series, rows: Any, batch: int, template: BodyTemplate) -> MakeBodies:
    """Every id is kept with what stands between ids behind it, ready to be taken."""
    kept = np.frombuffer(
        (ids + template.separator.decode()).str.join("").item().encode(), f"V{36 + len(template.separator)}"
    )
    end = -len(template.separator)
    starts = range(0, len(rows), batch)
    return lambda: (template.fill(kept[rows[at : at + batch]].tobytes()[:end]) for at in starts)


def _join_with_duckdb(connection: Any, rows: Any, batch: int, texts: tuple[str, str, str]) -> MakeBodies:
    crowd = pl.DataFrame({"row": rows, "place": np.arange(len(rows), dtype=np.uint32)}).to_arrow()  # noqa: F841
    connection.execute("create or replace table wanted as select row, place, token from crowd join ids using (row)")
    select = (
        "select ? || string_agg(token, ? order by place) || ? from wanted"
        f" group by place // {batch} order by place // {batch}"
    )
    before, between, behind = texts
    return lambda: (body.encode() for (body,) in connection.execute(select, [before, between, behind]).fetchall())


def _hash_bodies(bodies: Iterable[bytes]) -> str:
    found = xxhash.xxh3_128()
    for body in bodies:
        found.update(body + b"\n")
    return found.hexdigest()


def _consume_bodies(bodies: Iterable[bytes]) -> None:
    for _ in bodies:
        pass


def _time_on_disk(
    index: DeviceIndex, case: tuple[str, str], baseline: MakeBodies, scratch: Path, runs: int
) -> list[float]:
    """Seconds to emit, and to write the bodies in the usual way; both must write the same."""
    crowd, name = parse(AUDIENCES[case[0]]), VENDOR_BY_FORM[case[1]]
    by_ids = Plan(name, crowd, (), crowd, ())
    calls = {
        "ours": lambda folder: write_requests(by_ids, index, folder),
        "usual": lambda folder: _write_bodies(baseline(), folder),
    }
    times: dict[str, list[float]] = {way: [] for way in calls}
    for _ in range(runs):
        for way, call in calls.items():
            start = time.perf_counter()
            call(scratch / way)
            times[way].append(time.perf_counter() - start)
        assert _file_digests(scratch / "ours") == _file_digests(scratch / "usual"), case
        for way in calls:
            shutil.rmtree(scratch / way)
    return [min(each) for each in times.values()]


def _write_bodies(bodies: Iterable[bytes], folder: Path) -> None:
    folder.mkdir()
    lines, number = iter(bodies), 0
    while some := list(islice(lines, MAX_LINES_PER_FILE)):
        number += 1
        (folder / f"requests-{number:05}.ndjson").write_bytes(b"".join(line + b"\n" for line in some))
    for file in folder.iterdir():
        fsync_path(file)


def _file_digests(folder: Path) -> dict[str, str]:
    return {file.name: xxhash.xxh3_128_hexdigest(file.read_bytes()) for file in folder.glob("requests-*")}


def prepare_index(folder: Path, count: int) -> Path:
    """The index in *folder*: what is there already if it has as many devices, else a new one."""
    place, threads = folder / devices.INDEX_FOLDER, os.cpu_count() or 1
    if not place.exists() or len(DeviceIndex.open(place)) != count:
        run_in_process(devices.generate_table, folder, count, threads=threads)
        run_in_process(devices.build_index, folder, threads, threads=threads)
    return place


def format_report(answers: list[EmitMeasurement]) -> str:
    """*answers* as Markdown: millions of ids a second, and how many times the usual way that is."""
    ways = list(answers[0].memory_seconds)
    head = (
        "millions of ids a second",
        "ids",
        *ways,
        "× usual",
        f"disk: {OUR_METHOD}",
        f"disk: {BASELINE_METHOD}",
        "× usual",
    )
    rows = []
    for one in answers:
        memory, disk = (
            [one.id_count / seconds / 1e6 for seconds in each.values()]
            for each in (one.memory_seconds, one.disk_seconds)
        )
        cells = [*memory, memory[0] / memory[1], *disk, disk[0] / disk[1]]
        rows.append((f"{one.audience}, {one.form}", f"{one.id_count:,}", *(f"{cell:.1f}" for cell in cells)))
    return format_table(head, rows)


def main() -> None:
    said = make_parser(__doc__, *OPTIONS).parse_args()
    with open_folder(said.folder) as folder, open_folder(None) as scratch:
        place = prepare_index(folder, int(said.devices))
        answers = run_in_process(measure_all, place, scratch, said.runs, said.threads, threads=said.threads)
    found = {**describe_environment(), "runs": said.runs, "answers": [asdict(answer) for answer in answers]}
    save_json(found, said.json)
    print(format_report(answers))


if __name__ == "__main__":
    main()
