"""Commands as a user types them: output, files and exit codes."""

import json
import os
import re
import subprocess
import sys

import pytest
import xxhash

from audience import DeviceIndex, __version__, get_vendor, parse, vendor_names
from audience.cli.tour import EXPR, PAYLOAD
from audience.counts import format_count
from audience.span import display_width
from audience.vendors.delivery_spec import ErrorCode


def test_index_build_prints_summary(audience, tmp_path):
    words = ["index", "build", "devices.parquet", "-o", str(tmp_path / "new.index"), "--ignore", "brand"]
    code, out, err = audience(*words, "--timezone", "Asia/Shanghai")
    assert (code, err) == (0, "")
    assert "5,000 devices" in out
    assert "province" in out
    assert "brand" not in out


def test_index_build_accepts_every_role(audience, tmp_path):
    table = "id,mail,member,likes,level,born,app,city,junk\nx1,a@b,m1,p;q,3,20200101,1.10,007,z\n"
    (tmp_path / "devices.csv").write_text(table)
    options = "--token emas=id --alias mail --account member --split likes=; --number level --date born --version app"
    words = [*options.split(), "--typed", "city", "--ignore", "junk", "--json"]
    code, out, err = audience("index", "build", str(tmp_path / "devices.csv"), "-o", str(tmp_path / "x.index"), *words)
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert facts["ids"] == ["id:emas", "alias:alias", "account:account"]
    roles = {attribute["name"]: attribute["role"] for attribute in facts["attributes"]}
    assert roles == {"tag": "tags", "level": "number", "born": "date", "app": "version", "city": "string"}
    expr = "p AND level > 2 AND born < 2020-02-02 AND app > 1.9 AND city:007 AND alias(a@b)"
    assert audience("count", str(tmp_path / "x.index"), expr)[1] == "1\n"


def test_index_info_and_check(audience):
    assert "5,000 devices" in audience("index", "info", "devices.index")[1]
    assert json.loads(audience("index", "info", "devices.index", "--json")[1])["devices"] == 5_000
    assert audience("index", "check", "devices.index")[1] == "snapshot 1: 5 files verified\n"
    assert "manifest.json" in json.loads(audience("index", "check", "devices.index", "--json")[1])["files"]


def test_parse_prints_canonical_text_tree_and_json(audience):
    assert audience("parse", "a && !b") == (0, "a AND NOT b\n", "")
    assert audience("parse", "--tree", "a || (b && c)")[1] == "OR\n  a\n  AND\n    b\n    c\n"
    assert json.loads(audience("parse", "--json", "a")[1]) == {"tag": {"type": "tag", "value": "a"}}


def test_count_prints_a_number(audience):
    code, out, err = audience("count", "devices.index", EXPR)
    assert (code, err) == (0, "")
    assert int(out) == DeviceIndex.open("devices.index").count(EXPR) > 0
    assert json.loads(audience("count", "devices.index", "everyone", "--json")[1])["count"] == 5_000


def test_count_warns_of_unused_tag(audience):
    code, out, err = audience("count", "devices.index", "NOT mael")
    assert (code, out) == (0, "5000\n")
    assert "did you mean male?" in err


def test_explain_counts_every_part(audience):
    code, out, err = audience("explain", "devices.index", EXPR)
    assert (code, err) == (0, "")
    assert [line.split("  ")[0] for line in out.splitlines()[:3]] == ["expression", "AND", ""]
    assert "province:guangdong" in out
    assert "tpns" not in out
    facts = json.loads(audience("explain", "devices.index", EXPR, "--json")[1])
    assert facts.keys() == {"tree", "expression", "bound", "as_of", "timezone"}
    assert facts["tree"][0]["devices"] == DeviceIndex.open("devices.index").count(EXPR)


def test_explain_shows_one_vendor(audience):
    out = audience("explain", "devices.index", EXPR, "--vendor", "tpns")[1]
    assert "tpns: by ids, because\n  - not-at-vendor: the vendor is not known to have male, province:guangdong," in out
    out = audience("explain", "devices.index", EXPR, "--vendor", "tpns", "--vendor-has", "all")[1]
    assert "tpns: natively" in out
    assert "engagelab" not in out
    out = audience("explain", "devices.index", EXPR, "--vendor", "emas")[1]
    assert "emas: by ids, because\n  - no-name: emas has no names for province, version (add them" in out
    assert "  - not-at-vendor: the vendor is not known to have male (add" in out
    facts = json.loads(audience("explain", "devices.index", EXPR, "--vendor", "tpns", "--json")[1])
    assert facts["vendors"].keys() == {"tpns"}


