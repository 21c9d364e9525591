"""Commands answer a mistake with the file or option, what was found and expected, and what to write instead."""

import os
import subprocess
import sys
from importlib.util import find_spec

import polars as pl
import pytest

from audience.sandbox.endpoints import emulated_vendors

# words of a command line; its errors
SLIPS = {
    "translate male --to sqll": (
        "unknown-vendor: --to: no vendor is called 'sqll'",
        "did you mean sql?",
    ),
    "translate male --to nowhere": (
        "use one of text, sql, all, ",
    ),
    "translate {} --from al": (
        "unknown-vendor: --from: no vendor is called 'al'",
    ),
    "index build devices.csv -o new.index --duplicates first": (
        "duplicates is 'first', expected refuse or last or merge",
        "use one of refuse, last, merge",
    ),
    "index build good.parquet junk.parquet -o new.index": (
        "unreadable: junk.parquet cannot be read: ",
    ),
    "index build junk.parquet -o new.index": (
        "unreadable: junk.parquet cannot be read: ",
    ),
    "index build": (
        "usage: expected a TABLE",
        "write devices.table in audience.toml",
    ),
    "index build devices.csv": (
        "usage: expected -o FOLDER",
    ),
    "index import-bitmaps bitmaps -o devices.index": (
        "exists: devices.index already exists",
        "import into a new folder, or delete this one first",
    ),
    "index import-bitmaps nowhere -o new.index": (
        "bad-bitmaps: nowhere/description.json: the file is missing",
        "as `audience index export-bitmaps` writes it",
    ),
    "index import-bitmaps newer -o new.index": (
        "expected format 1, found 9",
    ),
    "index import-bitmaps text -o new.index": (
        "text/description.json is not JSON",
    ),
    "index import-bitmaps halved -o new.index": (
        "bad-bitmaps: halved/devices.parquet: the file is missing",
    ),
    "index import-bitmaps spoilt -o new.index": (
        "bad-bitmaps: spoilt/devices.parquet: parquet: ",
    ),
}  # fmt: skip


@pytest.fixture
def workplace(tmp_path, monkeypatch, audience):
    """Enter a folder with tables, an index, and folders of bitmaps of which only `bitmaps` is right."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "devices.csv").write_text("token,city\nt1,x\n")
    assert audience("index", "build", "devices.csv", "-o", "devices.index")[0] == 0
    pl.read_csv("devices.csv").write_parquet("good.parquet")
    (tmp_path / "junk.parquet").write_bytes(b"no table" * 9)
    for name in ("bitmaps", "newer", "text", "halved", "spoilt"):
        assert audience("index", "export-bitmaps", "devices.index", "-o", name)[0] == 0
    description = (tmp_path / "newer" / "description.json").read_text()
    (tmp_path / "newer" / "description.json").write_text(description.replace('"format": 1', '"format": 9'))
    (tmp_path / "text" / "description.json").write_text("none")
    (tmp_path / "halved" / "devices.parquet").unlink()
    (tmp_path / "spoilt" / "devices.parquet").write_bytes(b"no table" * 9)
    return tmp_path


@pytest.mark.parametrize(("line", "expected"), SLIPS.items(), ids=SLIPS)
def test_mistake_is_named_with_its_remedy(workplace, audience, line, expected):
    code, out, err = audience(*line.split())
    missing = [text for text in expected if text not in err]
    assert (code, out, missing) == (2, "", []), err
    assert "Errno" not in err
    assert max(err.count(name) for name in ("junk.parquet", "description.json:", "devices.parquet:")) <= 1
    assert not (workplace / "new.index").exists()


def test_parts_without_may_stand_in_one_option(workplace, audience):
    assert audience("segment", "save", "devices.index", "x", "city:x")[0] == 0
    assert audience("policy", "set", "devices.index", "x", "--cap", "city:x")[0] == 0
    words = ["index", "export-bitmaps", "devices.index", "-o", "all"]
    assert audience(*words)[0] == 2
    assert audience(*words, "--without", "policies, segments")[0] == 0


def test_help_of_sandbox_names_the_vendors_that_it_has(audience):
    shown = " ".join(audience("sandbox", "--help")[1].replace("│", " ").split())
    assert f"vendors: {', '.join(sorted(emulated_vendors()))}" in shown


def test_help_of_build_requires_nothing(audience):
    assert "[required]" not in audience("index", "build", "--help")[1]


@pytest.mark.skipif(find_spec("distributed") is None, reason="the extra `cluster` is not installed")
def test_scheduler_with_tls_and_no_certificates(workplace):
    words = "count", "devices.index", "city:x", "--scheduler", "tls://127.0.0.1:1"
    command = [sys.executable, "-m", "audience", *words]  # an import of Dask would change this process
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"DASK_CONFIG": str(workplace)})
    assert done.returncode == 2
    assert "no-certificate: no certificate of the authority is named" in done.stderr
    assert "use --tls-ca, --tls-cert and --tls-key" in done.stderr
