"""Runs over HTTP: emitted, checked as a dry run, and found whoever wrote them."""

import json

import polars as pl
import pytest
from service import build_index, open_client, run_audience

from audience import DeviceIndex
from audience.server.keys import add_key
from audience.server.runs.processes import hold_run

INDEX = "/v1/indexes/devices"
MESSAGE = {"title": "Spring sale", "body": "From today"}
LONG_ID = pl.DataFrame({"token": ["x" * 300], "alias": ["u"], "tags": [["male"]], "age": [7], "province": ["hunan"]})
CREDENTIALS = '[engagelab]\napp_key = "k"\nmaster_secret = "very-secret"\n'


@pytest.fixture
def index_path(tmp_path):
    return build_index(tmp_path)


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def credentials(tmp_path):
    file = tmp_path / "vendors.toml"
    file.touch(mode=0o600)
    file.write_text(CREDENTIALS, "utf-8")
    return file


@pytest.fixture
def client(index_path, runs, credentials):
    with open_client(index_path, runs=runs, credentials=credentials) as client:
        yield client


@pytest.fixture
def sender(index_path, runs, credentials, tmp_path):
    """Client whose key has every scope, of a service that would send to a port where nobody listens."""
    token = add_key(tmp_path / "keys", "boss", ["count", "ids", "write", "send"])
    hosts = {None: "http://127.0.0.1:9"}
    with open_client(
        index_path, runs=runs, credentials=credentials, keys=tmp_path / "keys", vendor_hosts=hosts
    ) as client:
        client.headers = {"Authorization": f"Bearer {token}"}
        yield client


def emit(client, name="spring", expr="male AND age < 30", **fields):
    body = {"name": name, "expr": expr, "vendor": "engagelab", "message": MESSAGE} | fields
    return client.post(f"{INDEX}/runs", json=body, headers=client.headers)


def send(client, name, **body):
    return client.post(f"/v1/runs/{name}/send", json=body, headers=client.headers)


def test_an_emitted_run_is_the_folder_that_the_command_line_writes(client, runs, index_path, tmp_path):
    answer = emit(client)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == "/v1/runs/spring"
    run_audience("emit", index_path, "male AND age < 30", "--vendor", "engagelab", "-o", tmp_path / "other")
    requests = [(folder / "requests-00001.ndjson").read_bytes() for folder in (runs / "spring", tmp_path / "other")]
    assert requests[0] == requests[1]
    dry_run, index = answer.json()["dry_run"], DeviceIndex.open(index_path)
    assert dry_run["devices"] == dry_run["ids"] == index.count("male AND age < 30")
    assert (dry_run["method"], dry_run["calls"], dry_run["native"]) == ("registration_id", 1, 0)
    assert dry_run["has_credentials"] is True
    assert dry_run["broadcast"] is False
    assert {each["platform"]: each["payload"]["body"]["platform"] for each in dry_run["preview"]} == {
        "android": ["android"],
        "ios": ["ios"],
        "harmonyos": ["hmos"],
    }


def test_the_variants_of_a_message_divide_the_audience(client, runs, index_path):
    message = {
        **MESSAGE,
        "split": "split(a:40%, b:40%, s)",
        "variants": {"a": {}, "b": {"title": "Last day"}},
        "localized": {"zh": {"body": "今天"}},
        "platforms": ["ios"],
    }
    assert emit(client, message=message).status_code == 400  # no attribute of languages is named
    assert not (runs / "spring").exists()
    answer = emit(client, expr="everyone", message=message, language_of="province", timezone_of="nowhere")
    assert (answer.status_code, answer.json()["problems"][0]["code"]) == (400, "unknown-attribute")
    answer = emit(client, expr="everyone", message=message, language_of="province")
    assert answer.status_code == 201, answer.text
    manifest = json.loads((runs / "spring" / "manifest.json").read_text())
    index = DeviceIndex.open(index_path)
    in_variants = {name: index.count(f"everyone AND {message['split']} = {name}") for name in "ab"}
    assert {part["variant"]: part["devices"] for part in manifest["parts"]} == in_variants
    assert answer.json()["dry_run"]["devices"] == sum(in_variants.values())
    assert [each["title"] for each in answer.json()["dry_run"]["preview"]] == ["Spring sale", "Last day"]


