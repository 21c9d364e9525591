"""Indexes in an object store: read there as in a folder, in few requests, and published whole or not at all."""

import errno
import os
import pickle
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import object_store
import polars as pl
import pytest
from object_server import KEYS, serve_objects

from audience import AudienceError, DeviceIndex
from audience._fs.object_stores import read_aws_profile
from audience._fs.object_urls import absolute_location, is_url, parse_object_url
from audience.cli.app import run
from audience.cluster.cluster import ThisProcess
from audience.index.changes import publishing
from audience.index.changes.publishing import pull_index
from audience.index.ingest import build
from audience.index.storage import block_cache
from audience.index.storage.block_cache import BlockCache
from audience.index.storage.object_head import HEAD_FILE, shard_key
from audience.index.storage.object_storage import open_object_storage
from audience.server.indexes import ServedIndexes
from audience.testing.devices import generate_devices

PUBLISHERS = 100 if os.environ.get("HYPOTHESIS_PROFILE") in ("long", "deep") else 10
DEVICES = 5_000

pytestmark = pytest.mark.skipif(object_store.REASON is not None, reason=str(object_store.REASON))


@pytest.fixture(scope="module")
def endpoint():
    """The address of an S3 with a bucket."""
    with serve_objects() as environment:
        object_store.create_bucket(environment["AWS_ENDPOINT_URL"], "devices")
        yield environment["AWS_ENDPOINT_URL"]


@pytest.fixture
def store(endpoint, tmp_path, monkeypatch):
    """The settings for the store, whose requests are recorded, and an empty cache."""
    with object_store.record_requests(endpoint) as recorder:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", recorder.address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("AUDIENCE_CACHE_DIR", str(tmp_path / "cache"))
        yield recorder
        block_cache._open_cache.cache_clear()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """An index of three shards, with a segment, a policy, a tag set later, and devices that were removed."""
    folder = tmp_path_factory.mktemp("local") / "devices.index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", 2_000)
        index = DeviceIndex.build(generate_devices(DEVICES), folder)
    index.tag(index.resolve("age < 30").ids().to_list()[:5], add="later")
    index.remove(index.resolve("age > 60").ids().to_list()[:3])
    index.save_segment("young", "age < 30", by="li")
    index.set_policy("adults", cap="age >= 18")
    return index


@pytest.fixture
def url(request):
    """A place of the test's own."""
    return f"s3://devices/{request.node.name.translate(str.maketrans('[]', '--'))}.index"


@pytest.fixture
def pushed(store, local, url):
    """The index of `local`, published; nothing is recorded yet."""
    local.push(url)
    store.take()
    return url


def command(*words):
    """Run a command; its exit code."""
    with pytest.raises(SystemExit) as ended:
        run(list(map(str, words)))
    return ended.value.code


QUESTIONS = [
    ["count", "INDEX", "age < 30 AND language:zh"],
    ["count", "INDEX", "@young OR later"],
    ["explain", "INDEX", "age < 30 AND NOT language:zh"],
    ["profile", "INDEX", "age < 30", "--as-of", "2026-11-28T09:00+08:00"],
    ["overlap", "INDEX", "age < 30", "language:zh", "--as-of", "2026-11-28T09:00+08:00"],
    ["member", "INDEX", "ID", "nobody", "-e", "age < 30", "-e", "later"],
    ["export", "INDEX", "age < 30", "-o", "OUT"],
    ["plan", "INDEX", "language:zh", "--vendor", "tpns"],
    ["complete", "lang", "--index", "INDEX"],
    ["segment", "list", "INDEX"],
    ["segment", "history", "INDEX", "young"],
    ["policy", "list", "INDEX"],
    ["events", "list", "INDEX"],
    ["index", "info", "INDEX"],
    ["index", "check", "INDEX"],
]


