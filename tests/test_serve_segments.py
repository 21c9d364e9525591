"""Segments over HTTP: saved under conditions, with who changed what."""

from threading import Barrier, Thread

import httpx
import pytest
from service import build_index, open_client, run_serve

from audience import DeviceIndex
from audience.server.keys import add_key

SEGMENTS = "/v1/indexes/devices/segments"


@pytest.fixture
def index_path(tmp_path):
    return build_index(tmp_path)


@pytest.fixture
def client(index_path):
    with open_client(index_path) as client:
        yield client


def put(client, name, expr, **headers):
    return client.request("PUT", f"{SEGMENTS}/{name}", json={"expr": expr}, headers=headers)


def test_a_saved_segment_is_in_the_index_with_who_and_when(client, index_path):
    answer = put(client, "young", "age < 30")
    assert answer.status_code == 201
    form = answer.json()
    assert (form["devices"], form["snapshot"], form["expression"]) == (120, 2, "age < 30")
    assert [(change["by"], change["action"]) for change in form["history"]] == [("local", "saved")]
    index = DeviceIndex.open(index_path)
    assert index.count("@young") == 120
    assert client.post("/v1/indexes/devices/count", json={"expr": "@young"}).json()["count"] == 120


def test_a_changed_segment_is_200_and_keeps_its_history(client):
    put(client, "young", "age < 30")
    answer = put(client, "young", "age < 20")
    assert answer.status_code == 200
    shown = client.get(f"{SEGMENTS}/young", params={"counts": 1}).json()
    assert [change["expression"] for change in shown["history"]] == ["age < 30", "age < 20"]
    assert [count["devices"] for count in shown["counts"]] == [80, 80, 80]
    assert shown["changed"] == {name: shown["history"][-1][name] for name in ("at", "by", "action")}


CONDITIONS = [
    ({"If-None-Match": "*"}, "new", 201),
    ({"If-None-Match": "*"}, "kept", 412),
    ({"If-Match": "*"}, "kept", 200),
    ({"If-Match": "*"}, "new", 412),
    ({"If-Match": '"other"'}, "kept", 412),
    ({"If-Match": "ETAG"}, "kept", 200),
    ({"If-Match": '"other", ETAG'}, "kept", 200),
    ({"If-Match": "W/ETAG"}, "kept", 200),
    ({"If-None-Match": "ETAG"}, "kept", 412),
]


@pytest.mark.parametrize(("headers", "name", "status"), CONDITIONS)
def test_segment_is_saved_only_if_the_conditions_of_the_call_hold(headers, name, status, client):
    etag = put(client, "kept", "male").headers["etag"]
    sent = {key: value.replace("ETAG", etag) for key, value in headers.items()}
    answer = put(client, name, "age < 30", **sent)
    assert answer.status_code == status, answer.text
    assert status != 412 or answer.json()["code"] == "changed-segment"
    if status == 412:
        assert client.get(f"{SEGMENTS}/kept").json()["expression"] == "male"


def test_dropping_obeys_conditions_and_uses(client):
    etag = put(client, "men", "male").headers["etag"]
    put(client, "vips", "@men AND vip")
    answer = client.request("DELETE", f"{SEGMENTS}/men")
    assert (answer.status_code, answer.json()["code"]) == (409, "used-segment")
    assert "@vips" in answer.json()["detail"]
    assert client.request("DELETE", f"{SEGMENTS}/vips", headers={"If-Match": etag}).status_code == 412
    assert client.request("DELETE", f"{SEGMENTS}/vips").status_code == 200
    assert client.request("DELETE", f"{SEGMENTS}/vips").status_code == 404
    assert client.request("DELETE", f"{SEGMENTS}/men", headers={"If-Match": etag}).json()["name"] == "men"


def test_the_list_says_what_uses_each(client, index_path):
    put(client, "men", "male")
    put(client, "recent", "@men AND vip")
    listed = {form["name"]: form for form in client.get(SEGMENTS).json()["segments"]}
    assert listed["men"]["used_by"] == ["@recent"]
    assert listed["men"]["devices"] == DeviceIndex.open(index_path).count("male")
    assert listed["men"]["etag"] == client.get(f"{SEGMENTS}/men").headers["etag"]
    assert listed["men"]["changed"]["by"] == "local"


NAMES = ["vip", "春节", "a b", "x" * 80, "with/slash", "a.b", "@vip"]


@pytest.mark.parametrize("name", NAMES)
def test_names_survive_the_address(name, client):
    path = f"{SEGMENTS}/{httpx.URL('http://x/').copy_with(path='/' + name).raw_path[1:].decode()}"
    answer = client.request("PUT", path, json={"expr": "male"})
    assert answer.status_code == 201, answer.text
    assert client.get(path).json()["name"] == name.removeprefix("@")


REFUSED = [
    ("PUT", "young", {"expr": "age <"}, 400, "missing-value"),
    ("PUT", "young", {"expr": "nope:x"}, 400, "unknown-attribute"),
    ("PUT", "young", {"expr": "registration_id(@/etc/passwd)"}, 400, "no-files"),
    ("PUT", "young", {"expr": "@young"}, 400, "segment-cycle"),
    ("PUT", "%20", {"expr": "male"}, 400, "empty-name"),
    ("PUT", "a%07b", {"expr": "male"}, 400, "empty-name"),
    ("PUT", "x" * 201, {"expr": "male"}, 400, "empty-name"),
    ("GET", "young", None, 404, "unknown-segment"),
]


@pytest.mark.parametrize(("method", "name", "body", "status", "code"), REFUSED)
def test_bad_input_is_refused_and_nothing_is_saved(method, name, body, status, code, client, index_path):
    answer = client.request(method, f"{SEGMENTS}/{name}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert DeviceIndex.open(index_path).snapshot.manifest.number == 1


def test_one_of_many_that_save_a_new_segment_at_once_wins(tmp_path, index_path):
    keys = tmp_path / "keys"
    tokens = [add_key(keys, f"writer{number}", ["write", "count"]) for number in range(8)]
    with run_serve(index_path, "--keys", keys, "--workers", 2, folder=tmp_path) as service:
        barrier, statuses = Barrier(len(tokens)), []

        def save(number, token):
            barrier.wait()
            headers = {"If-None-Match": "*", "Authorization": f"Bearer {token}"}
            body = {"expr": f"age < {number + 1}"}
            statuses.append(
                httpx.put(f"{service.url}{SEGMENTS}/won", json=body, headers=headers, timeout=60).status_code
            )

        threads = [Thread(target=save, args=each) for each in enumerate(tokens)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(statuses) <= {201, 409, 412}
    assert statuses.count(201) == 1
    [change] = DeviceIndex.open(index_path).segment_history("won")
    assert change.by.startswith("writer")


def test_a_key_without_the_scope_reads_and_does_not_write(tmp_path, index_path):
    keys = tmp_path / "keys"
    token = add_key(keys, "reader", ["count"])
    with open_client(index_path, keys=keys) as client:
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get(SEGMENTS, headers=headers).status_code == 200
        assert put(client, "young", "age < 30", **headers).status_code == 403
        assert client.request("DELETE", f"{SEGMENTS}/young", headers=headers).status_code == 403
