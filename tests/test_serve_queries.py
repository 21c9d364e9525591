"""Endpoints that ask an index, compared with the library."""

import pytest
from service import build_index, open_client

from audience import DeviceIndex

EXPRS = (
    "vip",
    "vip AND age < 30",
    "NOT male",
    "everyone",
    "nobody",
    "province:hunan OR age >= 70",
    "@vips limit 5 seed x",
)


@pytest.fixture(scope="module")
def index_path(tmp_path_factory):
    path = build_index(tmp_path_factory.mktemp("serve"))
    DeviceIndex.open(path).save_segment("vips", "vip AND age < 30")
    return path


@pytest.fixture(scope="module")
def client(index_path):
    with open_client(index_path) as client:
        yield client


@pytest.fixture
def index(index_path):
    return DeviceIndex.open(index_path)


@pytest.mark.parametrize("expr", EXPRS)
def test_counts_are_those_of_the_library(expr, client, index):
    answer = client.post("/v1/indexes/devices/count", json={"expr": expr, "as_of": "2026-11-28T09:00"}).json()
    devices = index.count(expr)
    assert answer == {"count": devices, "share": devices / 300, "snapshot": 2, "as_of": "2026-11-28T09:00:00+00:00"}


@pytest.mark.parametrize(
    ("expr", "fixed"),
    [
        ("mael AND vip", "male AND vip"),
        ("province:hunnan OR vip", "province:hunan OR vip"),
        ("province in (hunnan, guangdong)", "province in (hunan, guangdong)"),
        ('# men\n"mael"', "# men\nmale"),
        ("male AND male", None),
        ("zzz", None),
    ],
)
def test_findings_have_the_expression_to_write_instead(expr, fixed, client):
    findings = client.post("/v1/indexes/devices/lint", json={"expr": expr}).json()["findings"]
    assert findings[0]["fix"] == (None if fixed is None else {"expr": fixed})


MANY = " OR ".join(f"x{number}" for number in range(10_001))
EVENTS = " OR ".join(f"did(purchase) >= {number}" for number in range(1, 102))
CALLS_OF_MANY = [
    ("indexes/devices/count", {"expr": MANY}),
    ("indexes/devices/count", {"expr": EVENTS}),
    ("indexes/devices/count", {"expr": "@many OR @many2"}),
    ("indexes/devices/resolve", {"expr": MANY}),
    ("indexes/devices/explain", {"expr": MANY, "leave_one_out": True}),
    ("indexes/devices/plans", {"expr": "@many OR @many2"}),
    ("indexes/devices/profile", {"expr": "@many", "against": "@many2"}),
    ("indexes/devices/overlap", {"exprs": {"a": "@many", "b": "@many2"}}),
    ("indexes/devices/overlap", {"segments": ["many", "many2"]}),
    ("indexes/devices/members", {"ids": ["t1"], "exprs": {"a": "@many", "b": "@many2"}}),
    ("translate", {"payload": MANY, "target": "all"}),
]


