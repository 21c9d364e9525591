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

from audience import DeviceIndex, parse, vendor
from audience._fs.atomic import sync
from audience.index.query.device_set import Crowd
from audience.planning.planner import Plan
from audience.requests.batching import iter_bodies
from audience.requests.json_bodies import Frame, framed
from audience.requests.writer import LINES, emit
from audience.vendors.spec import Vendor
from benchmarks import devices
from benchmarks.evaluate import alone, fastest
from benchmarks.report import OPTIONS, circumstances, kept, options, save, table

CROWDS = {"everyone": "everyone", "a third": "province:guangdong", "one in a hundred": "t039 OR t079"}
VENDORS = {"an array": "engagelab", "commas": "emas"}
OURS, USUAL = "the index", "list + orjson"

Bodies: TypeAlias = Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """So many ids, written as *form* for the crowd *crowd*: the seconds of each way, in memory and to disk."""

    crowd: str
    form: str
    ids: int
    memory: dict[str, float]
    disk: dict[str, float]


def measured(place: Path, scratch: Path, runs: int, threads: int) -> list[Answer]:
    """All crowds in all forms."""
    index = DeviceIndex.open(place)
    ids = index.resolve("everyone").tokens()
    assert ids.str.len_bytes().unique().to_list() == [36]
    base = duckdb.connect(config={"threads": threads})
    base.execute("set enable_progress_bar = false")
    everyone = ids.to_frame().with_row_index("row").to_arrow()  # noqa: F841  # DuckDB finds it by its name
    base.execute("create table ids as select row, token from everyone")
    return [_answer(index, (crowd, form), ids, base, scratch, runs) for crowd in CROWDS for form in VENDORS]


def _answer(index: DeviceIndex, asked: tuple[str, str], ids: pl.Series, base: Any, scratch: Path, runs: int) -> Answer:
    crowd, to = index.resolve(CROWDS[asked[0]]), vendor(VENDORS[asked[1]])
    ways = dict(_ways(crowd, to, ids, base))
    assert len({_digest(bodies()) for bodies in ways.values()}) == 1, asked
    times = fastest([lambda bodies=bodies: _spent(bodies()) for bodies in ways.values()], runs)
    disk = dict(zip((OURS, USUAL), _on_disk(index, asked, ways[USUAL], scratch, runs), strict=True))
    return Answer(*asked, len(crowd), dict(zip(ways, times, strict=True)), disk)


def _ways(crowd: Crowd, to: Vendor, ids: pl.Series, base: Any) -> Iterator[tuple[str, Bodies]]:
    """Each way to make the bodies."""
    frame = framed(to.listing, to.batch)
    assert frame is not None
    rows, texts = crowd.rows(), (frame.before.decode(), frame.between.decode(), frame.behind.decode())
    yield OURS, lambda: iter_bodies(crowd, to.name)
    yield USUAL, lambda: (orjson.dumps(to.listing(some.to_list())) for some in _slices(crowd.tokens(to.name), to.batch))
    yield "Polars", lambda: _joined(crowd.tokens(to.name), to.batch, texts)
    yield "numpy", _by_numpy(ids, rows, to.batch, frame)
    yield "DuckDB", _by_duckdb(base, rows, to.batch, texts)


def _slices(ids: pl.Series, batch: int) -> Iterator[pl.Series]:
    return (ids.slice(at, batch) for at in range(0, len(ids), batch))


def _joined(ids: pl.Series, batch: int, texts: tuple[str, str, str]) -> Iterator[bytes]:
    before, between, behind = texts
    for some in _slices(ids, batch):
        yield f"{before}{some.str.join(between).item()}{behind}".encode()


def _by_numpy(ids: pl.Series, rows: Any, batch: int, frame: Frame) -> Bodies:
    """Every id is kept with what stands between ids behind it, ready to be taken."""
    kept = np.frombuffer((ids + frame.between.decode()).str.join("").item().encode(), f"V{36 + len(frame.between)}")
    end = -len(frame.between)
    starts = range(0, len(rows), batch)
    return lambda: (frame.filled(kept[rows[at : at + batch]].tobytes()[:end]) for at in starts)


