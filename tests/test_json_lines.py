"""NDJSON files that are not JSON objects line by line: the error names the first line and says what to do."""

import pytest

from audience import DeviceIndex, TableError

GOOD = b'{"registration_id": "r1"}\n'
FILES = {  # content => what is said of it, what to do
    "an array of several lines": (b"[\n" + GOOD + b"]\n", "line 1 is only the beginning", r"jq -c '\.\[\]'"),
    "an array of one line": (b"[" + GOOD.strip() + b"]", "line 1 is not a JSON object", r"jq -c '\.\[\]'"),
    "an object of several lines": (
        b'{\n"registration_id": "r1"\n}\n',
        "line 1 is only the beginning",
        r"jq -c \. does",
    ),
    "a number": (GOOD + b"3\n", "line 2 is not a JSON object", "each line is one JSON object"),
    "an open bracket": (GOOD + b'\n{"x": [1\n', "line 3 is not valid JSON: Expecting", "correct the line"),
    "a cut line": (GOOD + b'{"registration_id": "r2', "line 2 is not valid JSON: Unterminated", "correct the line"),
    "NaN": (b'{"registration_id": "r1", "x": NaN}\n', "line 1 is not valid JSON: NaN is no JSON", "correct the line"),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, "line 1 begins with a byte order mark", "without one"),
    "GBK": (GOOD + '{"registration_id": "中"}'.encode("gbk"), "line 2 is not valid UTF-8", "iconv"),
}


@pytest.mark.parametrize(("content", "message", "hint"), FILES.values(), ids=FILES.keys())
def test_the_first_bad_line_is_named(content, message, hint, tmp_path):
    file = tmp_path / "devices.ndjson"
    file.write_bytes(content)
    with pytest.raises(TableError, match=rf"(?s){message}.*hint: .*{hint}") as caught:
        DeviceIndex.build(file, tmp_path / "index")
    assert str(file) in str(caught.value)
    assert caught.value.code == "unreadable"


def test_the_bad_file_of_several_is_named(tmp_path):
    (tmp_path / "a.ndjson").write_bytes(GOOD)
    (tmp_path / "b.ndjson").write_bytes(b"{")
    with pytest.raises(TableError, match=r"b\.ndjson cannot be read: line 1"):
        DeviceIndex.build([tmp_path / "a.ndjson", tmp_path / "b.ndjson"], tmp_path / "index")
