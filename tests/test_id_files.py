"""Files of ids in expressions: what is read of them, how they are shown, and what happens when they change."""

import os

import orjson
import polars as pl
import pytest

from audience import DeviceIndex, ExpressionError, Ids, parse, plan, render, simplify
from audience.index.query.unmatched import find_unmatched
from audience.language.describe import expr_json, format_tree
from audience.language.id_files import id_files_json
from audience.requests.campaign import plan_campaign, write_campaign
from audience.requests.writer import write_requests

CONTENTS = {
    "plain": (b"d1\nd2\n", ("d1", "d2")),
    "blanks": (b"\n  d1 \t\n\n d2", ("d1", "d2")),
    "crlf": (b"d1\r\nd2\r\n", ("d1", "d2")),
    "cr": (b"d1\rd2\r", ("d1", "d2")),
    "mark": ("\ufeffd1\nd2\n".encode(), ("d1", "d2")),
    "utf-16": ("d1\r\nd2\r\n".encode("utf-16"), ("d1", "d2")),
    "utf-16 without a mark": ("device1\ndevice2\n".encode("utf-16-le"), ("device1", "device2")),
    "gb18030": ("设备一号在杭州\n设备二号在广州\n".encode("gb18030"), ("设备一号在杭州", "设备二号在广州")),
    "duplicates": (b"d2\nd1\nd2\nd1\n", ("d2", "d1")),
    "inner blank": (b"d 1\nd,2\n", ("d 1", "d,2")),
}


@pytest.mark.parametrize(("content", "ids"), CONTENTS.values(), ids=CONTENTS.keys())
def test_file_of_ids_is_read(content, ids, tmp_path):
    (tmp_path / "ids.txt").write_bytes(content)
    expr = parse("device_id(@ids.txt)", folder=tmp_path)
    assert expr.values == ids
    assert expr.files[0].ids == ids
    assert render(expr) == "device_id(@ids.txt)"


TABLES = {
    "header": (b"device_id\nd1\nd2\n", ("d1", "d2")),
    "no header": (b"d1\nd2\n", ("d1", "d2")),
    "other header": (b"number\nd1\n", ("number", "d1")),
}


@pytest.mark.parametrize(("content", "ids"), TABLES.values(), ids=TABLES.keys())
def test_column_of_ids_is_read(content, ids, tmp_path):
    (tmp_path / "ids.csv").write_bytes(content)
    assert parse("device_id(@ids.csv)", folder=tmp_path).values == ids


UNREADABLE = {
    "ids.csv": (
        b"device_id,name\nd1,Li\n",
        "line 1 has several columns",
        "audience segment save INDEX NAME --ids ids.csv",
    ),
    "ids.tsv": (b"d1\td2\n", "line 1 has several columns", "audience segment save INDEX NAME --ids ids.tsv"),
    "quoted.csv": (b'"d1"\n', "line 1 has several columns or quotes", "one id per line"),
    "nul.txt": (b"d1\nd2\0\n" + b"d" * 50, "line 2 contains a NUL", "one id per line"),
    "latin.txt": (b"d\xe9\n", "not valid UTF-8", "UTF-8 file"),
    "missing.txt": (None, "No such file", "UTF-8 file"),
}


@pytest.mark.parametrize(("name", "content", "message", "hint"), [(name, *case) for name, case in UNREADABLE.items()])
def test_unreadable_file_is_an_error(name, content, message, hint, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ExpressionError, match=message) as caught:
        parse(f"vip AND device_id(@{name})", folder=tmp_path)
    [problem] = caught.value.problems
    assert problem.code == "unreadable-file"
    assert hint in problem.hint
    assert problem.span.excerpt == f"@{name}"


def test_written_ids_stand_before_files(tmp_path):
    (tmp_path / "a.txt").write_text("d1\nd2\n")
    (tmp_path / "my ids.txt").write_text("d2\nd3\n")
    expr = parse('device_id(@a.txt, d9, @"my ids.txt", d3)', folder=tmp_path)
    assert render(expr) == 'device_id(d9, @a.txt, @"my ids.txt")'
    assert parse(render(expr), folder=tmp_path) == expr


def test_lists_are_joined_with_their_files(tmp_path):
    (tmp_path / "a.txt").write_text("d1\nd2\n")
    (tmp_path / "b.txt").write_text("d2\nd3\n")
    expr = simplify(parse("device_id(@a.txt) OR device_id(d9, d3) OR device_id(@b.txt)", folder=tmp_path))
    assert (set(expr.values), render(expr)) == ({"d1", "d2", "d3", "d9"}, "device_id(d9, @a.txt, @b.txt)")


