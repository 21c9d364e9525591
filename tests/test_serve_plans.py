"""Endpoints about vendors' payloads and values, compared with the library and the command line."""

import json

import orjson
import pytest
from service import build_index, open_client

import audience
from audience import DeviceIndex
from audience.index.query.sql.nodes import SQL_DIALECTS
from audience.json_forms.insight import overlap_json, profile_json
from audience.json_forms.plans import plan_json
from audience.vendors.problem_codes import list_codes

INDEX = "/v1/indexes/devices"
EXPRS = ("vip", "male AND age < 30", "province:hunan OR NOT vip", "nobody", "everyone")
CATALOG = '[tag]\nat = ["tpns", "engagelab"]\n\n[province]\nbuiltin = ["tpns"]\n'
AS_OF = "2026-11-28T09:00"


@pytest.fixture(scope="module")
def index_path(tmp_path_factory):
    return build_index(tmp_path_factory.mktemp("plans"))


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    file = tmp_path_factory.mktemp("catalog") / "catalog.toml"
    file.write_text(CATALOG, "utf-8")
    return file


@pytest.fixture(scope="module")
def client(index_path, catalog):
    with open_client(index_path, catalog=catalog) as client:
        yield client


@pytest.fixture
def index(index_path):
    return DeviceIndex.open(index_path)


@pytest.mark.parametrize("expr", EXPRS)
@pytest.mark.parametrize("vendor", ["tpns", "engagelab", "umeng"])
def test_plan_is_that_of_the_library(expr, vendor, client, index, catalog):
    answer = client.post(f"{INDEX}/plan", json={"expr": expr, "vendor": vendor, "as_of": AS_OF}).json()
    expected = plan_json(audience.plan(expr, vendor, index, audience.load_catalog(catalog), as_of=AS_OF))
    assert {name: answer[name] for name in expected} == expected
    assert answer["count"] == answer["devices"] == index.count(expr)
    assert (answer["costs"] is None) == (audience.get_vendor(vendor).delivery is None)


def test_plans_of_all_vendors_are_those_of_each(client):
    answer = client.post(f"{INDEX}/plans", json={"expr": "vip AND province:hunan", "as_of": AS_OF}).json()
    assert set(answer["plans"]) == set(audience.vendor_names(can="emit"))
    for name, form in answer["plans"].items():
        body = {"expr": "vip AND province:hunan", "vendor": name, "as_of": AS_OF}
        one = client.post(f"{INDEX}/plan", json=body).json()
        assert form == {key: one[key] for key in form}


def test_plans_refuse_an_unknown_vendor_and_say_which_cannot_be_planned_for(client):
    refused = client.post(f"{INDEX}/plans", json={"expr": "vip", "vendors": ["tpnss"]}).json()
    assert (refused["status"], refused["code"]) == (400, "unknown-vendor")
    read_only = next(name for name in audience.vendor_names() if audience.get_vendor(name).read_only_reason)
    answer = client.post(f"{INDEX}/plans", json={"expr": "vip", "vendors": ["tpns", read_only]}).json()
    assert answer["plans"]["tpns"]["requests"] == 1
    assert [problem["code"] for problem in answer["plans"][read_only]["refused"]] == ["reads-only"]


TRANSLATIONS = [
    ({"to": {"tag": ["a", "b"], "tag_and": ["c"]}}, "engagelab", "text", "expression", "(a OR b) AND c"),
    ('{"to": {"tag": ["a"]}}', "engagelab", "jpush", "native", [{"audience": {"tag": ["a"]}}]),
    ("all", "engagelab", "text", "expression", "everyone"),
    ("a AND b", "text", "text", "expression", "a AND b"),
    ("a AND age < 30", "text", "engagelab", "by_ids", "a AND age < 30"),
    ("a", "text", "all", "expression", "a"),
]


