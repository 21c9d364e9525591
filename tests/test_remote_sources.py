"""Tables in object stores and on web servers."""

import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from urllib.request import Request, urlopen

import polars as pl
import pytest
from object_server import serve_objects
from test_cluster_builds import SHARD_ROWS, CountingCluster, LostCluster, assert_same, messy_table
from test_sources import HIVE_WRITERS, TABLE, WITH_DAYS, assert_same_index, write_hive

from audience import ClusterError, DeviceIndex, InvalidIndexError, TableError
from audience.cli.app import run
from audience.cluster.cluster import ThisProcess
from audience.errors import LostClusterError
from audience.index.changes.events import adding
from audience.index.ingest import build
from audience.index.ingest.locations.location_names import find_scheme, redact_text, redact_url
from audience.index.ingest.shared import kept_calls

pytest.importorskip("obstore", reason="the extra `cloud` is not installed")
pytest.importorskip("moto", reason="moto is not installed")

CSV = b"token,age\nt1,30\nt2,\n"


def exit_code(*words):
    with pytest.raises(SystemExit) as ended:
        run(list(words))
    return ended.value.code


@pytest.fixture(scope="module")
def variables():
    with serve_objects() as variables:
        urlopen(Request(f"{variables['AWS_ENDPOINT_URL']}/devices", method="PUT")).close()
        yield variables


