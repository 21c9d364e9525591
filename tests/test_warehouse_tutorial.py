"""The tutorial from a warehouse to a campaign: its commands, against a Postgres and an S3 of this machine."""

import json
import os
import re
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from object_server import serve_objects
from postgres_server import ENCODED_PASSWORD, serve_postgres
from test_readme import CODE_BLOCK, COMMAND, ROOT, Shell, check_command

pytest.importorskip("obstore", reason="the extra `cloud` is not installed")
pytest.importorskip("moto", reason="moto is not installed")
dbapi = pytest.importorskip("adbc_driver_postgresql.dbapi", reason="the extra `adbc` is not installed")

PAGE = ROOT / "docs" / "tutorial-warehouse.md"
SHOWN_PLACE = "reader@db.internal/crm"


@pytest.fixture(scope="module")
def port():
    with serve_postgres() as port:
        yield port


@pytest.fixture(scope="module")
def variables():
    with serve_objects() as variables:
        urlopen(Request(f"{variables['AWS_ENDPOINT_URL']}/crm", method="PUT")).close()
        yield variables


@pytest.fixture
def shell(audience, port, variables, tmp_path, monkeypatch):
    """Run the commands of the page in a folder of its own; the place of the database is that of the server."""
    monkeypatch.chdir(tmp_path)
    for name, value in {**variables, "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)

    class Here(Shell):
        def run(self, line):
            place = f"reader@127.0.0.1:{port}/postgres"
            return super().run(line.replace(SHOWN_PLACE, place)).replace(place, SHOWN_PLACE)

    shell = Here(audience, monkeypatch)
    yield shell
    shell.stop()


def test_commands_of_the_page(shell, port):
    def run_block(block: re.Match[str]) -> str:
        kind, text = block[1], block[2]
        if kind == "sql":
            url = f"postgresql://postgres:{ENCODED_PASSWORD}@127.0.0.1:{port}/postgres"
            with dbapi.connect(url) as connection, connection.cursor() as cursor:
                for statement in filter(str.strip, text.split(";\n")):
                    cursor.execute(statement)
                connection.commit()
        if kind == "toml":
            file = Path(text.partition("\n")[0].removeprefix("# "))
            file.write_text(text.replace(SHOWN_PLACE, f"reader@127.0.0.1:{port}/postgres"))
        if kind != "console":
            return block[0]
        return COMMAND.sub(lambda match: check_command(shell, match[1], match[2]), block[0])

    text = CODE_BLOCK.sub(run_block, PAGE.read_text("utf-8"))
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(text, "utf-8")
    delivered = json.loads(shell.run("curl --silent $(cat url)/_sandbox/delivered?vendor=tpns"))
    assert delivered["delivered"] == delivered["deliveries"] > 0
