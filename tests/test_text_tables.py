"""CSV files of any encoding, delimiter and quoting: read exactly, or rejected with the line."""

import gzip
from io import BytesIO

import polars as pl
import pytest

from audience import DeviceIndex, ExpressionError, TableError, parse
from audience.index.ingest.text import regular_scan

CITIES = {"r1": "Rome", "r2": "Paris, x", "r3": "北京"}
CSV = 'registration_id,city\nr1,Rome\nr2,"Paris, x"\nr3,北京\n'
SEMICOLONS = "registration_id;city\nr1;Rome\nr2;Paris, x\nr3;北京\n"
CHINESE = 'registration_id,城市\nr1,北京\nr2,"上海, 浦东"\nr3,广州\nr4,深圳\nr5,成都\n'


def build(content: bytes, folder, name="devices.csv", **options) -> DeviceIndex:
    (folder / name).write_bytes(content)
    return DeviceIndex.build(folder / name, folder / "devices.index", **options)


def read_column(index: DeviceIndex, name: str) -> dict[str, str]:
    values = index.attributes[name].values
    return {id_: value for value in values for id_ in index.resolve(parse(f'{name}:"{value}"')).ids()}


READABLE = {
    "UTF-8": CSV.encode(),
    "UTF-8 with a byte order mark": CSV.encode("utf-8-sig"),
    "a quoted header after a byte order mark": CSV.replace("registration_id", '"registration_id"').encode("utf-8-sig"),
    "UTF-16": CSV.encode("utf-16"),
    "UTF-16 LE without a mark": CSV.encode("utf-16-le"),
    "UTF-16 BE without a mark": CSV.encode("utf-16-be"),
    "UTF-32": CSV.encode("utf-32"),
    "CRLF": CSV.replace("\n", "\r\n").encode(),
    "CR": CSV.replace("\n", "\r").encode(),
    "no last line end": CSV.rstrip("\n").encode(),
    "empty last lines": (CSV + "\n\n").encode(),
    "empty lines between": CSV.replace("\n", "\n\n").encode(),
    "semicolons": SEMICOLONS.encode(),
    "semicolons in UTF-16": SEMICOLONS.encode("utf-16"),
    "tabs": SEMICOLONS.replace(";", "\t").encode(),
    "bars": SEMICOLONS.replace(";", "|").encode(),
    "first line sep=;": ("sep=;\n" + SEMICOLONS).encode(),
    "first line sep=; in UTF-16": ("sep=;\r\n" + SEMICOLONS.replace("\n", "\r\n")).encode("utf-16"),
    "blanks around the names": CSV.replace("registration_id,city", " registration_id , city").encode(),
}


@pytest.mark.parametrize("content", READABLE.values(), ids=READABLE.keys())
def test_csv_is_read_whatever_its_form(content, tmp_path):
    assert read_column(build(content, tmp_path), "city") == CITIES


@pytest.mark.parametrize("encoding", ["gbk", "gb18030"])
def test_gbk_is_detected(encoding, tmp_path):
    index = build(CHINESE.encode(encoding), tmp_path)
    assert read_column(index, "城市")["r2"] == "上海, 浦东"


def test_compressed_csv_is_read(tmp_path):
    assert read_column(build(gzip.compress(CSV.encode("utf-16")), tmp_path, "devices.csv.gz"), "city") == CITIES


def test_named_encoding_and_delimiter_are_used(tmp_path):
    content = "registration_id:city\nr1:Orléans\n".encode("latin-1")
    index = build(content, tmp_path, encoding="latin-1", delimiter=":")
    assert read_column(index, "city") == {"r1": "Orléans"}


def test_files_of_several_encodings_and_column_orders_are_one_table(tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "1.csv").write_bytes(CSV.encode())
    (parts / "2.csv").write_bytes("city;registration_id\nMilan;r4\n".encode("utf-16"))
    assert read_column(DeviceIndex.build(parts, tmp_path / "x"), "city") == CITIES | {"r4": "Milan"}
    (parts / "3.csv").write_text("registration_id,town\nr5,Bonn\n")
    with pytest.raises(TableError, match="different columns"):
        DeviceIndex.build(parts, tmp_path / "y")


def write_parquet() -> bytes:
    stream = BytesIO()
    pl.DataFrame({"registration_id": ["r1"], "city": ["Rome"]}).write_parquet(stream)
    return stream.getvalue()