def test_explain_compares_all_vendors(audience):
    out = audience("explain", "devices.index", EXPR, "--vendors")[1]
    assert all(name in out for name in vendor_names(can="emit"))
    assert out.count("no names for province, version: add them to a catalog") == 1
    facts = json.loads(audience("explain", "devices.index", EXPR, "--vendors", "--json")[1])
    assert facts["vendors"].keys() == {*vendor_names(can="emit")}
    reasons = facts["vendors"]["engagelab"]["reasons"]
    assert [reason["code"] for reason in reasons] == ["not-at-vendor", *["no-name"] * 3]
    assert out.count("the vendor is not known to have male: add `at`") == 1


def test_emit_writes_batches_and_manifest(audience, tmp_path):
    code, out, err = audience("emit", "devices.index", EXPR, "--vendor", "engagelab", "-o", str(tmp_path / "out"))
    assert code == 0
    assert "no-name" in err
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    count = DeviceIndex.open("devices.index").count(EXPR)
    assert manifest["devices"] == manifest["id_count"] == count
    assert (manifest["expression"], manifest["vendor"], manifest["skipped_count"]) == (EXPR, "engagelab", 0)
    lines = []
    for file in manifest["files"]:
        data = (tmp_path / "out" / file["name"]).read_bytes()
        assert (xxhash.xxh128_hexdigest(data), len(data)) == (file["xxh128"], file["bytes"])
        lines += data.splitlines()
    ids = [id_ for line in lines for id_ in json.loads(line)["to"]["registration_id"]]
    assert len(ids) == len(set(ids)) == count
    assert f"{count:,} devices; {len(lines)} requests with {count:,} ids" in out


def test_emit_is_native_unless_by_ids(audience, tmp_path):
    words = ["emit", "devices.index", EXPR, "--vendor", "tpns", "--vendor-has", "tag,province,version"]
    audience(*words, "-o", str(tmp_path / "native"))
    manifest = json.loads((tmp_path / "native" / "manifest.json").read_text())
    assert [assumption["code"] for assumption in manifest["assumptions"]] == ["vendor-has", "builtin"]
    [line] = (tmp_path / "native" / "requests-00001.ndjson").read_text().splitlines()
    assert get_vendor("tpns").parse(json.loads(line)) == parse(EXPR)
    audience("emit", "devices.index", EXPR, "--vendor", "tpns", "--by-ids", "-o", str(tmp_path / "ids"))
    lines = (tmp_path / "ids" / "requests-00001.ndjson").read_text().splitlines()
    assert {json.loads(line)["audience_type"] for line in lines} == {"token_list"}


def test_emit_writes_no_request_for_empty_audience(audience, tmp_path):
    for number, expr in enumerate(["nobody", "male AND NOT male", "age > 200 AND male"]):
        out = tmp_path / str(number)
        code, printed, _ = audience("emit", "devices.index", expr, "--vendor", "engagelab", "-o", str(out))
        assert code == 0
        assert "nothing to send" in printed
        assert sorted(path.name for path in out.iterdir()) == ["audit.jsonl", "manifest.json"]


def test_emit_reports_ids_illegal_at_vendor(audience, tmp_path):
    (tmp_path / "devices.csv").write_text(f'emas_device_id,tpns_token\nd1,{"t" * 37}\n"d,2",t2\nd3,\n')
    audience("index", "build", str(tmp_path / "devices.csv"), "-o", str(tmp_path / "x.index"))
    for name, skipped in (
        ("emas", {"d,2": "id-forbidden-character"}),
        ("tpns", {"d1": "id-too-long", "d3": "missing-id"}),
    ):
        out = tmp_path / name
        code, printed, err = audience(
            "emit", str(tmp_path / "x.index"), "everyone", "--by-ids", "--vendor", name, "-o", str(out)
        )
        assert code == 0
        assert f"; {format_count(len(skipped), 'device')} skipped\n" in printed
        rows = [json.loads(line) for line in (out / "skipped.ndjson").read_text().splitlines()]
        assert {row["device"]: row["reason"] for row in rows} == skipped
        assert "devices skipped" in err
        assert json.loads((out / "manifest.json").read_text())["skipped_count"] == len(skipped)


