"""Streams of ids: the same devices in each format, whole or page by page."""

import csv
import io
import json

import polars as pl
import pyarrow as pa
import pytest
from service import build_index, make_table, open_client

from audience import DeviceIndex
from audience.server.endpoints import streams

RESOLVE_PATH = "/v1/indexes/devices/resolve"
ARROW = "application/vnd.apache.arrow.stream"
EXPRS = ("everyone", "nobody", "vip AND age < 30", "alias(u1, u7)")


@pytest.fixture
def path(tmp_path):
    path = build_index(tmp_path)
    index = DeviceIndex.open(path)
    index.remove(["t7", "t8"])
    return path


@pytest.fixture
def client(path):
    with open_client(path) as client:
        yield client


@pytest.fixture(autouse=True)
def small_frames(monkeypatch):
    monkeypatch.setattr(streams, "ROWS_PER_FRAME", 64)


def read_rows(response) -> list[dict[str, str | None]]:
    """Rows of an answer in any format."""
    match response.headers["content-type"]:
        case "application/x-ndjson":
            return [json.loads(line) for line in response.text.splitlines()]
        case "text/csv":
            rows = csv.DictReader(io.StringIO(response.text))
            return [{name: value or None for name, value in row.items()} for row in rows]
    return pa.ipc.open_stream(response.content).read_all().to_pylist()


def resolve(client, accept="application/x-ndjson", **body):
    response = client.post(RESOLVE_PATH, json=body, headers={"accept": accept})
    assert response.status_code == 200, response.text
    return response


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/csv", ARROW])
@pytest.mark.parametrize("expr", EXPRS)
def test_streams_are_the_devices_of_the_library(expr, accept, client, path):
    devices = DeviceIndex.open(path).resolve(expr)
    response = resolve(client, accept, expr=expr)
    assert response.headers["content-type"] == accept
    assert read_rows(response) == devices.to_frame().to_dicts()
    assert response.headers["audience-count"] == str(len(devices))
    assert response.headers["audience-snapshot"] == "2"
    assert "audience-cursor" not in response.headers


def test_columns_and_vendors_are_chosen(client, path):
    devices = DeviceIndex.open(path).resolve("vip AND age < 5")
    assert (
        read_rows(resolve(client, expr="vip AND age < 5", columns=["alias"])) == devices.to_frame(["alias"]).to_dicts()
    )
    tokens = [{"token": token} for token in devices.ids("tpns")]
    assert read_rows(resolve(client, expr="vip AND age < 5", vendor="tpns")) == tokens


def test_an_empty_stream_has_its_columns(client):
    assert resolve(client, "text/csv", expr="nobody").text == "token,alias\n"
    assert resolve(client, expr="nobody").text == ""
    assert pa.ipc.open_stream(resolve(client, ARROW, expr="nobody").content).schema.names == ["token", "alias"]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/x-ndjson"),
        ("text/*", "text/csv"),
        ("text/csv;q=0.5, application/*;q=0.9", "application/x-ndjson"),
        (f"application/x-ndjson;q=0.5, {ARROW}", ARROW),
        ("application/x-ndjson;q=0, application/*;q=0.2", ARROW),
        ("TEXT/CSV", "text/csv"),
    ],
)
def test_the_format_is_the_one_that_the_caller_prefers(accept, media_type, client):
    assert resolve(client, accept, expr="vip").headers["content-type"] == media_type


@pytest.mark.parametrize("limit", [1, 63, 64, 65, 199, 500])
def test_pages_together_are_the_whole(limit, client, path):
    rows, cursor, calls = [], None, 0
    while calls == 0 or cursor:
        response = resolve(client, expr="vip", limit=limit, cursor=cursor)
        rows += read_rows(response)
        assert response.headers["audience-count"] == "198"
        cursor, calls = response.headers.get("audience-cursor"), calls + 1
        if limit == 1 and calls == 20:
            break
    expected = DeviceIndex.open(path).resolve("vip").to_frame().to_dicts()
    assert rows == (expected[:20] if limit == 1 else expected)


def test_a_cursor_stays_in_its_snapshot(client, path):
    index = DeviceIndex.open(path)
    expected = index.resolve("vip").to_frame().to_dicts()
    first = resolve(client, expr="vip", limit=100)
    index.remove(["t1", "t2", "t298"])
    client.get("/readyz")
    second = resolve(client, expr="vip", cursor=first.headers["audience-cursor"])
    assert read_rows(first) + read_rows(second) == expected
    assert second.headers["audience-snapshot"] == "2"
    assert second.headers["audience-as-of"] == first.headers["audience-as-of"]