REFUSED = {
    "an open quote": (b'registration_id,city\nr1,"Rome\nr2,Paris\n', "bad-row", "line 2 opens a quote"),
    "a NUL byte": (b"registration_id,city\nr1,x\nr2,Ro\0me\n", "bad-row", "line 3 contains a NUL"),
    "too few fields": (b'registration_id,city\n"r1",x\nr2\n', "bad-row", "line 3 has 1 field, the header has 2"),
    "too many fields": (b"registration_id,city\nr1,x\nr2,y,z\n", "bad-row", "line 3 has 3 fields"),
    "a quoted line end before": (b'registration_id,city\nr1,"x\ny"\nr2\n', "bad-row", "line 4 has 1 field"),
    "text after a quote": (b'registration_id,city\nr1,"Ro"me\n', "bad-row", "line 2 has text after"),
    "an invalid last byte": ("registration_id,city\n" + "r,Köln\n" * 30).encode() + b"r,\xff\n",
    "latin-1": ("registration_id,city\nr1,Orléans\n".encode("latin-1"), "unknown-encoding", "line 2 is not valid"),
    "truncated UTF-16": (CSV.encode("utf-16")[:-1], "unreadable", "UTF-16-LE after line"),
    "two names": (b"registration_id,a,a\nr1,1,2\n", "same-name", "two columns are named 'a'"),
    "two delimiters": (b"registration_id,a;b\nr1,2;3\n", "unknown-delimiter", "contains ',' and ';'"),
    "an unknown delimiter": (b"registration_id city\nr1 Rome\n", "unknown-delimiter", "one column"),
    "nothing": (b"\n\n", "unreadable", "is empty"),
    "a Parquet file": (write_parquet(), "unreadable", "devices.csv is a Parquet file"),
    "a spreadsheet": (b"PK\x03\x04\x14\0\x06\0", "unreadable", "hint: export it as CSV"),
    "a compressed file": (gzip.compress(CSV.encode()), "unreadable", "a name that ends in .csv.gz"),
}
REFUSED["an invalid last byte"] = (REFUSED["an invalid last byte"], "bad-row", "line 32 is not valid UTF-8")


@pytest.mark.parametrize(("content", "code", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_csv_is_rejected_with_its_line(content, code, message, tmp_path):
    with pytest.raises(TableError) as caught:
        build(content, tmp_path)
    assert caught.value.code == code
    assert message in str(caught.value)
    assert not (tmp_path / "devices.index").exists()


def test_wrong_options_are_rejected(tmp_path):
    with pytest.raises(TableError, match="not an encoding of text"):
        build(CSV.encode(), tmp_path, encoding="rot13")
    with pytest.raises(TableError, match="byte order mark of UTF-16"):
        build(CSV.encode("utf-16"), tmp_path, encoding="gbk")
    with pytest.raises(TableError, match="not a delimiter of one character"):
        build(CSV.encode(), tmp_path, delimiter="||")
    with pytest.raises(TableError, match="one column 'registration_id;city'"):
        build(b"registration_id;city\nr1;x\n", tmp_path, delimiter=",")


@pytest.mark.parametrize("encoding", ["shift_jis", "euc_jp", "big5", "euc_kr", "cp1251", "cp1252"])
def test_other_encodings_are_not_taken_for_gb18030(encoding, tmp_path):
    words = {
        "shift_jis": "東京 さいたま 登録日 音楽 会員",
        "euc_jp": "東京 さいたま 登録日 音楽 会員",
        "big5": "臺北 註冊時間 購物車 體育",
        "euc_kr": "서울 부산 등록일 음악 회원",
        "cp1251": "Москва Казань клиент",
        "cp1252": "Orléans Besançon Nîmes",
    }
    for word in words[encoding].split():
        with pytest.raises(TableError, match="not valid UTF-8"):
            build(f"registration_id,city\nr1,{word}\n".encode(encoding), tmp_path)


def test_quotes_that_span_chunks_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(regular_scan, "CHUNK_BYTES", 16)
    rows = [f'r{number},"a{number}\n,""b"""' for number in range(200)]
    index = build(("registration_id,city\n" + "\n".join(rows)).encode(), tmp_path)
    assert index.count(parse('city:"a7\n,\\"b\\""')) == 1
    with pytest.raises(TableError, match=r"line 402 has 1 field"):
        build(("registration_id,city\n" + "\n".join(rows) + "\nx\n").encode(), tmp_path / "..", name="other.csv")


def test_ids_are_read_in_any_encoding(tmp_path):
    (tmp_path / "ids.txt").write_bytes("\u3000r1\r\nr2\r\n".encode("utf-16"))
    assert parse("registration_id(@ids.txt)", folder=tmp_path).values == ("r1", "r2")
    (tmp_path / "ids.txt").write_bytes(b"r1\nr\xe9\n")
    with pytest.raises(ExpressionError, match="line 2 is not valid UTF-8"):
        parse("registration_id(@ids.txt)", folder=tmp_path)
