"""A wrong Python type is a TypeError or an AudienceError that names the argument, for every public function."""

import polars as pl
import pytest

import audience
from audience import AudienceError, DeviceIndex, Ids, Unsupported, get_vendor, parse

WRONG_VALUES = [None, 7, b"bytes", ["a", 1], object(), 1.5, {"a": 1}, "text"]


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> DeviceIndex:
    table = pl.DataFrame({"token": ["t1"], "tags": [["a"]]})
    return DeviceIndex.build(table, tmp_path_factory.mktemp("types") / "devices.index")


def public_calls(index: DeviceIndex, folder) -> dict:
    """Return every public function by its name, with arguments that are right."""
    expr, devices, vendor, table = parse("a"), index.resolve("a"), get_vendor("tpns"), pl.DataFrame({"token": ["t1"]})
    ids = Ids("registration_id", ("t1",))
    build_arguments = {"source": table, "path": folder / "new", "tokens": None, "alias": None, "account": None}
    build_arguments |= dict.fromkeys(("tags", "typed", "numbers", "dates", "versions", "ignore"), ())
    plan_arguments = {"expr": "a", "vendor": "tpns", "index": None, "catalog": None, "max_requests": 4, "strict": False}
    question = {"as_of": "2026-11-28T09:00+08:00", "timezone": "Asia/Shanghai"}
    return {
        "bind": (audience.bind, {"expr": "signup < today", "as_of": "2026-11-28", "tz": "UTC"}),
        "parse": (audience.parse, {"text": "a", "folder": None}),
        "render": (audience.render, {"expr": expr}),
        "simplify": (audience.simplify, {"expr": expr}),
        "equivalent": (audience.equivalent, {"lhs": expr, "rhs": expr}),
        "witness": (audience.witness, {"lhs": expr, "rhs": expr}),
        "all_of": (audience.all_of, {"terms": [expr]}),
        "any_of": (audience.any_of, {"terms": [expr]}),
        "lint": (audience.lint, {"expr": expr}),
        "plan": (audience.plan, plan_arguments),
        "translate": (audience.translate, {"payload": {"audience_type": "all"}, "source": "tpns", "target": "tpns"}),
        "get_vendor": (audience.get_vendor, {"name": "tpns", "can": None}),
        "vendor_names": (audience.vendor_names, {"can": None}),
        "load_catalog": (audience.load_catalog, {"path": folder / "none.toml"}),
        "parse_message": (audience.parse_message, {"document": {}}),
        "batch_ids": (audience.batch_ids, {"devices": devices, "vendor": "tpns"}),
        "DeviceIndex.build": (DeviceIndex.build, {**build_arguments, "split": None, "replace": False}),
        "DeviceIndex.open": (DeviceIndex.open, {"path": index.folder, "cache_bytes": 1_000}),
        "DeviceIndex.count": (index.count, {"expr": "a", **question}),
        "DeviceIndex.resolve": (index.resolve, {"expr": "a", **question}),
        "DeviceIndex.explain": (index.explain, {"expr": "a", **question}),
        "DeviceIndex.find_unmatched": (index.find_unmatched, {"expr": "a", **question}),
        "DeviceIndex.bind": (index.bind, {"expr": "a", **question}),
        "DeviceIndex.expand_segments": (index.expand_segments, {"expr": expr}),
        "DeviceIndex.has_foreign_ids": (index.has_foreign_ids, {"ids": ids, "vendor": "tpns"}),
        "DeviceIndex.update": (index.update, {"source": table, "new": (), "ignore": (), "wait": 0}),
        "DeviceIndex.tag": (index.tag, {"ids": ["t1"], "add": "b", "remove": (), "wait": 0}),
        "DeviceIndex.remove": (index.remove, {"ids": ["t9"], "wait": 0}),
        "DeviceIndex.compact": (index.compact, {"wait": 0}),
        "DeviceIndex.save_segment": (index.save_segment, {"name": "s", "expr": "a", "wait": 0}),
        "DeviceIndex.compare_segments": (index.compare_segments, {"segments": {"s": "a"}}),
        "DeviceIndex.apply_segments": (index.apply_segments, {"segments": {"s": "a"}, "wait": 0}),
        "DeviceIndex.drop_segment": (index.drop_segment, {"name": "none", "wait": 0}),
        "DeviceIndex.restore": (index.restore, {"number": 1, "wait": 0}),
        "DeviceIndex.backup": (index.backup, {"to": folder / "backup"}),
        "DeviceIndex.vacuum": (index.vacuum, {"keep": 9, "wait": 0}),
        "DeviceSet.ids": (devices.ids, {"vendor": None}),
        "DeviceSet.to_frame": (devices.to_frame, {"columns": None}),
        "Vendor.parse": (vendor.parse, {"payload": {}}),
    }


PUBLIC_NAMES = [
    *("bind", "parse", "render", "simplify", "equivalent", "witness", "all_of", "any_of", "lint", "plan", "translate"),
    *("get_vendor", "vendor_names", "load_catalog", "parse_message", "batch_ids", "Vendor.parse"),
    *(f"DeviceIndex.{name}" for name in ("build", "open", "count", "resolve", "explain", "find_unmatched")),
    *(
        f"DeviceIndex.{name}"
        for name in ("bind", "expand_segments", "has_foreign_ids", "update", "tag", "remove", "compact")
    ),
    *(f"DeviceIndex.{name}" for name in ("save_segment", "drop_segment", "restore", "backup", "vacuum")),
    *("DeviceIndex.compare_segments", "DeviceIndex.apply_segments"),
    *("DeviceSet.ids", "DeviceSet.to_frame"),
]


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_wrong_types_are_errors_that_name_the_argument(name, index, tmp_path):
    function, arguments = public_calls(index, tmp_path)[name]
    tracebacks = []
    for argument in arguments:
        for wrong in WRONG_VALUES:
            if wrong == "text" and argument in ("path", "to"):  # a folder of this name would be written
                continue
            try:
                function(**{**arguments, argument: wrong})
            except (AudienceError, Unsupported):
                pass
            except TypeError as error:
                if argument not in str(error):
                    tracebacks.append(f"{argument}={wrong!r}: TypeError {error}")
            except Exception as error:  # noqa: BLE001 any other error is what this test looks for
                tracebacks.append(f"{argument}={wrong!r}: {type(error).__name__} {error}")
    assert tracebacks == []


@pytest.mark.parametrize("wrong", [None, 7, b"bytes", 1.5])
def test_wrong_type_is_an_error_after_a_call_with_a_right_one(wrong):
    for function in (audience.all_of, audience.any_of):
        function([parse("a")])
        with pytest.raises(TypeError, match="terms"):
            function(wrong)
