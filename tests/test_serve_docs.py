"""Examples of docs/service.md: each call is made, and answers at least what the page shows."""

import json
import re
from pathlib import Path

import pytest
from service import open_client

from audience import DeviceIndex
from audience.testing.devices import generate_devices

PAGE = Path(__file__).parents[1] / "docs" / "service.md"
EXAMPLE = re.compile(r"^```http\n(\w+) (\S+)\n(.*?)\n\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return DeviceIndex.build(generate_devices(1_000), tmp_path_factory.mktemp("docs") / "devices.index")


@pytest.fixture(scope="module")
def client(index):
    with open_client(Path(index.snapshot.location)) as client:
        yield client


def contains(answer, shown) -> bool:
    """Whether *answer* has all that is *shown*; an object may have further fields."""
    if isinstance(shown, dict):
        return isinstance(answer, dict) and all(contains(answer.get(name), value) for name, value in shown.items())
    if isinstance(shown, list):
        return len(answer) == len(shown) and all(map(contains, answer, shown))
    return answer == shown


def test_examples_are_answered_as_shown(client, index):
    ids = index.resolve("male AND age < 30").ids().to_list()
    names = {"IDENTIFIER": index.resolve("male AND age >= 30").ids()[0], "FIRST": ids[0], "SECOND": ids[1]}
    examples = EXAMPLE.findall(PAGE.read_text("utf-8"))
    assert len(examples) == 8
    for method, path, body, shown in examples:
        for name, identifier in names.items():
            body, shown = body.replace(name, identifier), shown.replace(name, identifier)
        answer = client.request(method, path, content=body, headers={"content-type": "application/json"}).text
        if path.endswith("/resolve"):
            assert [json.loads(line) for line in answer.splitlines()] == [
                json.loads(line) for line in shown.splitlines()
            ]
        else:
            assert contains(json.loads(answer), json.loads(shown)), answer