@pytest.mark.parametrize(("payload", "source", "target", "name", "value"), TRANSLATIONS)
def test_payload_is_translated_for_another_vendor(payload, source, target, name, value, client):
    body = {"payload": payload, "source": source, "target": target}
    answer = client.post("/v1/translate", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()[name] == value


@pytest.mark.parametrize("dialect", [None, *SQL_DIALECTS])
def test_translation_to_sql_is_that_of_the_library(dialect, client, index):
    types = {"age": "double"}
    expected = index.to_sql("vip AND NOT age < 30", dialect or "duckdb", column_types=types, as_of=AS_OF)
    body = {"payload": "vip AND NOT age < 30", "target": "sql", "column_types": types, "as_of": AS_OF}
    answer = client.post("/v1/translate", json=body | ({"dialect": dialect} if dialect else {})).json()
    assert (answer["sql"], answer["dialect"], answer["columns"]) == (expected.sql, expected.dialect, expected.columns)
    assert (answer["bound"], answer["snapshot"], answer["warnings"]) == ("vip AND NOT age < 30", 1, [])


def test_translation_of_a_payload_to_sql_has_the_words_of_the_catalog(client, index):
    payload = {
        "audience_type": "tag",
        "tag_rules": [{"tag_items": [{"tags": ["hunan"], "tag_type": "xg_auto_province"}]}],
    }
    answer = client.post("/v1/translate", json={"payload": payload, "source": "tpns", "target": "sql"}).json()
    assert answer["sql"] == index.to_sql("province:hunan").sql


def test_sql_of_several_indexes_needs_the_name_of_one(index_path, tmp_path):
    with open_client(index_path, build_index(tmp_path, 30, "others.index")) as client:
        body = {"payload": "vip", "target": "sql"}
        refused = client.post("/v1/translate", json=body).json()
        assert (refused["code"], refused["hint"][-15:]) == ("missing-field", "devices, others")
        assert client.post("/v1/translate", json=body | {"index": "others"}).json()["snapshot"] == 1


REFUSED_TRANSLATIONS = [
    ({"payload": {"to": {"tagg": ["a"]}}, "source": "engagelab"}, "unknown-key"),
    ({"payload": "a AND", "source": "text"}, "missing-operand"),
    ({"payload": ["a"], "source": "text"}, "wrong-type"),
    ({"payload": "registration_id(@/etc/passwd)", "source": "text"}, "no-files"),
    ({"payload": "a", "source": "nobody"}, "unknown-vendor"),
    ({"payload": "a", "target": "nobody"}, "unknown-vendor"),
    ({"payload": "[" * 50_000, "source": "engagelab"}, None),
]


@pytest.mark.parametrize(("body", "code"), REFUSED_TRANSLATIONS)
def test_impossible_translation_is_refused_with_its_code(body, code, client):
    answer = client.post("/v1/translate", json=body)
    assert answer.status_code == 400, answer.text
    assert code in (None, answer.json()["code"])


def test_vendors_are_those_of_the_command_line(client):
    vendors = {form["name"]: form for form in client.get("/v1/vendors").json()["vendors"]}
    assert list(vendors) == audience.vendor_names()
    assert [name for name, form in vendors.items() if form["sendable"]] == audience.vendor_names(can="send")
    assert all(form["methods"] for form in vendors.values() if form["sendable"])


def test_problem_codes_are_those_of_the_vendors(client):
    codes = client.get("/v1/problem-codes").json()["codes"]
    for name in audience.vendor_names():
        own = {each.code: each.chinese for each in list_codes(audience.get_vendor(name))}
        assert {code: form["chinese"] for code, form in codes.items() if name in form["vendors"]} == own
    assert codes["too-large-a-tree"]["vendors"] == ["emas", "emas_v2"]  # which have one file


VALUES = [
    ("province", "", ["guangdong", "hunan", "zhejiang"], 3),
    ("province", "HU", ["hunan"], 1),
    ("province", "x", [], 0),
    ("tag", "", ["male", "vip", "female"], 3),
    ("age", "7", ["7", "70", "71", "72", "73", "74", "75", "76", "77", "78", "79"], 11),
]


@pytest.mark.parametrize(("attribute", "prefix", "values", "total"), VALUES)
def test_values_have_exact_counts(attribute, prefix, values, total, client, index):
    query = {"prefix": prefix, "within": "male AND age < 75"}
    answer = client.get(f"{INDEX}/attributes/{attribute}", params=query).json()
    assert [form["value"] for form in answer["values"]] == values
    assert answer["total"] == total
    for form in answer["values"]:
        term = form["value"] if attribute == "tag" else f"{attribute}:{form['value']}"
        assert form["devices"] == index.count(term)
        assert form["within"] == index.count(f"({term}) AND male AND age < 75")


def test_values_are_limited_and_say_how_many_there_are(client):
    answer = client.get(f"{INDEX}/attributes/age", params={"limit": 2}).json()
    assert (len(answer["values"]), answer["total"]) == (2, 80)
    assert answer["values"][0]["within"] is None


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/attributes/provinc", 404, "unknown-attribute"),
        ("/attributes/province?limit=0", 400, "bad-field"),
        ("/attributes/province?within=a+AND", 400, "missing-operand"),
        ("/attributes/province?within=nope:x", 400, "unknown-attribute"),
        ("/attributes/province?pref=x", 400, "unknown-field"),
    ],
)
def test_impossible_listing_of_values_is_refused_with_its_code(path, status, code, client):
    answer = client.get(f"{INDEX}{path}")
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_snapshots_are_those_of_the_history(client, index):
    answer = client.get(f"{INDEX}/snapshots").json()
    assert [(each["number"], each["devices"]) for each in answer["snapshots"]] == [(1, 300)]
    assert answer["snapshot"] == index.snapshot.manifest.number