def test_a_run_is_shown_before_it_is_sent(client):
    emit(client)
    [listed] = client.get("/v1/runs").json()["runs"]
    assert (listed["name"], listed["state"], listed["vendor"], listed["devices"]) == (
        "spring",
        "emitted",
        "engagelab",
        80,
    )
    shown = client.get("/v1/runs/spring").json()
    assert {name: shown[name] for name in listed} == listed
    assert shown["message"] == {"body": "From today", "title": "Spring sale"}
    assert shown["emitted_by"] == "local"
    assert shown["index"] == "devices"
    assert shown["runs"]["engagelab"]["audience"]["expression"] == "male AND age < 30"


def test_unreachable_devices_are_counted_by_reason_and_not_named(index_path, runs):
    DeviceIndex.open(index_path).update(LONG_ID)
    with open_client(index_path, runs=runs) as client:
        answer = emit(client, expr="male AND age:7", vendor="tpns")
    [unreachable] = answer.json()["dry_run"]["unreachable"]
    assert (unreachable["code"], unreachable["devices"]) == ("id-too-long", 1)
    assert "xxx" not in answer.text


def test_ids_of_an_audience_are_not_shown(client):
    emit(client, expr="registration_id(t1, t2) OR male AND age < 3")
    shown = client.get("/v1/runs/spring").text
    assert "t1" not in shown
    assert "2 ids" in shown


REFUSED = [
    ({"message": {}}, "empty-message"),
    ({"message": {"titel": "x"}}, "unknown-key"),
    ({"message": {"title": "x", "vendor": {"engagelabb": {}}}}, "unknown-vendor"),
    ({"vendor": "nobody"}, "unknown-vendor"),
    ({"vendor": "pinpoint"}, "no-delivery"),
    ({"method": "nothing"}, "unknown-method"),
    ({"expr": "nobody"}, "nobody"),
    ({"expr": "male AND"}, "missing-operand"),
    ({"without_policies": ["consent"]}, "unknown-policy"),
]


@pytest.mark.parametrize(("fields", "code"), REFUSED)
def test_what_a_send_would_refuse_is_refused_and_nothing_is_written(fields, code, client, runs):
    answer = emit(client, **fields)
    assert (answer.status_code, answer.json()["code"]) == (400, code), answer.text
    assert list(runs.iterdir()) == []


