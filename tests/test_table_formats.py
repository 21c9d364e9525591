"""Tables of Delta and Iceberg."""

import subprocess
import sys
import warnings
from urllib.request import Request, urlopen

import polars as pl
import pytest
from object_server import serve_objects
from test_sources import TABLE, assert_same_index

from audience import DeviceIndex, TableError

deltalake = pytest.importorskip("deltalake", reason="the extra `delta` is not installed")
pytest.importorskip("pyiceberg", reason="the extra `iceberg` is not installed")


def write_delta(place, **options):
    """Write TABLE to a table of Delta, from which a row was then removed."""
    gone = TABLE.head(1).with_columns(token=pl.lit("gone"))
    deltalake.write_deltalake(place, TABLE.to_arrow(), **options)
    deltalake.write_deltalake(place, gone.to_arrow(), mode="append", **options)
    deltalake.DeltaTable(place, **options).delete("token = 'gone'")


def test_delta_gives_the_same_index(tmp_path):
    write_delta(str(tmp_path / "delta"))
    assert_same_index(tmp_path / "delta", TABLE, tmp_path)
    assert len(DeviceIndex.build(f"delta:{tmp_path / 'delta'}", tmp_path / "named")) == TABLE.height


def test_delta_in_a_store(tmp_path, monkeypatch):
    with serve_objects() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        urlopen(Request(f"{variables['AWS_ENDPOINT_URL']}/devices", method="PUT")).close()
        write_delta("s3://devices/delta", storage_options={"aws_conditional_put": "etag"})
        assert_same_index("delta:s3://devices/delta", TABLE, tmp_path)
        with pytest.raises(TableError, match="write delta: before the URL"):
            DeviceIndex.build("s3://devices/delta", tmp_path / "index")


@pytest.fixture
def iceberg(tmp_path):
    """Table of Iceberg in a catalog on disk, with a removed row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyiceberg.catalog.sql import SqlCatalog

        (tmp_path / "lake").mkdir()
        uri = f"sqlite:///{tmp_path / 'lake' / 'catalog.db'}"
        catalog = SqlCatalog("local", uri=uri, warehouse=f"file://{tmp_path / 'lake'}")
        catalog.create_namespace("crm")
        table = catalog.create_table("crm.devices", schema=TABLE.to_arrow().schema)
        table.append(TABLE.to_arrow())
        table.append(TABLE.head(1).with_columns(token=pl.lit("gone")).to_arrow())
        table.delete("token == 'gone'")
        yield table, uri
        catalog.close()


def test_iceberg_gives_the_same_index(iceberg, tmp_path):
    table, _ = iceberg
    assert_same_index(table.metadata_location, TABLE, tmp_path)


def test_iceberg_is_read_with_the_columns_that_it_has_now(iceberg, tmp_path):
    table, _ = iceberg
    with table.update_schema() as update:
        update.rename_column("city", "town")
        update.delete_column("age")
    expected = TABLE.rename({"city": "town"}).drop("age")
    assert_same_index(table.metadata_location, expected, tmp_path)


def test_a_table_of_a_catalog(iceberg, tmp_path, monkeypatch):
    _, uri = iceberg
    monkeypatch.setenv("PYICEBERG_CATALOG__LOCAL__TYPE", "sql")
    monkeypatch.setenv("PYICEBERG_CATALOG__LOCAL__URI", uri)
    script = "import sys; from audience import DeviceIndex; print(len(DeviceIndex.build(*sys.argv[1:])))"
    command = [sys.executable, "-c", script, "iceberg:local.crm.devices", str(tmp_path / "index")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.stdout.strip(), ended.returncode) == (str(TABLE.height), 0), ended.stderr
    with pytest.raises(TableError, match="cannot be read as a table of Iceberg"):
        DeviceIndex.build("iceberg:day.crm.devices", tmp_path / "other")


def test_what_is_no_current_table_is_refused(iceberg, tmp_path):
    table, _ = iceberg
    write_delta(str(tmp_path / "delta"))
    for source, code in (
        (tmp_path / "lake" / "crm" / "devices", "no-current-metadata"),
        (f"delta:{tmp_path / 'nothing'}", "no-file"),
        (f"iceberg:{tmp_path / 'nothing'}", "no-file"),
        (str(tmp_path / "delta" / "*.parquet"), "unknown-format"),
        ([str(tmp_path / "delta"), table.metadata_location], "several-sources"),
    ):
        with pytest.raises(TableError) as raised:
            DeviceIndex.build(source, tmp_path / "index")
        assert raised.value.code == code, raised.value
        assert not (tmp_path / "index").exists()
    with pytest.raises(TableError) as raised:
        DeviceIndex.build(tmp_path / "delta", tmp_path / "index", query="SELECT 1")
    assert raised.value.code == "not-a-database"


@pytest.mark.parametrize(("package", "extra"), [("deltalake", "delta"), ("pyiceberg", "iceberg")])
def test_the_missing_extra_is_named(package, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(TableError, match=rf"pip install 'audience\[{extra}\]'") as raised:
        DeviceIndex.build(f"{extra}:{tmp_path}", tmp_path / "index")
    assert raised.value.code == "no-extra"