@pytest.mark.parametrize("words", QUESTIONS, ids=" ".join)
def test_a_command_answers_as_from_a_folder(words, pushed, local, tmp_path, capsys):
    answers = []
    for place in (str(local.folder), pushed):
        (tmp_path / place[-6:].replace("/", "")).mkdir(exist_ok=True)
        out = tmp_path / "out.csv"
        out.unlink(missing_ok=True)
        names = {"INDEX": place, "ID": local.resolve("age < 30").ids()[0], "OUT": str(out)}
        code = command(*(names.get(word, word) for word in words))
        printed, errors = capsys.readouterr()
        answers.append((code, printed.replace(place, "INDEX"), errors, out.read_bytes() if out.exists() else b""))
    assert answers[0] == answers[1]
    assert answers[0][0] == 0, answers[0][2]


def test_requests_are_written_as_from_a_folder(pushed, local, tmp_path, capsys):
    contents = []
    for number, place in enumerate((local.folder, pushed)):
        out = tmp_path / str(number)
        assert command("emit", place, "age < 30", "--vendor", "tpns", "-o", out) == 0, capsys.readouterr().err
        files = [
            file for file in out.rglob("*") if file.is_file() and file.name not in ("manifest.json", "audit.jsonl")
        ]
        contents.append({file.name: file.read_bytes() for file in files})
    assert contents[0] == contents[1]
    assert contents[0]


def test_requests_are_few(pushed, store, local):
    remote = DeviceIndex.open(pushed)
    opened = store.take()
    remote.count("language:zh AND age < 30")
    asked = store.take()
    assert remote.count("language:zh AND age < 30") == local.count("language:zh AND age < 30")
    repeated = store.take()
    other = DeviceIndex.open(pushed)  # its blocks are in the cache
    store.take()
    other.count("language:zh AND age < 30")
    assert len(opened) <= 3, opened  # the head, and the deleted rows
    assert sum(nbytes for *_, nbytes in opened) < 200_000
    assert len(asked) <= 6, asked  # of all shards together the first blocks, and no file is larger than a block
    assert [repeated, store.take()] == [[], []]


def test_membership_reads_no_lookup_table(store, url, tmp_path, monkeypatch):
    devices = 200_000
    table = pl.DataFrame({"token": [f"t{number:06}" for number in range(devices)], "vip": [True, False] * 100_000})
    DeviceIndex.build(table, tmp_path / "devices.index").push(url)
    remote = DeviceIndex.open(url)
    store.take()
    assert remote.member("t123456", ["vip"]) == [True]
    requests = store.take()
    assert len(requests) <= 6, requests
    assert sum(nbytes for *_, nbytes in requests) < 600_000  # the table of hashes alone has 1.6 MB


def test_values_of_a_range_are_read_together(store, url, tmp_path):
    number = pl.int_range(200_000, eager=True)
    marks = pl.DataFrame({f"{seed}": number.hash(seed) % 30 for seed in range(12)}).select(pl.concat_list(pl.all()))
    table = pl.DataFrame({"token": number.cast(pl.String), "mark": marks.to_series()})
    local = DeviceIndex.build(table, tmp_path / "devices.index")
    local.push(url)
    delete_openings(url)  # a small file is there as a whole
    for ask in (lambda index: index.count("mark < 25"), lambda index: index.member("7", ["mark < 25"])):
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        remote = DeviceIndex.open(url)
        store.take()
        assert ask(remote) == ask(local)
        requests = [request for request in store.take() if ".tags." in request[1]]
        assert len(requests) <= 3, requests
        assert sum(nbytes for *_, nbytes in requests) > 500_000


def delete_openings(url):
    storage = open_object_storage(url)
    storage.client.delete([each.key for each in storage.client.list("openings")])


def test_an_opening_that_is_missing_is_not_needed(pushed, local):
    delete_openings(pushed)
    assert DeviceIndex.open(pushed).count("age < 30") == local.count("age < 30")