@pytest.mark.parametrize(("path", "body"), CALLS_OF_MANY, ids=[path for path, _ in CALLS_OF_MANY])
def test_a_call_of_too_many_operands_is_refused(path, body, client_of_large_segments):
    answer = client_of_large_segments.post(f"/v1/{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "too-many-operands"), answer.text[:300]


@pytest.fixture(scope="module")
def client_of_large_segments(tmp_path_factory):
    path = build_index(tmp_path_factory.mktemp("large"))
    segment = " OR ".join(f"x{number}" for number in range(6_000))
    DeviceIndex.open(path).apply_segments({"many": segment, "many2": f"{segment} OR vip"})
    with open_client(path) as client:
        yield client


def test_a_long_list_of_ids_is_one_operand(client):
    expr = f"token({', '.join(f't{number}' for number in range(20_000))})"
    assert client.post("/v1/indexes/devices/count", json={"expr": expr}).json()["count"] == 300


@pytest.mark.parametrize("expr", EXPRS)
def test_explanations_are_those_of_the_library(expr, client, index):
    answer = client.post("/v1/indexes/devices/explain", json={"expr": expr}).json()
    lines = [(line["depth"], line["text"], line["count"], line["remaining"]) for line in answer["lines"]]
    explained = index.explain(expr)
    assert lines == [(each.depth, each.text, each.device_count, each.remaining) for each in explained]
    assert answer["count"] == index.count(expr)
    assert answer["devices"] == 300


def test_paths_of_explained_nodes_lead_to_them(client):
    answer = client.post(
        "/v1/indexes/devices/explain", json={"expr": "(vip OR age < 3) AND NOT (male OR female)"}
    ).json()
    paths = {line["text"]: line["path"] for line in answer["lines"]}
    assert paths["vip"] == [0, 0]
    assert paths["age < 3"] == [0, 1]
    assert paths["NOT"] == [1]
    assert paths["female"] == [1, 0, 1]


def test_explanation_leaves_each_node_out(client, index):
    body = {"expr": "vip AND (male OR age < 30)", "leave_one_out": True}
    lines = client.post("/v1/indexes/devices/explain", json=body).json()["lines"]
    left_out = [each and each["expr"] for each in (line["without"] for line in lines)]
    assert left_out == [None, "male OR age < 30", "vip", "vip AND age < 30", "vip AND male"]
    assert all(each["count"] == index.count(each["expr"]) for line in lines if (each := line["without"]))


def test_explanation_shows_how_the_expression_is_evaluated(client, index):
    body = {"expr": "vip AND male AND age < 30", "physical": True}
    answer = client.post("/v1/indexes/devices/explain", json=body).json()
    assert answer["physical"]["count"] == answer["count"] == index.count(body["expr"])
    assert [line["path"] for line in answer["physical"]["lines"]] == [line["path"] for line in answer["lines"]]
    assert answer["physical"]["lines"][0]["ways"][0]["shards"] == [1]
    assert client.post("/v1/indexes/devices/explain", json={"expr": "vip"}).json()["physical"] is None


@pytest.mark.parametrize("ids", [["t1", "nobody", "t3"], [f"t{number}" for number in range(400)]])
def test_members_are_those_of_the_library(ids, client, index):
    exprs = {"vip": "vip", "id": "age < 30", "known": "nobody"}
    answer = client.post("/v1/indexes/devices/members", json={"ids": ids, "exprs": exprs}).json()
    expected = {
        row["id"]: [name for name in exprs if row[f"-{name}"]] if row["known"] else None
        for row in index.members(ids, {f"-{name}": text for name, text in exprs.items()}).iter_rows(named=True)
    }
    assert answer["members"] == expected
    assert answer["snapshot"] == 2


def test_members_of_another_column(client):
    body = {"ids": ["u0", "t0"], "exprs": {"vip": "vip"}, "column": "alias"}
    assert client.post("/v1/indexes/devices/members", json=body).json()["members"] == {"u0": ["vip"], "t0": None}


def test_completions_have_counts(client, index):
    answer = client.post("/v1/indexes/devices/complete", json={"text": "province:g AND x", "position": 10}).json()
    assert answer["completions"] == [
        {"text": "guangdong", "kind": "value", "start": 9, "end": 10, "devices": 100, "within": None}
    ]
    body = {"text": "vip AND province:", "within": True}
    completions = client.post("/v1/indexes/devices/complete", json=body).json()["completions"]
    assert [each["within"] for each in completions if each["kind"] == "value"] == [
        index.count(f"vip AND province:{each['text']}") for each in completions if each["kind"] == "value"
    ]
    for position in (-1, 99):
        body = {"text": "a", "position": position}
        problem = client.post("/v1/indexes/devices/complete", json=body).json()["problems"][0]
        assert (problem["code"], problem["path"]) == ("bad-field", "body.position")


def test_lint_finds_mistakes(client):
    answer = client.post("/v1/indexes/devices/lint", json={"expr": "vipp or (vip and vip)"}).json()
    assert answer["canonical"] == "vipp OR (vip AND vip)"
    found = {finding["code"]: finding for finding in answer["findings"]}
    assert found["no-device"]["hint"] == "did you mean vip?"
    assert found["no-device"]["span"] == {"start": 0, "end": 4}


def test_indexes_are_listed_and_described(client):
    listed = client.get("/v1/indexes").json()["indexes"]
    assert [(each["name"], each["devices"], each["snapshot"]) for each in listed] == [("devices", 300, 2)]
    described = client.get("/v1/indexes/devices?values=1").json()
    assert listed[0].items() <= described.items()
    assert described["ids"] == ["token", "alias"]
    attributes = {each["name"]: each for each in described["attributes"]}
    assert attributes["province"] == {
        "name": "province",
        "kind": "string",
        "values": 3,
        "multiple": False,
        "most_frequent": [{"value": "guangdong", "devices": 100}],
    }
    assert (attributes["tag"]["kind"], attributes["tag"]["multiple"]) == ("tag", True)
    assert (attributes["age"]["kind"], attributes["age"]["values"]) == ("number", 80)
    assert described["segments"] == [{"name": "vips", "expression": "vip AND age < 30", "devices": 80}]


def test_the_caller_without_keys_may_do_everything_but_send(client):
    session = client.get("/v1/session").json()
    assert (session["name"], session["scopes"]) == ("local", ["count", "ids", "write"])


def test_health_and_readiness(client):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {
        "status": "ok",
        "indexes": {"devices": {"snapshot": 2, "problem": None}},
    }
