"""Calls that are refused: each with a worded error that names the place."""

import asyncio
import json
import re
import threading
from pathlib import Path

import pytest
from fact_files import load_cases
from hypothesis import given
from hypothesis import strategies as st
from service import build_index, open_client, wait_for

from audience.server.endpoints import queries
from audience.server.keys import add_key, drop_key

COUNT_PATH = "/v1/indexes/devices/count"
METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE")
ERROR_FIELDS = {"type", "title", "status", "detail", "code", "span", "hint", "problems"}
HEADER = re.compile(r"^\[([a-z-]+): ((?:\[::1\]?)?[^\]]*)\] ?")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    build_index(folder)
    return folder


@pytest.fixture(scope="module")
def client(folder):
    with open_client(folder / "devices.index", max_body_bytes=10_000) as client:
        yield client


def read_call(text: str) -> tuple[str, list[tuple[str, str]], bytes]:
    """Path, headers and body of a line."""
    path, _, rest = text.partition(" ")
    headers = []
    while match := HEADER.match(rest):
        headers.append((match[1], match[2]))
        rest = rest[match.end() :]
    if rest and "content-type" not in dict(headers):
        headers.append(("content-type", "application/json"))
    return COUNT_PATH + path[1:] if path[0] == "C" else path, headers, rest.encode()


@pytest.mark.parametrize("method", METHODS)
def test_every_bad_call_is_refused(method, client):
    differing = []
    for _, call, expected in (case.values for case in load_cases("service_refusals", method)):
        path, headers, body = read_call(call)
        response = client.request(method, path, headers=headers, content=body)
        refusal = describe_refusal(response)
        if refusal != expected:
            differing.append(f"{call} => {refusal}")
    assert not differing, "\n".join(differing)


def describe_refusal(response) -> str:
    """Status, code and path of an error, which must have all fields of one."""
    assert response.headers["content-type"] == "application/problem+json"
    answer = response.json()
    assert answer.keys() == ERROR_FIELDS
    first = answer["problems"][0]
    assert {name: first[name] for name in ("code", "span", "hint")}.items() <= answer.items()
    assert answer["status"] == response.status_code
    return " ".join([str(response.status_code), answer["code"], *([first["path"]] if first["path"] else [])])


def test_every_method_has_lines():
    assert all(load_cases("service_refusals", method) for method in METHODS)


def test_a_wrong_method_names_those_that_are_right(client):
    assert client.get(COUNT_PATH).headers["allow"] == "POST"
    assert client.post("/v1/indexes", json={}).headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8780", "127.0.0.1:1", "[::1]:8780"])
def test_names_of_loopback_are_served(host, client):
    assert client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8780", "http://127.0.0.1:8780"),
        ("localhost", "http://localhost"),
        ("localhost", "https://localhost"),
    ],
)
def test_the_page_of_the_service_may_call(host, origin, client):
    headers = {"host": host, "origin": origin, "sec-fetch-site": "same-origin"}
    assert client.post(COUNT_PATH, json={"expr": "vip"}, headers=headers).status_code == 200


def test_links_from_other_sites_lead_to_the_page(client):
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    response = client.get("/", headers=headers)
    assert response.status_code == 200
    policy = dict(part.strip().partition(" ")[::2] for part in response.headers["content-security-policy"].split(";"))
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert (policy["img-src"], policy["default-src"]) == ("'self' data:", "'none'")


def test_further_names_are_served_if_said(folder):
    with open_client(folder / "devices.index", allowed_hosts=("audience.example",)) as client:
        headers = {"host": "audience.example", "origin": "https://audience.example"}
        assert client.get("/v1/indexes", headers=headers).status_code == 200
        assert client.get("/v1/indexes", headers={"host": "www.audience.example"}).status_code == 421


def test_addresses_are_served_if_the_service_is_reached_by_others(folder):
    keys = folder / "open.json"
    token = add_key(keys, "others", ["count"])
    with open_client(folder / "devices.index", host="0.0.0.0", keys=keys) as client:
        headers = {"authorization": f"Bearer {token}"}
        for host, status in (("192.168.0.1:8780", 200), ("[fe80::1]", 200), ("evil.example", 421)):
            assert client.get("/v1/indexes", headers={"host": host, **headers}).status_code == status