def test_failed_emit_leaves_no_files(audience, tmp_path):
    (tmp_path / "taken").mkdir()
    assert audience("emit", "devices.index", "male", "--vendor", "emas", "-o", str(tmp_path / "taken"))[0] == 2
    assert audience("emit", "devices.index", "mael:x", "--vendor", "emas", "-o", str(tmp_path / "new"))[0] == 2
    assert audience("emit", "devices.index", "male", "--vendor", "emsa", "-o", str(tmp_path / "new"))[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert list((tmp_path / "taken").iterdir()) == []


def test_translate_between_vendors_and_text(audience, monkeypatch):
    code, out, _ = audience("translate", "--from", "engagelab", "--to", "emas", PAYLOAD)
    assert code == 0
    assert get_vendor("emas").parse(json.loads(out)) == get_vendor("engagelab").parse(json.loads(PAYLOAD))
    assert audience("translate", "--from", "emas", "--to", "text", out)[1] == "(Shenzhen OR Guangzhou) AND members\n"
    assert audience("translate", "--from", "text", "--to", "engagelab", "a")[1] == '{"to":{"tag":["a"]}}\n'
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO('{"to": "all", } // everyone'))
    assert audience("translate", "--from", "engagelab", "--to", "tpns", "-")[1] == '{"audience_type":"all"}\n'


def test_translate_reads_urlencoded_form(audience):
    code, out, _ = audience("translate", "--from", "xiaomi", "title=t&topics=a%3B%24%3Bb&topic_op=EXCEPT\n")
    assert (code, out) == (0, "a AND NOT b\n")
    code, out, err = audience("translate", "--from", "jpush", "title=t")
    assert (code, out, "bad-json" in err) == (2, "", True)


def test_translate_lists_every_reason(audience):
    code, out, err = audience("translate", "--from", "text", "--to", "engagelab", "NOT (a OR province:b)")
    assert (code, out) == (1, "")
    assert "not-alone" in err
    assert "no-name" in err


def test_translate_warns_of_suspicious_payload(audience):
    payload = '{"audience_type": "token", "token_list": ["t1", "t2"]}'
    code, out, err = audience("translate", "--from", "tpns", "--to", "text", payload)
    assert (code, out) == (0, "registration_id(t1)\n")
    assert "first of 2" in err


def test_vendors_lists_limits(audience):
    out = audience("vendors")[1]
    assert "registration_id ≤ 1,000" in out
    assert max(map(len, out.splitlines())) <= 120
    assert all(get_vendor(name).docs_url in out.replace("\n", "") for name in vendor_names())
    assert out.count("2026-") >= len(vendor_names())
    assert {each["name"] for each in json.loads(audience("vendors", "--json")[1])} == set(vendor_names())


def test_vendors_lists_the_named_ones(audience):
    code, out, _ = audience("vendors", "getui")
    assert (code, "Getui" in out, "JPush" in out) == (0, True, False)
    assert [each["name"] for each in json.loads(audience("vendors", "jpush", "getui", "--json")[1])] == [
        "jpush",
        "getui",
    ]
    code, out, err = audience("vendors", "getuy")
    assert (code, out, "did you mean getui?" in err) == (2, "", True)


def test_translate_to_all_compares_vendors(audience):
    code, out, err = audience("translate", "--to", "all", "(a AND NOT b) OR (c AND province:hunan)")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 120
    assert all(f"\n{name} " in out for name in vendor_names(can="emit"))
    facts = json.loads(audience("translate", "--to", "all", "--json", "(a OR b) AND c")[1])
    assert facts["expression"] == "(a OR b) AND c"
    assert set(facts["vendors"]) == set(vendor_names(can="emit"))
    for name, plan in facts["vendors"].items():
        assert plan["requests"] == len(plan["native"])
        assert bool(plan["by_ids"]) == bool(plan["reasons"])
        assert all(get_vendor(name).parse(payload) for payload in plan["native"])
    assert "nothing to send" in audience("translate", "--to", "all", "nobody")[1]