NAMES = ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "-f", "a\nb", "a\0b", "x" * 201, "春" * 70, "a..b", "a b"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_no_plain_folders_are_refused(name, client, runs, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    answer = emit(client, name=name)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-run-name"), answer.text
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("path", ["..", "%2e%2e", "..%2f..%2fetc", "%2fetc", "spring%2f..", "link"])
def test_paths_lead_to_no_folder_outside(path, client, runs, tmp_path):
    emit(client)
    (runs / "link").symlink_to(runs / "spring")
    answer = client.get(f"/v1/runs/{path}")
    assert answer.status_code == 404, answer.text


def test_an_emitted_run_is_replaced_only_on_request(client, runs):
    emit(client)
    again = emit(client, expr="female")
    assert (again.status_code, again.json()["code"]) == (409, "exists")
    assert client.get("/v1/runs/spring").json()["devices"] == 80
    assert emit(client, expr="female", replace=True).status_code == 201
    assert client.get("/v1/runs/spring").json()["devices"] == 100


def test_a_folder_of_the_command_line_is_shown_and_not_replaced_or_removed(client, runs, index_path):
    run_audience("emit", index_path, "male", "--vendor", "engagelab", "-o", runs / "byhand")
    assert client.get("/v1/runs/byhand").json()["state"] == "emitted"
    answer = emit(client, name="byhand", replace=True)
    assert (answer.status_code, answer.json()["code"]) == (409, "foreign-run")
    answer = client.request("DELETE", "/v1/runs/byhand")
    assert (answer.status_code, answer.json()["code"]) == (409, "foreign-run")
    assert (runs / "byhand" / "manifest.json").is_file()


def test_a_campaign_is_shown_with_each_of_its_vendors(client, runs, tmp_path):
    table = pl.DataFrame({"engagelab": ["e1", "e2", None], "tpns": [None, "p2", "p3"], "tags": [["a"]] * 3})
    DeviceIndex.build(table, tmp_path / "two.index", tokens={name: name for name in ("engagelab", "tpns")})
    run_audience("campaign", tmp_path / "two.index", "a", "--vendors", "engagelab,tpns", "-o", runs / "both")
    shown = client.get("/v1/runs/both").json()
    assert (shown["vendor"], shown["vendors"], shown["devices"]) == (None, ["engagelab", "tpns"], 3)
    assert {name: run["devices"] for name, run in shown["runs"].items()} == {"engagelab": 2, "tpns": 1}


def test_a_damaged_run_does_not_hide_the_others(client, runs):
    emit(client)
    emit(client, name="broken")
    (runs / "broken" / "manifest.json").write_text("{")
    states = {each["name"]: (each["state"], each["problem"]) for each in client.get("/v1/runs").json()["runs"]}
    assert states["spring"] == ("emitted", None)
    assert states["broken"][0] == "damaged"
    assert str(runs) not in json.dumps(states["broken"])


def test_a_removed_run_is_gone(client, runs):
    emit(client)
    assert client.request("DELETE", "/v1/runs/spring").json() == {"run": "spring"}
    assert list(runs.iterdir()) == []
    assert client.request("DELETE", "/v1/runs/spring").status_code == 404


def test_emitting_under_a_cap_counts_until_the_run_is_removed(client, index_path):
    DeviceIndex.open(index_path).set_policy("cap", cap="NOT did(delivered) within 7 days")
    assert emit(client).json()["dry_run"]["devices"] == 80
    answer = emit(client, name="second")
    assert (answer.status_code, answer.json()["code"]) == (400, "nobody")
    client.request("DELETE", "/v1/runs/spring")
    assert emit(client, name="second").json()["dry_run"]["devices"] == 80
    assert emit(client, name="second", replace=True).json()["dry_run"]["devices"] == 80


def test_sending_needs_the_scope(client, tmp_path):
    emit(client)
    answer = client.post("/v1/runs/spring/send", json={"devices": 80})
    assert (answer.status_code, answer.json()["code"]) == (403, "no-scope")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"devices": 81}, 409, "other-size"),
        ({"devices": 79}, 409, "other-size"),
        ({"devices": "80"}, 400, "wrong-type"),
        ({"devices": 80.0}, 400, "wrong-type"),
        ({"devices": True}, 400, "wrong-type"),
        ({}, 400, "missing-field"),
        ({"devices": 80, "message": MESSAGE}, 400, "kept-message"),
        ({"devices": 80, "metod": "x"}, 400, "unknown-field"),
    ],
)
def test_a_send_without_the_typed_number_is_refused(body, status, code, sender, runs):
    emit(sender)
    answer = send(sender, "spring", **body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert not (runs / "spring" / "service.log").exists()
    assert sender.get("/v1/runs/spring", headers=sender.headers).json()["state"] == "emitted"


def test_a_send_of_a_broadcast_needs_its_confirmation(sender, runs, tmp_path):
    catalog = tmp_path / "catalog.toml"
    catalog.write_text("")
    answer = emit(sender, expr="everyone")
    assert answer.json()["dry_run"]["broadcast"] is True
    answer = send(sender, "spring", devices=300)
    assert (answer.status_code, answer.json()["code"]) == (409, "broadcast")


def test_a_send_while_another_has_the_run_is_refused(sender, runs):
    emit(sender)
    with hold_run(runs / "spring"):
        answer = send(sender, "spring", devices=80)
        assert (answer.status_code, answer.json()["code"]) == (409, "busy")
        answer = sender.request("DELETE", "/v1/runs/spring", headers=sender.headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "busy")


def test_a_send_without_credentials_is_refused_and_names_what_is_missing(index_path, runs, tmp_path):
    token = add_key(tmp_path / "keys", "boss", ["count", "write", "send"])
    with open_client(index_path, runs=runs, keys=tmp_path / "keys") as client:
        client.headers = {"Authorization": f"Bearer {token}"}
        dry_run = emit(client).json()["dry_run"]
        assert dry_run["has_credentials"] is False
        assert dry_run["warnings"][-1]["code"] == "missing-key"
        answer = send(client, "spring", devices=80)
        assert (answer.status_code, answer.json()["code"]) == (400, "missing-key")


def test_a_folder_of_the_command_line_is_sent_with_a_message(sender, runs, index_path):
    run_audience("emit", index_path, "male", "--vendor", "engagelab", "-o", runs / "byhand")
    answer = send(sender, "byhand", devices=200)
    assert (answer.status_code, answer.json()["code"]) == (400, "no-message")


@pytest.mark.parametrize("action", ["cancel", "resume"])
def test_what_was_not_sent_is_neither_cancelled_nor_resumed(action, sender):
    emit(sender)
    answer = sender.post(f"/v1/runs/spring/{action}", json={}, headers=sender.headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "no-run")


def test_without_a_folder_there_are_no_runs(index_path):
    with open_client(index_path) as client:
        for answer in (client.get("/v1/runs"), client.get("/v1/runs/x"), emit(client)):
            assert (answer.status_code, answer.json()["code"]) == (404, "no-runs-folder")