def _by_duckdb(base: Any, rows: Any, batch: int, texts: tuple[str, str, str]) -> Bodies:
    crowd = pl.DataFrame({"row": rows, "place": np.arange(len(rows), dtype=np.uint32)}).to_arrow()  # noqa: F841
    base.execute("create or replace table wanted as select row, place, token from crowd join ids using (row)")
    select = (
        "select ? || string_agg(token, ? order by place) || ? from wanted"
        f" group by place // {batch} order by place // {batch}"
    )
    before, between, behind = texts
    return lambda: (body.encode() for (body,) in base.execute(select, [before, between, behind]).fetchall())


def _digest(bodies: Iterable[bytes]) -> str:
    found = xxhash.xxh3_128()
    for body in bodies:
        found.update(body + b"\n")
    return found.hexdigest()


def _spent(bodies: Iterable[bytes]) -> None:
    for _ in bodies:
        pass


def _on_disk(index: DeviceIndex, asked: tuple[str, str], usual: Bodies, scratch: Path, runs: int) -> list[float]:
    """Seconds to emit, and to write the bodies in the usual way; both must write the same."""
    crowd, name = parse(CROWDS[asked[0]]), VENDORS[asked[1]]
    by_ids = Plan(name, crowd, (), crowd, ())
    calls = {
        "ours": lambda folder: emit(by_ids, index, folder),
        "usual": lambda folder: _write(usual(), folder),
    }
    times: dict[str, list[float]] = {way: [] for way in calls}
    for _ in range(runs):
        for way, call in calls.items():
            start = time.perf_counter()
            call(scratch / way)
            times[way].append(time.perf_counter() - start)
        assert _contents(scratch / "ours") == _contents(scratch / "usual"), asked
        for way in calls:
            shutil.rmtree(scratch / way)
    return [min(each) for each in times.values()]


def _write(bodies: Iterable[bytes], folder: Path) -> None:
    folder.mkdir()
    lines, number = iter(bodies), 0
    while some := list(islice(lines, LINES)):
        number += 1
        (folder / f"requests-{number:05}.ndjson").write_bytes(b"".join(line + b"\n" for line in some))
    for file in folder.iterdir():
        sync(file)


def _contents(folder: Path) -> dict[str, str]:
    return {file.name: xxhash.xxh3_128_hexdigest(file.read_bytes()) for file in folder.glob("requests-*")}


def prepare(folder: Path, count: int) -> Path:
    """The index in *folder*: what is there already if it has as many devices, else a new one."""
    place, threads = folder / devices.INDEX, os.cpu_count() or 1
    if not place.exists() or len(DeviceIndex.open(place)) != count:
        alone(devices.generate, folder, count, threads=threads)
        alone(devices.build, folder, threads, threads=threads)
    return place


def printed(answers: list[Answer]) -> str:
    """*answers* as Markdown: millions of ids a second, and how many times the usual way that is."""
    ways = list(answers[0].memory)
    head = ("millions of ids a second", "ids", *ways, "× usual", f"disk: {OURS}", f"disk: {USUAL}", "× usual")
    rows = []
    for one in answers:
        memory, disk = ([one.ids / seconds / 1e6 for seconds in each.values()] for each in (one.memory, one.disk))
        cells = [*memory, memory[0] / memory[1], *disk, disk[0] / disk[1]]
        rows.append((f"{one.crowd}, {one.form}", f"{one.ids:,}", *(f"{cell:.1f}" for cell in cells)))
    return table(head, rows)


def main() -> None:
    said = options(__doc__, *OPTIONS).parse_args()
    with kept(said.folder) as folder, kept(None) as scratch:
        place = prepare(folder, int(said.devices))
        answers = alone(measured, place, scratch, said.runs, said.threads, threads=said.threads)
    found = {**circumstances(), "runs": said.runs, "answers": [asdict(answer) for answer in answers]}
    save(found, said.json)
    print(printed(answers))


if __name__ == "__main__":
    main()