def test_a_body_may_be_too_large(client):
    for content in (b"x" * 10_001, (part for part in [b"x" * 6_000] * 2)):
        headers = {"content-type": "application/json"}
        if not isinstance(content, bytes):
            content = _stream(content)
        response = client.request("POST", COUNT_PATH, content=content, headers=headers)
        assert (response.status_code, response.json()["code"]) == (413, "too-large")


async def _stream(parts):
    for part in parts:
        yield part


def test_deep_bodies_are_refused(client):
    headers = {"content-type": "application/json"}
    for content in (b"[" * 5_000, b'{"a":' * 1_500, b'{"expr": ' + b"9" * 5_000 + b"}"):
        response = client.request("POST", COUNT_PATH, content=content, headers=headers)
        assert (response.status_code, response.json()["code"]) == (400, "bad-body")


def test_deep_expressions_are_refused(client):
    response = client.post(COUNT_PATH, json={"expr": "(" * 3_000 + "vip" + ")" * 3_000})
    assert describe_refusal(response).startswith("400 ")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(path=st.sampled_from(["count", "explain", "complete", "lint", "members", "resolve"]), body=json_values)
def test_no_body_makes_the_service_fail(path, body, client):
    content = json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    response = client.request("POST", f"/v1/indexes/devices/{path}", content=content, headers=headers)
    assert response.status_code in (200, 400)


@pytest.fixture
def keys(tmp_path):
    return tmp_path / "keys.json"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_keys_permit_their_scopes_alone(folder, keys):
    count, ids = add_key(keys, "analyst", ["count"]), add_key(keys, "backend", ["ids"])
    with open_client(folder / "devices.index", keys=keys) as client:
        for token, path, status in (
            (count, "count", 200),
            (count, "resolve", 403),
            (ids, "count", 403),
            (ids, "resolve", 200),
        ):
            response = client.post(f"/v1/indexes/devices/{path}", json={"expr": "vip"}, headers=bearer(token))
            assert response.status_code == status, (path, response.text)
        assert client.get("/v1/session", headers=bearer(ids)).json()["scopes"] == ["ids"]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic dTpw", "Bearer \xff"])
def test_calls_without_a_key_are_refused(header, folder, keys):
    add_key(keys, "analyst", ["count"])
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    with open_client(folder / "devices.index", keys=keys) as client:
        for method, path in (("POST", COUNT_PATH), ("GET", "/v1/indexes"), ("GET", "/metrics"), ("GET", "/v1/session")):
            response = client.request(method, path, json={"expr": "vip"}, headers=headers)
            assert response.status_code == 401
            assert response.json()["code"] == ("no-key" if not header else "invalid-key")
            assert response.headers["www-authenticate"].startswith("Bearer ")
        assert client.get("/healthz").status_code == client.get("/openapi.json").status_code == 200


def test_a_key_is_taken_and_dropped_without_a_restart(folder, keys):
    add_key(keys, "first", ["count"])
    with open_client(folder / "devices.index", keys=keys) as client:
        token = add_key(keys, "second", ["count"])
        wait_for(lambda: client.get("/v1/indexes", headers=bearer(token)).status_code == 200)
        drop_key(keys, "second")
        wait_for(lambda: client.get("/v1/indexes", headers=bearer(token)).status_code == 401)


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.chmod(0o644), lambda path: path.write_text("{")])
def test_a_file_of_keys_that_is_not_sound_permits_nothing(change, folder, keys):
    token = add_key(keys, "first", ["count"])
    with open_client(folder / "devices.index", keys=keys) as client:
        assert client.get("/v1/indexes", headers=bearer(token)).status_code == 200
        change(keys)
        wait_for(lambda: client.get("/v1/indexes", headers=bearer(token)).status_code == 401)


def test_calls_that_take_long_leave_threads_to_light_ones(folder, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(queries, "explain_expr", lambda *arguments: release.wait(20) or [])

    async def ask(client):
        long = [
            asyncio.create_task(client.request("POST", "/v1/indexes/devices/explain", json={"expr": "male"}))
            for _ in range(8)
        ]
        await asyncio.sleep(0.2)
        light = [
            await client.request("POST", "/v1/indexes/devices/count", json={"expr": "male"}),
            await client.request("GET", "/healthz"),
        ]
        release.set()
        await asyncio.gather(*long)
        return [reply.status_code for reply in light]

    with open_client(folder / "devices.index") as client:
        assert client.run(ask) == [200, 200]