@pytest.fixture
def staff(tmp_path, monkeypatch) -> DeviceIndex:
    """Return an index beside a file with 20,000 ids, of which it has three."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "staff.txt").write_text("".join(f"d{number}\n" for number in range(20_000)))
    table = {
        "device_id": ["d1", "d2", "d3", "x4"],
        "tpns_token": ["t1", "t2", "t3", "t4"],
        "tags": [["vip"], [], [], []],
    }
    return DeviceIndex.build(pl.DataFrame(table), tmp_path / "devices.index")


def test_file_is_shown_by_path_count_and_digest(staff, tmp_path):
    text = "vip OR device_id(@staff.txt)"
    expr = parse(text)
    digest = expr.terms[1].files[0].digest
    planned = plan(expr, "tpns", staff)
    result = write_requests(planned, staff, tmp_path / "requests")
    campaign = plan_campaign(expr, ["tpns"], staff)
    write_campaign(campaign, tmp_path / "campaign")
    manifests = [
        orjson.loads((tmp_path / name).read_bytes()) for name in ("requests/manifest.json", "campaign/campaign.json")
    ]
    assert result.devices == 3
    for manifest in manifests:
        assert manifest["expression"] == text
        assert manifest["id_files"] == [{"path": "staff.txt", "digest": digest, "id_count": 20_000}]
    assert [line.text for line in staff.explain(expr)][
        2
    ] == f"device_id(@staff.txt) [@staff.txt: 20,000 ids, digest {digest[:8]}]"
    shown = [
        repr(expr),
        repr(planned),
        planned._repr_html_(),
        str(find_unmatched(expr, staff.snapshot)),
        str(expr_json(expr)),
    ]
    assert all("d777" not in part and len(part) < 3_000 for part in [*shown, *format_tree(expr)])
    assert id_files_json(expr) == manifests[0]["id_files"]
    [missing] = [problem.message for problem in find_unmatched(expr, staff.snapshot) if "ids" in problem.message]
    assert missing == "19,997 of 20,000 ids in device_id(@staff.txt) not found in the index"


def _answers(index, tmp_path):
    return {
        "count": index.count,
        "resolve": index.resolve,
        "explain": index.explain,
        "plan": lambda expr: plan(expr, "tpns", index),
        "plan without an index": lambda expr: plan(expr, "tpns"),
        "campaign": lambda expr: plan_campaign(expr, ["tpns"], index),
    }


@pytest.mark.parametrize("text", ["device_id(@staff.txt)", "NOT (vip AND device_id(@staff.txt))"])
def test_changed_file_is_an_error(text, staff, tmp_path):
    file, expr = tmp_path / "staff.txt", parse(text)
    planned = plan(expr, "tpns", staff)
    answers = _answers(staff, tmp_path)
    for answer in answers.values():
        answer(expr)
    content = file.read_text()
    os.utime(file, (1, 1))
    staff.count(expr)
    for changed in (content.replace("d1\n", "d7\n"), content + "d1\n", None):
        file.unlink() if changed is None else file.write_text(changed)
        answers["requests"] = lambda expr: list(planned.requests())
        answers["written"] = lambda expr: write_requests(planned, staff, tmp_path / "requests")
        for name, answer in answers.items():
            with pytest.raises(
                ExpressionError, match=r"staff\.txt has changed since it was read: its digest was"
            ) as caught:
                answer(expr)
            assert (name, caught.value.code) == (name, "changed-file")
    assert not (tmp_path / "requests").exists()
    file.write_text(content)
    assert staff.count(expr) == 3


def test_large_changed_file_is_an_error(staff, tmp_path):
    file = tmp_path / "large.txt"
    file.write_text("".join(f"d{number:09}\n" for number in range(200_000)))
    expr = parse("device_id(@large.txt)")
    assert staff.count(expr) == 0
    file.write_text("".join(f"x{number:09}\n" for number in range(200_000)))
    with pytest.raises(ExpressionError, match="changed-file"):
        staff.count(expr)


def test_text_is_read_again(staff, tmp_path):
    assert staff.count("device_id(@staff.txt)") == 3
    (tmp_path / "staff.txt").write_text("d1\n")
    assert staff.count("device_id(@staff.txt)") == 1


def test_path_is_relative_to_the_folder_of_the_reading(staff, tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/ids.txt").write_text("d1\n")
    expr = parse("device_id(@ids.txt)", folder=tmp_path / "sub")
    monkeypatch.chdir(tmp_path / "sub")
    assert (staff.count(expr), render(expr)) == (1, "device_id(@ids.txt)")


def test_pipe_is_read_once(staff, tmp_path):
    reading, writing = os.pipe()
    os.write(writing, b"d1\nd2\n")
    os.close(writing)
    expr = parse(f"device_id(@/dev/fd/{reading})")
    os.close(reading)
    assert staff.count(expr) == 2


def test_many_ids_are_cut_short_for_programmers():
    assert repr(Ids("alias", ("u1",))) == "Ids(kind='alias', values=('u1',))"
    assert repr(Ids("alias", tuple(map(str, range(20_000))))) == "Ids(kind='alias', values=<20,000 ids>)"