@pytest.fixture
def store(variables, monkeypatch):
    """Return a function that writes an object of the bucket `devices`; only one of these tests sees it."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    from obstore.store import S3Store

    bucket = S3Store("devices")
    yield lambda key, data: bucket.put(key, data)
    keys = [each["path"] for batch in bucket.list() for each in batch]
    if keys:
        bucket.delete(keys)


def upload(folder, put, prefix):
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            put(f"{prefix}/{file.relative_to(folder)}", file.read_bytes())


@pytest.mark.parametrize("format_", HIVE_WRITERS)
def test_objects_of_every_format_give_the_same_index(format_, store, tmp_path):
    expected = TABLE.drop("tags") if format_ == "csv" else TABLE
    HIVE_WRITERS[format_](TABLE, tmp_path / "file")
    store(f"one/devices.{format_}", (tmp_path / "file").read_bytes())
    assert_same_index(f"s3://devices/one/devices.{format_}", expected, tmp_path)


@pytest.mark.parametrize("name", ["hive", "hive/", "hive/*/*/*.parquet", "hive/**/*.parquet"])
def test_hive_folders_in_a_store(name, store, tmp_path):
    write_hive(tmp_path / "hive", "parquet")
    upload(tmp_path / "hive", store, "hive")
    assert_same_index(f"s3://devices/{name}", WITH_DAYS, tmp_path)


def test_a_bucket_and_several_urls(store, tmp_path):
    store("a.csv", CSV)
    store("b.csv", CSV.replace(b"t", b"u"))
    store("_SUCCESS", b"")
    (tmp_path / "c.csv").write_bytes(CSV.replace(b"\nt", b"\nv"))
    assert len(DeviceIndex.build(["s3://devices/a.csv", tmp_path / "c.csv"], tmp_path / "two")) == 4
    with pytest.raises(TableError):
        DeviceIndex.build("s3://devices", tmp_path / "other")  # b.csv has the column `uoken`
    assert len(DeviceIndex.build(Path("s3://devices/a.csv"), tmp_path / "path")) == 2


def test_events_and_updates_from_a_store(store, tmp_path):
    index = DeviceIndex.build(TABLE, tmp_path / "index")
    store("changes.csv", b"token,age\nt1,99\nnew,18\n")
    assert index.update("s3://devices/changes.csv").added == 1
    store("events/1.csv", b"token,event,at\nt1,buy,2026-11-01T00:00Z\n")
    assert index.add_events("s3://devices/events").added == 1
    store("events/2.csv", b"token,event,at\nt1,buy,2026-11-02T00:00Z\n")
    added = index.add_events("s3://devices/events")  # what was there before is not added again
    assert (added.added, len(added.repeated)) == (1, 1)


def test_errors_name_the_object_and_its_lines(store, tmp_path, capsys):
    store("bad.csv", b"token,age\nt1,30\nt2,30,4\n")
    assert exit_code("index", "build", "s3://devices/bad.csv", "-o", str(tmp_path / "index")) == 2
    assert "s3://devices/bad.csv: line 3 has 3 fields, the header has 2" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def put_devices(put, table):
    """Write a table to two objects."""
    for number, part in enumerate((table[:70], table[70:])):
        file = BytesIO()
        part.write_parquet(file)
        put(f"day/{number}.parquet", file.getvalue())


@pytest.fixture
def lost_build(store, tmp_path, monkeypatch):
    """The bucket, of whose objects a cluster has built three of four shards before it was lost."""
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", SHARD_ROWS)
    put_devices(store, messy_table(150))
    with pytest.raises(LostClusterError):
        DeviceIndex.build("s3://devices/day", tmp_path / "shared", cluster=LostCluster(3))
    return store


def build_again(folder, monkeypatch):
    """Build to the end, and return the names of the shards that were written for that."""
    cluster = CountingCluster(monkeypatch)
    DeviceIndex.build("s3://devices/day/*.parquet", folder / "shared", cluster=cluster)
    written = [*cluster.written]
    DeviceIndex.build("s3://devices/day", folder / "alone")
    assert_same(folder / "shared", folder / "alone")
    assert list(folder.glob(".*")) == []
    return written


def test_a_lost_build_of_objects_goes_on_from_finished_shards(lost_build, tmp_path, monkeypatch):
    assert build_again(tmp_path, monkeypatch) == ["00000001-00003"]


def test_a_build_of_changed_objects_begins_anew(lost_build, tmp_path, monkeypatch):
    put_devices(lost_build, messy_table(150).with_columns(age=pl.lit(7)))
    assert len(build_again(tmp_path, monkeypatch)) == 4


def test_objects_that_change_while_a_cluster_copies_them_are_refused(store, tmp_path):
    put_devices(store, messy_table(150))

    def change(step, done, total):
        if step == "copying rows for the cluster":
            put_devices(store, messy_table(150)[::-1])

    for source in ("s3://devices/day", ["s3://devices/day/0.parquet", "s3://devices/day/1.parquet"]):
        with pytest.raises(ClusterError, match="other-source: s3://devices/day/0"):
            DeviceIndex.build(source, tmp_path / "shared", cluster=ThisProcess(), progress=change)
        put_devices(store, messy_table(150))
    assert not (tmp_path / "shared").exists()


def test_a_lost_addition_of_objects_goes_on(store, tmp_path, monkeypatch):
    monkeypatch.setattr(adding, "MAX_CHUNK_EVENTS", 1)
    index = DeviceIndex.build(TABLE, tmp_path / "index")
    for name in "ab":
        store(
            f"events/{name}.csv", f"token,event,at\nt1,{name},2026-11-01T00:00Z\nt2,{name},2026-11-01T09:00Z".encode()
        )
    with pytest.raises(LostClusterError):
        index.add_events("s3://devices/events", cluster=LostCluster(3))
    made, write = [], kept_calls._write_record

    def note(record, body):
        made.append(record.name)
        write(record, body)

    monkeypatch.setattr(kept_calls, "_write_record", note)
    kept = {path.name for path in tmp_path.glob(".index.*.events/rows-*.json")}
    assert index.add_events("s3://devices/events", cluster=ThisProcess()).added == 4
    assert len(kept) == 3 and not kept & {*made}


REFUSED_URLS = {
    "s3://devices/nothing.parquet": ("no-file", "there is no table"),
    "s3://nobucket/devices.parquet": ("no-file", "no bucket 'nobucket'"),
    "s3://nobucket": ("no-file", "no bucket 'nobucket'"),
    "s3://devices/*.parquet": ("no-file", "there is no table"),
    "s3://devices//devices.parquet": ("bad-url", "empty part"),
    "s3://devices/a/../devices.parquet": ("bad-url", "the part . or .."),
    "s3://devices/a\tb.parquet": ("bad-url", "control character"),
    "s3:///devices.parquet": ("bad-url", "no bucket"),
    "s3://me:hidden@devices/devices.parquet": ("bad-url", "credentials in the URL"),
    "htps://devices/devices.parquet": ("unknown-scheme", "did you mean https?"),
    "ftp://devices/devices.parquet": ("unknown-scheme", "unknown scheme 'ftp'"),
    "http://me:hidden@127.0.0.1:1/devices.parquet?sig=hidden": ("cannot-fetch", "127.0.0.1:1/devices.parquet"),
    "https://127.0.0.1/devices": ("unknown-format", "unknown format"),
}


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_urls_that_cannot_be_read_are_refused(url, store, tmp_path):
    code, words = REFUSED_URLS[url]
    with pytest.raises(TableError) as raised:
        DeviceIndex.build(url, tmp_path / "index")
    assert raised.value.code == code
    assert words in str(raised.value)
    assert "hidden" not in str(raised.value)
    assert raised.value.problems[0].hint
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_one_of_hive_is_refused(store, tmp_path):
    store("daily/28/a.csv", CSV)
    with pytest.raises(TableError, match=r"daily/\*\*/\*\.parquet"):
        DeviceIndex.build("s3://devices/daily", tmp_path / "index")
    assert len(DeviceIndex.build("s3://devices/daily/**/*.csv", tmp_path / "index")) == 2


def test_objects_that_stand_for_folders_are_no_files(store, variables, tmp_path):
    """Consoles and Hadoop write them; the client shows `day/` as `day`."""
    for key in ("day/", "day/country=cn/", "day/country=cn_$folder$", "day/country=cn/part.csv/"):
        urlopen(Request(f"{variables['AWS_ENDPOINT_URL']}/devices/{key}", data=b"", method="PUT")).close()
    for url in ("s3://devices/day", "s3://devices/day/"):
        with pytest.raises(TableError, match="no table at s3://devices/day"):
            DeviceIndex.build(url, tmp_path / "index")
    store("day/country=cn/part.csv/0.csv", CSV)
    for url in ("s3://devices/day", "s3://devices/day/", "s3://devices/day/**/*.csv"):
        assert len(DeviceIndex.build(url, tmp_path / "index", replace=True)) == 2


def test_a_key_that_cannot_be_read_is_emitted(store, variables, tmp_path):
    for path in ("other", "other/day/a.csv", "other/day/x//b.csv"):  # in a bucket of its own: nobody can list it
        address, headers = f"{variables['AWS_ENDPOINT_URL']}/{path}", {"Content-Type": "text/csv"}
        urlopen(Request(address, CSV if "/" in path else None, headers, method="PUT")).close()
    with pytest.raises(TableError, match="has a key with an empty part"):
        DeviceIndex.build("s3://other/day", tmp_path / "index")
    assert len(DeviceIndex.build("s3://other/day/a.csv", tmp_path / "index")) == 2


def test_a_store_that_does_not_answer_and_one_that_is_not_https(store, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(TableError, match="AWS_ALLOW_HTTP=true"):
        DeviceIndex.build("s3://devices/a.csv", tmp_path / "index")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(TableError, match="AWS_ENDPOINT_URL") as raised:
        DeviceIndex.build("s3://devices/a.csv", tmp_path / "index")
    assert raised.value.code == "cannot-fetch"


def test_keys_of_a_profile_are_used(store, tmp_path, monkeypatch):
    (tmp_path / "credentials").write_text("[night]\naws_access_key_id = a\naws_secret_access_key = b\n")
    (tmp_path / "config").write_text("[profile night]\nregion = us-east-1\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "night")
    store("a.csv", CSV)
    assert len(DeviceIndex.build("s3://devices/a.csv", tmp_path / "index")) == 2


@contextmanager
def serve_folder(folder):
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            if self.path.startswith("/cut"):
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(CSV)
                self.close_connection = True
            elif self.path.startswith("/forbidden"):
                self.send_error(403)
            else:
                super().do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_files_at_urls_are_read_like_local_ones_or_refused(tmp_path):
    (tmp_path / "www").mkdir()
    for format_, write in HIVE_WRITERS.items():
        write(TABLE.drop("tags"), tmp_path / "www" / f"my devices.{format_}")
    with serve_folder(tmp_path / "www") as url:
        for format_ in HIVE_WRITERS:
            folder = tmp_path / format_
            folder.mkdir()
            assert_same_index(f"{url}/my%20devices.{format_}?signature=hidden", TABLE.drop("tags"), folder)
        for name, code in (("cut", "cannot-fetch"), ("forbidden", "cannot-fetch"), ("nothing", "no-file")):
            with pytest.raises(TableError) as raised:
                DeviceIndex.build(f"{url}/{name}.csv?signature=hidden", tmp_path / "index")
            assert raised.value.code == code
            assert "hidden" not in str(raised.value)
            assert not (tmp_path / "index").exists()


def test_output_to_a_url_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    TABLE.write_parquet("devices.parquet")
    DeviceIndex.build(TABLE, tmp_path / "index")
    for command in (
        ["export", "index", "vip", "-o", "gs://bucket/ids.csv"],
        ["index", "backup", "index", "-o", "gs://bucket/copy.index"],
    ):
        assert exit_code(*command) == 2, command
        assert "url-output: gs://bucket/" in capsys.readouterr().err
    assert {file.name for file in tmp_path.iterdir()} == {"devices.parquet", "index"}
    with pytest.raises(InvalidIndexError, match="bad-url"):
        DeviceIndex.build(TABLE, "oss://bucket/devices.index")


def test_secrets_of_urls_are_not_shown():
    url = "postgresql://me:p%40ss@host:5432/devices?sslpassword=other&application_name=x"
    shown = "postgresql://me:***@host:5432/devices?sslpassword=***&application_name=x"
    assert redact_url(url) == shown
    assert redact_text(f"cannot connect to {url}: p@ss or p%40ss or other", url) == (
        f"cannot connect to {shown}: *** or *** or ***"
    )
    assert find_scheme("devices.csv") is find_scheme("C:\\devices.csv") is find_scheme("a:b/c.csv") is None


def test_the_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    with pytest.raises(TableError, match=r"pip install 'audience\[cloud\]'") as raised:
        DeviceIndex.build("s3://devices/a.csv", tmp_path / "index")
    assert raised.value.code == "no-extra"