@pytest.mark.parametrize("against", [None, "province:hunan"])
def test_profile_is_that_of_the_library(against, client, index):
    body = {"expr": "male AND age < 30", "against": against, "values": 3, "as_of": AS_OF}
    answer = client.post(f"{INDEX}/profile", json={name: value for name, value in body.items() if value}).json()
    expected = profile_json(index.profile("male AND age < 30", against, values=3, as_of=AS_OF))
    assert answer == json.loads(orjson.dumps(expected))


def test_profile_of_some_attributes(client):
    answer = client.post(f"{INDEX}/profile", json={"expr": "male", "attributes": ["province"]}).json()
    assert [attribute["name"] for attribute in answer["attributes"]] == ["province"]


def test_overlap_is_that_of_the_library(client, index):
    exprs = {"men": "male", "young": "age < 30", "hunan": "province:hunan"}
    answer = client.post(f"{INDEX}/overlap", json={"exprs": exprs, "as_of": AS_OF}).json()
    assert answer == json.loads(orjson.dumps(overlap_json(index.overlap(exprs, as_of=AS_OF))))


REFUSED_INSIGHT = [
    ("profile", {"expr": "male AND"}, "missing-operand"),
    ("profile", {"expr": "male", "against": "nope:x"}, "unknown-attribute"),
    ("profile", {"expr": "male", "attributes": ["provinc"]}, "unknown-attribute"),
    ("profile", {"expr": "male", "values": 0}, "bad-field"),
    ("overlap", {}, "missing-field"),
    ("overlap", {"exprs": {"a": "male"}, "segments": ["a"]}, "missing-field"),
    ("overlap", {"segments": ["nope"]}, "unknown-segment"),
    ("overlap", {"exprs": {f"a{number}": "male" for number in range(51)}}, "too-many-segments"),
    ("overlap", {"exprs": {}}, None),
    ("overlap", {"exprs": {"a": "registration_id(@/etc/passwd)"}}, "no-files"),
]


@pytest.mark.parametrize(("name", "body", "code"), REFUSED_INSIGHT)
def test_impossible_insight_is_refused_with_its_code(name, body, code, client):
    answer = client.post(f"{INDEX}/{name}", json=body)
    assert answer.status_code == 400, answer.text
    assert code in (None, answer.json()["code"]), answer.text
