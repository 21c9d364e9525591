"""Lists of ids of any id column of an index, and the devices that have an id in one."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience import DeviceIndex, ExpressionError, parse, plan, render
from audience.index.schema.column_roles import ColumnRoles, infer_columns, validate_roles
from audience.testing.oracle import OracleDevice, is_inside
from audience.vendors import vendor_names

TABLE = pl.DataFrame(
    {
        "tpns_token": ["t1", "t2", None, "t4"],
        "device_id": ["d1", "d2", "d3", "d4"],
        "customer_no": ["c1", "c2", "c3", "c4"],
        "alias": ["a1", "a1", None, ""],
        "sample": ["s1", None, "s3", None],
        "email": ["x", None, "", "y"],
        "tags": [["vip"], ["vip", "key"], [], []],
    }
)


class UnreadNames(list):
    """Names of vendors that nobody may ask for, as that loads the vendors."""

    def __iter__(self):
        raise AssertionError("all vendors were loaded")

    __contains__ = __iter__


def test_vendors_are_loaded_only_for_columns_named_like_theirs():
    schema = {"registration_id": pl.String(), "device_id": pl.String(), "age": pl.Int64(), "tags": pl.List(pl.String)}
    for names in (UnreadNames(["tpns"]), ["tpns"]):
        roles = ColumnRoles(tokens={"registration_id": "registration_id"})
        validate_roles(schema, roles, names)
        assert [column.name for column in infer_columns(schema, roles, names)][:2] == ["registration_id", "device_id"]
    with pytest.raises(AssertionError, match="all vendors were loaded"):
        infer_columns({**schema, "tpns_token": pl.String()}, ColumnRoles(tokens={}), UnreadNames(["tpns"]))


@pytest.fixture(scope="module")
def id_index(tmp_path_factory) -> DeviceIndex:
    """Return an index with ids of several columns."""
    tokens = {"tpns": "tpns_token", "device_id": "device_id", "emas": "sample"}
    path = tmp_path_factory.mktemp("ids") / "devices.index"
    return DeviceIndex.build(TABLE, path, tokens=tokens, key="customer_no")


COUNTS = {
    "tpns_token(t1, t2, t9)": 2,
    "tpns(t1)": 1,
    "device_id(d3)": 1,
    "customer_no(c1, c2)": 2,
    "registration_id(t1, d1, c2)": 2,
    "device_id(t1)": 0,
    "alias(a1)": 2,
    "NOT tpns_token(t1)": 3,
    "vip AND device_id(d1, d3)": 1,
    '"sample"(s1)': 1,
    "has(tpns_token)": 3,
    "tpns_token exists": 3,
    "tpns_token is not null": 3,
    "tpns_token is null": 1,
    'has("sample")': 2,
    "NOT has(tpns)": 1,
    "has(alias)": 2,
    "has(registration_id)": 4,
    "has(customer_no) AND NOT has(email)": 2,
    "key": 1,
}


@pytest.mark.parametrize(("text", "count"), COUNTS.items())
def test_ids_of_a_column_find_devices(text, count, id_index):
    assert id_index.count(text) == count
    assert len(id_index.resolve(text)) == count


UNKNOWN = {
    "alais(a1)": ("unknown-call", "did you mean alias?"),
    "devce_id(d1)": ("unknown-call", "did you mean device_id?"),
    "Device_ID(d1)": ("unknown-call", "did you mean device_id?"),
    "foo(a)": ("unknown-call", "use one of tag, tag_and, "),
    "a (b)": ("unknown-call", "device_id, customer_no, or put AND or OR before the bracket"),
    "email (a)": ("unknown-call", "it is an attribute: write email:a"),
    "account(a1)": ("unknown-ids", "it holds tpns_token, device_id, customer_no, alias, sample"),
    "has(tpns_tokn)": ("unknown-attribute", "did you mean tpns_token?"),
    "tpns_token:t1": ("unknown-attribute", "it is a column of ids: write tpns_token(t1)"),
    "device_id = d1": ("unknown-attribute", "it is a column of ids: write device_id(d1)"),
    "device_id > d1": ("unknown-attribute", "it is a column of ids: write device_id(…)"),
    "NOT tpns_token": ("column-as-tag", "write tpns_token(…) for some ids, has(tpns_token) for any"),
    "NOT email": ("column-as-tag", "write email:… for one value, has(email) for any"),
}


@pytest.mark.parametrize(("text", "code", "hint"), [(text, *case) for text, case in UNKNOWN.items()])
def test_unknown_column_is_an_error_with_what_to_write(text, code, hint, id_index):
    with pytest.raises(ExpressionError) as caught:
        id_index.count(f"vip OR {text}" if not text.startswith("NOT") else text)
    [problem] = caught.value.problems
    assert problem.code == code
    assert hint in problem.hint
    assert problem.span is not None


@pytest.mark.parametrize("vendor", vendor_names(can="emit"))
def test_ids_of_a_column_are_sent_by_ids(vendor, id_index):
    codes = {"device_id(d1, d2)": {"index-ids"}, "has(device_id)": {"index-ids", "no-existence"}}
    for text, expected in codes.items():
        for vendor_has in (None, "all"):
            planned = plan(text, vendor, id_index, vendor_has=vendor_has)
            assert (planned.native, render(planned.by_ids)) == ((), text)
            assert {problem.code for problem in planned.reasons} <= expected


def test_unknown_call_is_not_planned(id_index):
    for text in ("devce_id(d1)", "vip AND devce_id(d1)", "devce_id(d1) limit 5 seed x"):
        with pytest.raises(ExpressionError, match="did you mean device_id"):
            plan(text, "tpns", id_index)
    [problem] = plan("alais(a1)", "tpns").reasons
    assert (problem.code, problem.message) == ("unknown-call", "unknown function 'alais'")
    assert problem.hint == "did you mean alias?; or pass the index that has a column of these ids"


IDS = st.sampled_from([None, "1", "2", "3", "4", "5", "6"])
TEXTS = [
    "has(tpns_token)",
    "NOT has(alias) AND device_id(k1, k2, k3)",
    "tpns_token(1, 2, 3) OR has(alias)",
    "device_id(k1, k9) AND NOT has(tpns_token)",
]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(["k1", "k2", "k3", "k4"]), st.tuples(IDS, IDS), min_size=1), max_size=4)
)
def test_ids_follow_updates(tmp_path_factory, batches):
    devices = {"k0": ("0", "0")}
    frame = pl.DataFrame({"device_id": ["k0"], "tpns_token": ["0"], "alias": ["0"]})
    index = DeviceIndex.build(frame, tmp_path_factory.mktemp("ids") / "index")
    for batch in batches:
        rows = {key: (None if token is None else f"{key}-{token}", alias) for key, (token, alias) in batch.items()}
        devices |= rows
        schema = {"device_id": pl.String, "tpns_token": pl.String, "alias": pl.String}
        index.update(pl.DataFrame([(key, *ids) for key, ids in rows.items()], schema=schema, orient="row"))
        _assert_agrees(index, devices)
    index.compact()
    index.remove(["k1"])
    devices.pop("k1", None)
    _assert_agrees(index, devices)


def _assert_agrees(index, devices):
    oracle = [
        OracleDevice(
            ids={"device_id": [key], "tpns_token": [token] if token else [], "alias": [alias] if alias else []}
        )
        for key, (token, alias) in devices.items()
    ]
    for text in TEXTS:
        expr = parse(text)
        assert index.count(expr) == sum(is_inside(expr, device) for device in oracle), text
