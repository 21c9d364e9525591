"""What the service answers to calls that are right, and to all that can be wrong with them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fact_files import TESTS_FOLDER, read_facts
from problem_replies import find_faults

METHODS = ("GET", "POST", "PUT", "DELETE")
CALLS = [
    (method, *left.partition(" ")[::2], right)
    for method, left, right in read_facts(TESTS_FOLDER / "service_calls" / "calls.txt")
]
GOOD = [(method, path, json.loads(body)) for method, path, body, wanted in CALLS if body and wanted.startswith("20")]
JSON = {"Content-Type": "application/json"}
# Bodies that are no calls, whatever the endpoint; of each the service says what is wrong.
BAD_BODIES = {
    "empty": b"",
    "white space": b" \n",
    "null": b"null",
    "a list": b"[]",
    "a string": b'"expr"',
    "a number": b"17",
    "cut short": b'{"expr": "ne',
    "two objects": b"{}{}",
    "a comment": b"{} // x",
    "single quotes": b"{'expr': 'new'}",
    "NaN": b'{"expr": NaN}',
    "Infinity": b'{"limit": -Infinity}',
    "a number of 5,000 digits": b'{"limit": ' + b"9" * 5_000 + b"}",
    "a number beyond all": b'{"limit": 1e999}',
    "not UTF-8": b'{"expr": "\xff\xfe"}',
    "GB18030": '{"expr": "广东"}'.encode("gb18030"),
    "UTF-16": '{"expr": "new"}'.encode("utf-16"),
    "a deep list": b"[" * 200_000 + b"]" * 200_000,
    "a deep object": b'{"expr":' * 100_000 + b"1" + b"}" * 100_000,
    "a deep list that never ends": b"[" * 1_000_000,
    "null bytes": b"\x00" * 100,
    "a key of 1 MB": b'{"' + b"k" * 1_000_000 + b'": 1}',
    "100,000 keys": json.dumps(dict.fromkeys(map(str, range(100_000)), 1)).encode(),
    "a surrogate as key": b'{"\\ud800": 1}',
    "a form": b"expr=new",
}
WRONG_VALUES = [
    *(
        None,
        True,
        0,
        -1,
        1.5,
        1e308,
        2**63,
        2**70,
        "",
        " ",
        "x" * 100_000,
        "\x00",
        "(",
        "\ud800",
        "a\ud800",
        "@ids.txt",
    ),
    *("(" * 50_000, "NOT " * 20_000 + "new", "@" * 1_000, "\u202e", "'", '"', "../../etc/passwd", "2026-13-45"),
    '{"to": [' + "1," * 50_000,
    *(
        [],
        [[]],
        [None],
        [1],
        ["\ud800"],
        [""],
        ["x"] * 1_000,
        {},
        {"": ""},
        {"x": None},
        {"\ud800": "new"},
        {"a": ["b"]},
    ),
]


def call(client, method: str, path: str, body: Any = None) -> Any:
    """The reply to a call; *body* is bytes, or JSON data."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode() if body is not None else b""
    return client.request(method, path, content=body, headers=JSON if body else {})


def faults_of(reply: Any) -> list[str]:
    return find_faults(reply.status_code, reply.headers.get("content-type", ""), reply.content)


@pytest.fixture(scope="module")
def client(service) -> Iterator[Any]:
    with service.client() as client:
        yield client


@pytest.fixture(scope="module")
def document(client) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def test_calls_are_answered(client):
    """One test, for the calls that save and drop come one after the other."""
    wrong = []
    for method, path, body, wanted in CALLS:
        reply = call(client, method, path, body.encode())
        status, _, code = wanted.partition(" ")
        faults = faults_of(reply)
        if code and not faults and reply.json()["code"] != code:
            faults = [f"code {reply.json()['code']}: {reply.json()['detail']}"]
        if reply.status_code != int(status) or faults:
            wrong.append(
                f"{method} {path} {body[:80]} => {reply.status_code}, not {wanted}: {faults or reply.text[:300]}"
            )
    assert not wrong, "\n".join(wrong)


def test_every_endpoint_with_a_body_has_a_good_call(document):
    needed = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "requestBody" in operation and "/runs" not in path  # tests/test_service_runs.py
    }
    patterns = {operation: re.compile(re.sub(r"\{\w+\}", "[^/]+", operation)) for operation in needed}
    given = [f"{method} {path.partition('?')[0]}" for method, path, _ in GOOD]
    assert [operation for operation in sorted(needed) if not any(map(patterns[operation].fullmatch, given))] == []


@pytest.mark.parametrize(("method", "path", "body"), GOOD, ids=[f"{method} {path}" for method, path, _ in GOOD])
def test_bad_bodies_are_refused(client, method, path, body):
    wrong = []
    for name, data in BAD_BODIES.items():
        reply = call(client, method, path, data)
        if faults := faults_of(reply) or (["was taken"] if reply.status_code < 400 else []):
            wrong.append(f"{name}: {faults}")
    for field in body:
        rest = {key: value for key, value in body.items() if key != field}
        twice = json.dumps(body)[:-1] + f", {json.dumps(field)}: {json.dumps(body[field])}}}"
        for name, data in {"twice": twice.encode(), "unknown": {**rest, f"{field}s": body[field]}}.items():
            reply = call(client, method, path, data)
            if faults := faults_of(reply) or (["was taken"] if reply.status_code < 400 else []):
                wrong.append(f"{field} {name}: {faults}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("method", "path", "body"), GOOD, ids=[f"{method} {path}" for method, path, _ in GOOD])
def test_wrong_values_are_worded(client, method, path, body):
    """Some of the values are right for some fields: those must be answered."""
    wrong = []
    for field in {*body, "as_of", "timezone", "allow_gaps"}:
        for value in WRONG_VALUES:
            reply = call(client, method, path, {**body, field: value})
            if faults := faults_of(reply):
                wrong.append(f"{field} = {str(value).encode('utf-8', 'replace')[:60]!r}: {faults}")
    assert not wrong, "\n".join(wrong)