BAD_INPUTS = {
    "a bad expression": (["count", "devices.index", "a AND"], "missing-operand"),
    "an unknown attribute": (["count", "devices.index", "provnce:hunan"], "did you mean province?"),
    "a missing index": (["count", "nowhere.index", "a"], "no-index"),
    "an unknown vendor": (["translate", "--to", "tpms", "a"], "did you mean tpns?"),
    "a bad payload": (
        ["translate", "--from", "tpns", "--to", "text", '{"audience_type": "tag", "tag_rules": [1]}'],
        "$.tag_rules[0]",
    ),
    "invalid JSON": (["translate", "--from", "emas", "--to", "text", "{"], "bad-json: line 1: Unexpected end"),
    "an index without an expression": (["lint", "devices.index"], "audience lint EXPR INDEX"),
    "a bad option": (["index", "build", "devices.parquet", "-o", "x", "--split", "tags"], "bad-option"),
    "a missing file": (["index", "build", "nothing.parquet", "-o", "x"], "no-file"),
    "an existing folder": (["index", "build", "devices.parquet", "-o", "devices.index"], "--replace"),
    "two sources of devices": (["sandbox", "--generate", "1", "--devices", "devices.parquet"], "leave one of them out"),
    "an unknown command": (["conut"], "conut"),
}


@pytest.mark.parametrize(("words", "message"), BAD_INPUTS.values(), ids=BAD_INPUTS.keys())
def test_bad_input_exits_with_2_and_message(words, message, audience):
    code, out, err = audience(*words)
    assert code == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [[], ["count"], ["index"], ["index", "build"], ["count", "devices.index", "--json"]])
def test_h_is_help(words, audience):
    assert audience(*words, "-h") == audience(*words, "--help")
    assert audience("count", "devices.index", "--", "-h")[:2] == (0, "0\n")  # a tag


def test_lint_takes_the_index_first_too(audience):
    first, last = audience("lint", "devices.index", "a AND NOT a"), audience("lint", "a AND NOT a", "devices.index")
    assert first == last
    assert (first[0], "always-nobody" in first[1]) == (1, True)


def test_errors_are_json_with_json_option(audience):
    code, _, err = audience("count", "devices.index", "a AND", "--json")
    assert code == 2
    assert json.loads(err)["errors"][0]["code"] == "missing-operand"


USAGE_ERRORS = {
    "an unknown option": ["count", "devices.index", "male", "--json", "--jsn"],
    "a missing argument": ["count", "--json"],
    "an unknown command": ["index", "updat", "--json"],
    "an invalid number": ["demo", "--devices", "many", "--json"],
}


@pytest.mark.parametrize("payload", ["\udcff", '{"audience": {"\\ud800": []}}'])
def test_lone_surrogate_error_is_valid_json(payload, audience):
    code, out, err = audience("translate", "--from", "jpush", "--json", payload)
    assert (code, out) == (2, "")
    assert json.loads(err)["errors"][0]["code"] in ("bad-json", "unknown-key")


@pytest.mark.parametrize("words", USAGE_ERRORS.values(), ids=USAGE_ERRORS.keys())
def test_usage_errors_are_json_with_json_option(words, audience):
    code, out, err = audience(*words)
    assert (code, out) == (2, "")
    assert json.loads(err)["errors"][0]["code"] == "usage"


def test_warnings_are_json_with_json_option(audience):
    code, out, err = audience("count", "devices.index", "mael", "--json")
    assert (code, json.loads(out)["count"]) == (0, 0)
    assert json.loads(err)["warnings"][0]["code"] == "no-device"
    err = audience("emit", "devices.index", "nobody OR NOT male", "--vendor", "tpns", "-o", "aside", "--json")[2]
    assert {key for line in err.splitlines() for key in json.loads(line)} <= {"warnings", "assumptions"}


def test_damaged_index_exits_with_1(audience, folder, tmp_path):
    DeviceIndex.build(folder / "devices.parquet", tmp_path / "x.index")
    [file] = (tmp_path / "x.index" / "shards").glob("*.tags.arrow")
    file.write_bytes(bytes(file.stat().st_size))
    code, _, err = audience("count", str(tmp_path / "x.index"), "male")
    assert code == 1
    assert file.name in err


def test_demo_runs_all_steps(audience):
    code, out, _ = audience("demo", "--devices", "2000")
    assert code == 0
    for words in (
        "index build",
        "count",
        "verified   parsed back",
        '{"type":"groupcast"',
        " devices; 1 request with ",
        "batches: 1 accepted; ids: ",
        "segment @south saved",
        "held out, 10%",
        "20 changed",
    ):
        assert words in out
    assert re.search(r"^ids      \w+, \w+, ", out, re.MULTILINE)  # vendors whose reasons are alike share a line