def test_a_cursor_goes_on_in_a_service_that_was_started_later(path):
    index = DeviceIndex.open(path)
    expected = index.resolve("vip").to_frame().to_dicts()
    with open_client(path) as client:
        first = resolve(client, expr="vip", limit=100)
    index.remove(["t1"])
    with open_client(path) as client:
        assert client.get("/v1/indexes/devices").json()["snapshot"] == 3
        second = resolve(client, expr="vip", cursor=first.headers["audience-cursor"])
        assert read_rows(first) + read_rows(second) == expected


def test_a_cursor_of_a_snapshot_that_is_gone_is_refused(client, path):
    cursor = resolve(client, expr="vip", limit=1).headers["audience-cursor"]
    DeviceIndex.build(make_table(100), path, replace=True)
    with open_client(path) as later:
        response = later.post(RESOLVE_PATH, json={"expr": "vip", "cursor": cursor})
        assert (response.status_code, response.json()["code"]) == (410, "snapshot-gone")


@pytest.mark.parametrize("change", [{"expr": "male"}, {"columns": ["alias"]}, {"timezone": "Asia/Shanghai"}])
def test_a_cursor_of_another_question_is_refused(change, client):
    cursor = resolve(client, expr="vip", limit=1).headers["audience-cursor"]
    response = client.post(RESOLVE_PATH, json={"expr": "vip", "cursor": cursor, **change})
    assert (response.status_code, response.json()["code"]) == (400, "wrong-cursor")


def test_a_cursor_of_another_index_is_refused(path):
    other = build_index(path.parent, 300, "others.index")
    with open_client(path, other) as client:
        cursor = resolve(client, expr="vip", limit=1).headers["audience-cursor"]
        response = client.post("/v1/indexes/others/resolve", json={"expr": "vip", "cursor": cursor})
        assert (response.status_code, response.json()["code"]) == (400, "wrong-cursor")


def test_lists_of_ids_are_streamed_and_joined_in_csv(tmp_path):
    table = pl.DataFrame({"token": ["t1", "t2"], "alias": [["u1", "u2"], None]})
    path = tmp_path / "lists.index"
    DeviceIndex.build(table, path)
    with open_client(path) as client:
        answer = client.post("/v1/indexes/lists/resolve", json={"expr": "everyone"})
        rows = [{"token": "t1", "alias": ["u1", "u2"]}, {"token": "t2", "alias": None}]
        assert sorted(read_rows(answer), key=str) == rows
        body = {"expr": "everyone", "list_separator": "|"}
        answer = client.post("/v1/indexes/lists/resolve", json=body, headers={"accept": "text/csv"})
        assert sorted(answer.text.splitlines()) == ["t1,u1|u2", "t2,", "token,alias"]
        body["list_separator"] = "u"
        answer = client.post("/v1/indexes/lists/resolve", json=body, headers={"accept": "text/csv"})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-separator")


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/csv", ARROW])
def test_pages_of_an_export_together_are_the_whole(accept, client):
    body = {"expr": "vip AND age < 20", "columns": ["token", "age", "tags"]}

    def ask(**options):
        return client.post("/v1/indexes/devices/export", json={**body, **options}, headers={"accept": accept})

    whole, rows, page = read_table(ask()), [], ask(limit=7)
    while True:
        rows += read_table(page)
        if "audience-cursor" not in page.headers:
            break
        page = ask(limit=7, cursor=page.headers["audience-cursor"])
    assert rows == whole
    assert len(rows) > 14
    refused = client.post(
        "/v1/indexes/devices/resolve", json={"expr": body["expr"], "cursor": ask(limit=1).headers["audience-cursor"]}
    )
    assert (refused.status_code, refused.json()["code"]) == (400, "wrong-cursor")


def read_table(response):
    """The rows of an answer in any format."""
    if response.headers["content-type"] == "text/csv":
        return response.text.splitlines()[1:]
    return read_rows(response)


@pytest.mark.parametrize("accept", ["application/x-ndjson", ARROW])
def test_attributes_are_exported(accept, client, path):
    body = {"expr": "vip AND age < 20", "columns": ["token", "age", "province", "tags"]}
    response = client.post("/v1/indexes/devices/export", json=body, headers={"accept": accept})
    expected = DeviceIndex.open(path).resolve(body["expr"]).to_frame(body["columns"]).to_dicts()
    assert read_rows(response) == expected
    limited = client.post("/v1/indexes/devices/export", json={**body, "limit": 3}, headers={"accept": accept})
    assert read_rows(limited) == expected[:3]
    assert limited.headers["audience-count"] == str(len(expected))


def test_an_export_without_lists_is_csv(client):
    body = {"expr": "age < 2", "columns": ["token", "age"]}
    headers = {"accept": "text/csv"}
    assert client.post("/v1/indexes/devices/export", json=body, headers=headers).text.startswith("token,age\n")
    refused = client.post("/v1/indexes/devices/export", json={"expr": "vip", "columns": ["nothing"]})
    assert (refused.status_code, refused.json()["problems"][0]["path"]) == (400, "body.columns")