def damage(storage, key, how):
    """Change an object of the store: a flipped bit, one byte more, its second half missing, or the whole of it."""
    data = bytearray(storage.client.get(key).data)
    match how:
        case "flipped":
            data[len(data) // 2] ^= 1
            storage.client.put(key, bytes(data))
        case "longer":
            storage.client.put(key, bytes(data) + b"x")
        case "short":
            storage.client.put(key, bytes(data[: len(data) // 2]))
        case "missing":
            storage.client.delete([key])


@pytest.mark.parametrize("kind", ["tags", "ids", "lookup", "checksums", "deleted", "records", "index.json"])
def test_check_finds_damage_in_the_store(kind, pushed, store, capsys):
    remote = DeviceIndex.open(pushed)
    remote.count("everyone")  # what is in the cache is intact
    remote.verify()
    storage = open_object_storage(pushed)
    key = next(each.key for each in storage.client.list() if kind in each.key)
    intact = storage.client.get(key).data
    for how in ("flipped", "longer", "short", "missing"):
        damage(storage, key, how)
        code = command("index", "check", pushed)
        error = capsys.readouterr().err
        if (how, kind) == ("missing", "index.json"):
            assert (code, "no-index: " in error) == (2, True), (how, error)
        else:
            assert (code, Path(key).name in error) == (1, True), (how, error)
        storage.client.put(key, intact)
    assert command("index", "check", pushed) == 0


def test_a_damaged_block_of_the_cache_is_read_again(pushed, local, tmp_path, store):
    expected = local.count("language:zh AND age < 30")
    DeviceIndex.open(pushed).count("language:zh AND age < 30")
    blocks = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    for number, file in enumerate(blocks):
        data = file.read_bytes()
        file.write_bytes((bytes(len(data)), data[:-1], b"")[number % 3])
    store.take()
    assert DeviceIndex.open(pushed).count("language:zh AND age < 30") == expected
    assert len(blocks) > 3
    store.take()
    assert DeviceIndex.open(pushed).count("language:zh AND age < 30") == expected
    assert not [path for _, path, *_ in store.take() if "/shards/" in path and ".deleted." not in path]


def test_the_cache_is_private_and_bounded(tmp_path):
    cache = BlockCache(tmp_path / "blocks", 40_960)
    for block in range(100):
        cache.write("file", block, bytes(4_096))
    files = [file for file in (tmp_path / "blocks").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 40_960 + 4_096
    assert cache.read("file", 99) == bytes(4_096)
    assert cache.read("file", 0) is None
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert (tmp_path / "blocks").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_write_is_no_cache(tmp_path):
    (tmp_path / "blocks").mkdir()
    (tmp_path / "blocks").chmod(0o777)
    cache = BlockCache(tmp_path / "blocks", 1 << 20)
    cache.write("file", 0, b"block")
    assert cache.read("file", 0) is None
    assert cache.scratch_folder is None


def test_processes_share_a_cache_that_is_deleted_meanwhile(pushed, local, tmp_path):
    script = "import sys; from audience import DeviceIndex; print(DeviceIndex.open(sys.argv[1]).count(sys.argv[2]))"
    expr = "language:zh AND age < 30"
    asked = [
        subprocess.Popen([sys.executable, "-c", script, pushed, expr], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    remote = DeviceIndex.open(pushed)
    shutil.rmtree(tmp_path / "cache")
    assert remote.count(expr) == local.count(expr)
    assert [int(each.communicate()[0]) for each in asked] == [local.count(expr)] * 2


def test_an_index_is_built_in_the_store(store, url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    index = DeviceIndex.build(generate_devices(500), url)
    assert len(index) == len(DeviceIndex.open(Path(url))) == 500
    with pytest.raises(AudienceError, match="exists"):
        DeviceIndex.build(generate_devices(500), url)
    with pytest.raises(AudienceError, match="remote-index"):
        index.save_segment("young", "age < 30")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_processes_of_this_machine_build_in_the_store(store, url, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 200)
    DeviceIndex.build(generate_devices(500), url, cluster=ThisProcess())
    DeviceIndex.build(generate_devices(500), tmp_path / "alone")
    pull_index(url, tmp_path / "pulled")
    files = [
        {path.name: path.read_bytes() for path in tmp_path.glob(f"{name}/shards/*")} for name in ("alone", "pulled")
    ]
    assert files[0] == files[1] and len(files[0]) == 12


def test_a_build_in_place_keeps_segments_and_policies(pushed):
    index = DeviceIndex.build(generate_devices(600), pushed, replace=True)
    assert (len(index), list(index.segments), list(index.policies)) == (600, ["young"], ["adults"])
    assert [each.number for each in index.history()] == sorted({each.number for each in index.history()})
    assert len(index.verify()) > 5


def test_a_copy_is_the_index(pushed, local, tmp_path):
    assert pull_index(pushed, tmp_path / "copy.index") == local.snapshot.manifest.number
    copy = DeviceIndex.open(tmp_path / "copy.index")
    assert copy.snapshot.manifest == local.snapshot.manifest
    assert (len(copy.verify()), list(copy.policies)) == (len(local.verify()), ["adults"])
    assert copy.segment_history() == local.segment_history()


def test_a_change_goes_by_a_copy_and_only_new_files_are_written(pushed, tmp_path, store):
    pull_index(pushed, tmp_path / "copy.index")
    copy = DeviceIndex.open(tmp_path / "copy.index")
    remote, count = DeviceIndex.open(pushed), copy.count("later")
    copy.tag(copy.resolve("NOT later").ids().to_list()[:2], add="later")
    result = copy.push(pushed)
    assert (result.snapshot, result.files < 9) == (copy.snapshot.manifest.number, True)
    assert copy.push(pushed).files == 0
    assert (remote.count("later"), remote.refresh(), remote.count("later")) == (count, True, count + 2)


def test_a_rebuilt_index_continues_the_publications_of_its_folder(url, store, tmp_path):
    folder, table = tmp_path / "devices.index", generate_devices(100)
    DeviceIndex.build(table, folder).push(url)
    result = DeviceIndex.build(table.head(60), folder, replace=True).push(url)
    assert (result.snapshot, len(DeviceIndex.open(url))) == (2, 60)
    pull_index(url, tmp_path / "copy.index")
    copy = DeviceIndex.open(tmp_path / "copy.index")
    copy.save_segment("later", "everyone")
    copy.push(url)
    again = DeviceIndex.build(table.head(50), folder, replace=True)
    with pytest.raises(AudienceError, match="other-publication"):
        again.push(url)
    assert "later" in DeviceIndex.open(url).segments


def test_another_index_is_replaced_only_with_the_option(pushed, tmp_path):
    other = DeviceIndex.build(generate_devices(100), tmp_path / "other.index")
    with pytest.raises(AudienceError, match="other-publication"):
        other.push(pushed)
    before = DeviceIndex.open(pushed)
    other.push(pushed, replace=True)
    assert (len(before), before.count("everyone"), len(DeviceIndex.open(pushed))) == (len(before), len(before), 100)
    other.save_segment("all", "everyone")
    other.push(pushed)
    assert list(DeviceIndex.open(pushed).segments) == ["all"]


def test_a_push_goes_on_although_older_snapshots_have_expired(pushed, tmp_path):
    pull_index(pushed, tmp_path / "copy.index")
    copy = DeviceIndex.open(tmp_path / "copy.index")
    for number in range(3):
        copy.save_segment(f"s{number}", "everyone")
    copy.vacuum(1)
    copy.push(pushed)
    assert "s2" in DeviceIndex.open(pushed).segments


def test_of_two_publishers_at_once_one_is_refused(pushed, tmp_path, monkeypatch):
    copies = []
    for name in ("a", "b"):
        pull_index(pushed, tmp_path / name)
        copies.append(DeviceIndex.open(tmp_path / name))
        copies[-1].save_segment(name, "everyone")
    put_files = publishing._put_files

    def put_files_late(*arguments):
        monkeypatch.setattr(publishing, "_put_files", put_files)
        copies[1].push(pushed)  # while the first one is writing
        return put_files(*arguments)

    monkeypatch.setattr(publishing, "_put_files", put_files_late)
    with pytest.raises(AudienceError, match="publish-conflict"):
        copies[0].push(pushed)
    published = DeviceIndex.open(pushed)
    assert ("a" in published.segments, "b" in published.segments) == (False, True)
    assert published.verify()
    with pytest.raises(AudienceError, match="other-publication"):
        copies[0].push(pushed)


def test_publishers_at_random_lose_and_tear_nothing(store, endpoint, url, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setattr("audience.index.storage.retention.MAX_KEPT_SNAPSHOTS", 1_000)
    monkeypatch.setattr(publishing, "MAX_KEPT_SNAPSHOTS", 1_000)
    DeviceIndex.build(generate_devices(50), tmp_path / "devices.index").push(url)

    def publish(number):
        chance, refused = random.Random(number), 0
        while True:
            folder = tmp_path / f"{number}-{refused}"
            pull_index(url, folder)
            copy = DeviceIndex.open(folder)
            copy.save_segment(f"s{number}", "everyone", by=f"publisher {number}")
            try:
                copy.push(url)
                return refused
            except AudienceError as error:
                assert error.code in ("publish-conflict", "other-publication")
                refused += 1
            if chance.random() < 0.1:
                vacuum()

    def vacuum():
        try:
            publishing.vacuum_published(url, 1_000)
        except AudienceError as error:
            assert error.code == "publish-conflict"

    with ThreadPoolExecutor(3) as pool:
        refused = list(pool.map(publish, range(PUBLISHERS)))
    index = DeviceIndex.open(url)
    assert set(index.segments) == {f"s{number}" for number in range(PUBLISHERS)}
    history = index.history()
    assert [each.number for each in history] == list(range(1, PUBLISHERS + 2)), sum(refused)
    assert index.verify()


def test_a_put_whose_reply_is_lost_is_not_a_conflict(pushed, store, tmp_path):
    pull_index(pushed, tmp_path / "copy.index")
    copy = DeviceIndex.open(tmp_path / "copy.index")
    copy.save_segment("new", "everyone")
    store.is_lost, store.answers = True, [("PUT", HEAD_FILE, 1, 500)]
    copy.push(pushed)
    assert "new" in DeviceIndex.open(pushed).segments


def test_a_store_that_ignores_conditions_is_refused(store, local, url):
    store.is_unconditional = True
    with pytest.raises(AudienceError, match="no-conditional-put"):
        local.push(url)
    assert not [path for _, path, *_ in store.take() if HEAD_FILE in path and "PUT" in path]


def test_vacuum_deletes_what_no_kept_snapshot_needs(pushed, local, tmp_path, monkeypatch):
    old = DeviceIndex.open(pushed)
    DeviceIndex.build(generate_devices(100), tmp_path / "other.index").push(pushed, replace=True)
    new = DeviceIndex.open(pushed)
    assert new.vacuum(1) == []  # all of it was written today
    monkeypatch.setattr(publishing, "MIN_AGE", timedelta(seconds=-5))
    assert len(new.vacuum(1)) >= 12
    assert (len(new.verify()) > 3, [each.number for each in new.history()]) == (
        True,
        [local.snapshot.manifest.number + 1],
    )
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(AudienceError, match="object-gone") as raised:
        old.count("language:zh")
    assert pushed in str(raised.value)
    assert old.refresh()
    assert old.count("everyone") == 100


@pytest.mark.parametrize("folder", ["shards", "records", "history", "openings", "drafts", "shards/feed", "other"])
def test_vacuum_leaves_an_index_that_is_published_below(folder, pushed, tmp_path, monkeypatch):
    below = f"{pushed}/{folder}"
    DeviceIndex.build(generate_devices(100), tmp_path / "below.index").push(below)
    monkeypatch.setattr(publishing, "MIN_AGE", timedelta(seconds=-5))
    assert DeviceIndex.open(pushed).vacuum(1) == []
    assert len(DeviceIndex.open(below).verify()) > 3


@pytest.mark.parametrize(
    "words",
    [
        ["index", "update", "INDEX", "TABLE"],
        ["index", "tag", "INDEX", "t1", "--add", "x"],
        ["index", "remove", "INDEX", "t1"],
        ["index", "compact", "INDEX"],
        ["index", "restore", "INDEX", "1"],
        ["segment", "save", "INDEX", "x", "everyone"],
        ["segment", "drop", "INDEX", "young"],
        ["events", "add", "INDEX", "TABLE", "--event", "bought"],
        ["policy", "set", "INDEX", "x", "--cap", "everyone"],
        ["forget", "t1", "--index", "INDEX"],
    ],
    ids=" ".join,
)
def test_changes_in_place_are_refused(words, pushed, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generate_devices(10).write_parquet("table.parquet")
    names = {"INDEX": pushed, "TABLE": "table.parquet"}
    code = command(*(names.get(word, word) for word in words))
    error = capsys.readouterr().err
    assert (code, f"audience index pull {pushed} -o FOLDER" in error) == (2, True), error
    assert "remote-index: " in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "table.parquet"]


def test_a_service_follows_what_is_published(pushed, tmp_path):
    served = ServedIndexes.open({"devices": Path(pushed)})
    pull_index(pushed, tmp_path / "copy.index")
    copy = DeviceIndex.open(tmp_path / "copy.index")
    copy.save_segment("new", "everyone")
    copy.push(pushed)
    assert "new" not in served.current["devices"].segments
    assert "new" in served.refresh("devices").segments
    assert served.problems == {}


def test_a_set_of_devices_is_pickled_by_its_url(pushed, local):
    devices = pickle.loads(pickle.dumps(DeviceIndex.open(pushed).resolve("age < 30")))
    assert devices.ids().to_list() == local.resolve("age < 30").ids().to_list()


FAILURES = [  # method, part of the path, status, exit code, words
    ("GET", HEAD_FILE, 403, 2, "access is denied (HTTP 403)"),
    ("GET", HEAD_FILE, 401, 2, "access is denied (HTTP 401)"),
    ("GET", HEAD_FILE, 503, 2, "asks for fewer requests (HTTP 503)"),
    ("GET", HEAD_FILE, 429, 2, "asks for fewer requests (HTTP 429)"),
    ("GET", "/shards/", 403, 2, "access is denied (HTTP 403)"),
    ("GET", HEAD_FILE, 418, 2, "answers HTTP 418"),
]


@pytest.mark.parametrize(("method", "part", "status", "code", "words"), FAILURES)
def test_failure_of_the_store_is_explained(method, part, status, code, words, pushed, store, capsys, monkeypatch):
    monkeypatch.setattr("audience.index.storage.object_client.MAX_RETRIES", 1)
    store.answers = [(method, part, 99, status)]
    assert command("count", pushed, "language:zh AND age < 30") == code
    error = capsys.readouterr().err
    assert words in error
    assert pushed in error
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("location", "code", "words"),
    [
        ("s3://no-such-bucket/x.index", 2, "there is no bucket 'no-such-bucket'"),
        ("s3://devices/nothing.index", 2, "no-index: s3://devices/nothing.index does not exist"),
        ("s3://devices", 2, "found the key ''"),
        ("s3://", 2, "no bucket"),
        ("s3://key:hunter2@devices/x.index", 2, "found credentials"),
        ("s3://devices/x.index?secret=hunter2", 2, "found credentials"),
        ("s3://devices/../x.index", 2, "found the key '../x.index'"),
        ("oss://devices/x.index", 2, "set AWS_ENDPOINT_URL"),
        ("gcs://devices/x.index", 2, "write gs://BUCKET"),
        ("https://example.com/x.index", 2, "https:// is not an object store"),
    ],
)
def test_places_that_are_no_index(location, code, words, store, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("count", location, "everyone") == code
    error = capsys.readouterr().err
    assert words in error
    assert "hunter2" not in error
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []


def test_a_push_to_no_bucket_is_refused(store, local):
    with pytest.raises(AudienceError, match="there is no bucket 'no-such-bucket'"):
        local.push("s3://no-such-bucket/x.index")


def test_a_store_that_cannot_be_reached(store, capsys, monkeypatch):
    monkeypatch.setattr("audience.index.storage.object_client.MAX_RETRIES", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert command("count", "s3://devices/x.index", "everyone") == 2
    assert "the store cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize(
    "endpoint", ["", "127.0.0.1:9000", "localhost:9000", "nonsense", "ftp://host", "https://", " "]
)
def test_an_endpoint_that_is_no_address_is_named(endpoint, store, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    for words in (["count", "s3://devices/x.index", "everyone"], ["index", "build", "s3://devices/t.csv", "-o", "x"]):
        assert command(*words) == 2
        assert "bad-url: AWS_ENDPOINT_URL is not the address of a store" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["the environment", "the profile 'default' of AWS"])
@pytest.mark.parametrize("missing", ["aws_access_key_id", "aws_secret_access_key"])
def test_one_key_of_two_says_which_is_missing(place, missing, store, capsys, monkeypatch, tmp_path):
    pair = ["aws_access_key_id", "aws_secret_access_key"]
    [given] = set(pair) - {missing}
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv(missing.upper())
    if "profile" in place:
        monkeypatch.delenv(given.upper())
        (tmp_path / "credentials").write_text(f"[default]\n{given} = s3cr3t\n{missing} =\n")
    else:
        given, missing = given.upper(), missing.upper()
    table, index = "s3://devices/t.csv", "s3://devices/x.index"
    delta, iceberg = "delta:s3://devices/t", "s3://devices/t/v1.metadata.json"
    for words in (["count", index, "male"], *(["index", "build", each, "-o", "x"] for each in (table, delta, iceberg))):
        assert command(*words) == 2
        shown = capsys.readouterr().err
        assert f"bad-credentials: {place} has {given} without {missing}\n   = hint: set {missing} too" in shown
        assert "s3cr3t" not in shown


def test_requests_without_signature_need_no_keys(monkeypatch):
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    assert read_aws_profile() == {}


def test_an_endpoint_without_tls_wants_a_word(store, capsys, monkeypatch):
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    assert command("count", "s3://devices/x.index", "everyone") == 2
    assert "set AWS_ALLOW_HTTP=true" in capsys.readouterr().err


def test_folders_are_not_made_of_urls(pushed, local, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AudienceError, match="url-output"):
        local.backup("s3://devices/backup.index")
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []


def test_a_storage_of_another_process_is_refused(pushed):
    storage = open_object_storage(pushed)
    storage.client._process = 0
    with pytest.raises(AudienceError, match="opened-before-fork"):
        storage.load_head()


def test_a_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "obstore", None)
    assert command("count", "s3://devices/x.index", "everyone") == 2
    assert "pip install 'audience[cloud]'" in capsys.readouterr().err


def test_a_full_disk_is_an_error(pushed, monkeypatch):
    remote = DeviceIndex.open(pushed)

    def write(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("audience.index.storage.remote_file.os.pwrite", write)
    with pytest.raises(AudienceError, match="No space left on device"):
        remote.count("language:zh")


@pytest.mark.parametrize("location", ["s3://b/x.index", Path("s3://b/x.index"), "s3://b/x.index/"])
def test_a_path_of_a_url_is_the_url(location):
    assert is_url(location)
    assert str(parse_object_url(location)) == absolute_location(location) == "s3://b/x.index"


def test_a_file_with_the_name_of_a_url_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd:").mkdir()
    (tmp_path / "odd:" / "x.index").mkdir()
    assert not is_url(Path("odd:/x.index"))
    assert absolute_location("odd:/x.index") == str(tmp_path / "odd:/x.index")


def test_keys_have_the_checksum_of_the_content(pushed, local):
    keys = {each.key for each in open_object_storage(pushed).client.list()}
    assert {shard_key(*file) for file in local.snapshot.manifest.file_versions().items()} <= keys