def test_demo_fits_80_columns_and_a_page(audience, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = audience("demo", "--devices", "2000")[1]
    wide = [line for line in out.splitlines() if display_width(line) > 80]
    assert all(line.startswith("{") for line in wide)  # payloads are printed as they are
    assert len(out.splitlines()) + len(wide) <= 110


@pytest.mark.parametrize("words", [["--devices", "1"], ["--devices", "50", "--json"]], ids=" ".join)
def test_demo_completes_with_few_devices(words, audience):
    assert audience("demo", *words)[0] == 0


@pytest.mark.parametrize("name", vendor_names(can="send"))
def test_codes_match_vendor_record(name, audience):
    code, out, err = audience("error-codes", name, "--json")
    assert (code, err) == (0, "")
    rows, record = json.loads(out), get_vendor(name)
    calls = [row.pop("calls") for row in rows]
    codes = {"pushes": record.delivery.error_codes, "tags": record.tags.error_codes if record.tags else ()}
    for kind, expected in codes.items():
        assert [ErrorCode(**row) for row, each in zip(rows, calls, strict=True) if each == kind] == list(expected)
    assert len(rows) == sum(map(len, codes.values()))


def test_codes_show_outcome_and_advice(audience):
    code, out, err = audience("error-codes", "tpns")
    assert (code, err) == (0, "")
    row = out.partition("1008003")[2].partition("1008004")[0]
    for words in ("the keys are wrong", "fatal:", "not delivered; the run", "check access_id"):
        assert words in row


def test_codes_of_calls_for_tags_follow_those_of_pushes(audience):
    pushes, title, tags = audience("error-codes", "tpns")[1].partition("Calls that set and remove tags:")
    assert title
    assert "made again without these" in tags and "made again without these" not in pushes


def test_vendors_shows_calls_for_tags(audience):
    out = audience("vendors", "tpns", "emas", "huawei")[1]
    for words in ("add (+, 500 ids, 1 tag)", "add-pairs (+, 20 pairs)", "tags cannot be read", "tags per device ≤ 100"):
        assert words in out
    records = json.loads(audience("vendors", "emas", "tpns", "huawei", "--json")[1])
    tags = {record["name"]: record.get("tags") for record in records}
    assert tags["huawei"] is None
    assert tags["emas"]["key_types"] == ["device", "alias", "account"]
    assert (tags["emas"]["delay_seconds"], tags["emas"]["readable"], tags["emas"]["countable"]) == (600, True, False)
    assert tags["emas"]["limits"]["tags_per_application"]["maximum"] == 10_000
    assert [form["calls_per_second"] for form in tags["tpns"]["forms"]] == [1] * 6


UNSENDABLE = [name for name in vendor_names(can="emit") if name not in vendor_names(can="send")]


@pytest.mark.parametrize("name", [name for name in vendor_names() if name not in vendor_names(can="send")])
def test_unsendable_vendor_has_no_codes(audience, name):
    code, out, err = audience("error-codes", name, "--json")
    assert (code, out) == (2, "")
    [problem] = json.loads(err)["errors"]
    assert (problem["code"], problem["hint"]) == (
        "no-delivery",
        f"vendors that can be sent to: {', '.join(vendor_names(can='send'))}",
    )
    assert json.loads(audience("error-codes", "nobody", "--json")[2])["errors"][0]["code"] == "unknown-vendor"


def collapse_cells(table: str) -> str:
    """Return the second cell of every line of *table*."""
    return "".join(re.split(r"\s{2,}", line)[1:2][0] + "\n" for line in table.splitlines() if "  " in line)


def test_vendors_shows_methods_and_keys(audience):
    vendors = {vendor["name"]: vendor for vendor in json.loads(audience("vendors", "--json")[1])}
    assert [name for name, vendor in vendors.items() if "methods" in vendor] == vendor_names(can="send")
    assert vendors["tpns"]["keys"] == ["access_id", "secret_key"]
    assert "send methods: push, registration_id\n" in collapse_cells(audience("vendors")[1])
    assert "keys: app_key, master_secret\n" in collapse_cells(audience("vendors")[1])


@pytest.mark.parametrize("name", UNSENDABLE[:1])
def test_plan_notes_unsendable_vendor(audience, name):
    code, out, _ = audience("plan", "devices.index", "male", "--vendor", name)
    assert (code, out.splitlines()[-1]) == (0, f"no costs: audience cannot send to {name}")
    unsendable = json.loads(audience("plan", "devices.index", "male", "--vendor", name, "--json")[1])
    sendable = json.loads(audience("plan", "devices.index", "male", "--vendor", "tpns", "--json")[1])
    assert (unsendable.keys(), unsendable["costs"]) == (sendable.keys(), None)


def test_version_is_printed(audience):
    assert audience("--version") == (0, f"audience {__version__}\n", "")


def test_missing_folder_is_reported(audience):
    for words in (["status"], ["cancel"], ["resume"], ["send", "--message", "m.json"]):
        code, out, err = audience(*words, "nowhere", "--json")
        assert (code, out) == (2, "")
        assert "'nowhere' does not exist" in json.loads(err)["errors"][0]["message"]


def test_campaign_does_not_overwrite_another(audience, tmp_path):
    words = ["campaign", "devices.index", "male", "--vendors", "tpns", "-o", str(tmp_path / "campaign"), "--json"]
    assert audience(*words)[0] == 0
    code, _, err = audience(*words)
    assert (code, json.loads(err)["errors"][0]["hint"]) == (2, "choose another path, or add --replace")


def test_module_is_executable():
    ran = subprocess.run(
        [sys.executable, "-m", "audience", "parse", "a&&b"], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "a AND b\n", "")


SHELL_COMMANDS = {
    "ascii": ("{audience} parse 城市:杭州", {"PYTHONIOENCODING": "ascii"}, 0),
    "closed input": ("{audience} translate --from engagelab --to tpns - <&-", {}, 2),
    "closed output": ("{audience} parse a >&-", {}, 0),
    "a full disk": ("{audience} parse a > /dev/full", {}, 1),
    "a closed pipe": ("{audience} vendors --json | head -c 1", {}, 0),
    "an unpaired surrogate": ("{audience} parse --json $'\"\\xff\"'", {}, 2),
}


@pytest.mark.parametrize(("line", "environment", "code"), SHELL_COMMANDS.values(), ids=SHELL_COMMANDS.keys())
def test_no_traceback_with_broken_streams(line, environment, code):
    command = ["bash", "-c", line.format(audience=f"{sys.executable} -m audience")]
    ran = subprocess.run(command, capture_output=True, check=False, env={**os.environ, **environment})
    assert ran.returncode == code
    assert b"Traceback" not in ran.stderr


def test_ids_are_never_sent_to_other_vendor(audience, tmp_path):
    (tmp_path / "devices.csv").write_text("engagelab_token,tpns_token\nE1,T1\nE2,T2\n")
    audience("index", "build", str(tmp_path / "devices.csv"), "-o", str(tmp_path / "x.index"))
    audience("emit", str(tmp_path / "x.index"), "registration_id(E1)", "--vendor", "tpns", "-o", str(tmp_path / "out"))
    [line] = (tmp_path / "out" / "requests-00001.ndjson").read_text().splitlines()
    assert json.loads(line)["token_list"] == ["T1"]
    audience("emit", str(tmp_path / "x.index"), "registration_id(T2)", "--vendor", "tpns", "-o", str(tmp_path / "own"))
    [line] = (tmp_path / "own" / "requests-00001.ndjson").read_text().splitlines()
    assert json.loads(line)["token_list"] == ["T2"]


def test_catalog_draft_check_and_use(audience, tmp_path):
    file = tmp_path / "catalog.toml"
    assert audience("catalog", "init", "devices.index", "-o", str(file))[0] == 0
    assert audience("catalog", "init", "devices.index", "-o", str(file))[0] == 2
    assert audience("catalog", "check", str(file))[0] == 0
    drafted = file.read_text()
    assert 'order = "version"' in drafted
    file.write_text(drafted.replace('# names.engagelab = "{type}_{value}"', 'names.engagelab = "{type}_{value}"', 1))
    words = ["--to", "engagelab", "--catalog", str(file)]
    assert (
        audience("translate", *words, "province:hunan AND male")[1] == '{"to":{"tag_and":["province_hunan","male"]}}\n'
    )
    payload = '{"to": {"tag": ["province_hunan"]}}'
    out = audience("translate", "--from", "engagelab", "--to", "text", "--catalog", str(file), payload)[1]
    assert out == "province:hunan\n"
    assert (
        "engagelab: natively"
        in audience("explain", "devices.index", "NOT province:hunan", "--catalog", str(file), "--vendor", "engagelab")[
            1
        ]
    )
    file.write_text("[a]\nexcusive = true\n")
    code, _, err = audience("catalog", "check", str(file))
    assert code == 2
    assert "line 2" in err
