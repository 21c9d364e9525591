"""Law: random messy CSV files are read as a plain reader written apart reads them, or refused with a reason."""

import csv
import random
import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from sizes import scale

from audience import AudienceError, DeviceIndex
from audience.index.ingest.text import regular_scan

FILES, PARTS = scale(40, 1_000), scale(4, 40)
DELIMITERS = [",", ";", "\t", "|"]
ENCODINGS = ["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030"]
CITIES = [
    "北京",
    "上海",
    "广州, 天河",
    "深圳",
    "杭州",
    'the "best" city',
    "two\nlines",
    "a;b|c\td",
    " padded ",
    "成都",
    "重庆",
]
EPOCH = datetime(1970, 1, 1)
DAY_FORMATS = {
    "iso": "%Y-%m-%d",
    "slash": "%Y/%m/%d",
    "day first": "%d/%m/%Y",
    "month first": "%m/%d/%Y",
    "name": "%d-%b-%Y",
}
ODD_IDS = ["", "  ", "1.23457E+17"]
KNOWN_REFUSALS = {
    *("bad-row", "odd-value", "ambiguous-date", "mixed-dates", "missing-id", "spoilt-id", "duplicate-id", "bad-value"),
    *("unknown-encoding", "unknown-delimiter"),
}


def write_number(rng) -> str:
    return rng.choice([str(rng.randrange(-99, 10_000)), f"{rng.uniform(-9, 9):.3f}", f"{rng.uniform(0, 1) / 1e6:.3e}"])


def write_moment(rng, has_zone: bool) -> str:
    moment = datetime(2020, 1, 1) + timedelta(seconds=rng.randrange(10**8))
    zone = rng.choice(["Z", "+08:00", "-0330", " UTC", "+00"]) if has_zone else ""
    return moment.strftime(rng.choice(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S"])) + zone


class MessyFile:
    """Header and rows of a random file, and the options that it is built with."""

    def __init__(self, seed: int):
        rng = random.Random(seed)
        self.rng = rng
        self.encoding, self.delimiter = rng.choice(ENCODINGS), rng.choice(DELIMITERS)
        self.line_end = rng.choice(["\n", "\r\n"])
        self.day_format = rng.choice(list(DAY_FORMATS.values()))
        self.has_zone = rng.random() < 0.5
        self.names = ["registration_id", "city", "amount", "day", "seen", "code", "flag"]
        rng.shuffle(self.names)
        size = rng.choice([1, 3, 10, 60])
        self.rows = [self.make_row(number) for number in range(size)]
        self.options = {
            "on_bad_row": rng.choice(["stop", "reject"]),
            "duplicates": rng.choice(["refuse", "last", "last", "merge"]),
        }
        if rng.random() < 0.4:
            self.options["date_format"] = {"day": self.day_format}
        self.spoil()

    def make_row(self, number: int) -> dict[str, str]:
        rng = self.rng
        day = datetime(2020, 1, 1) + timedelta(days=rng.randrange(2_000))
        row = {
            "registration_id": f"r{number}",
            "city": rng.choice(CITIES),
            "amount": write_number(rng),
            "day": day.strftime(self.day_format),
            "seen": write_moment(rng, self.has_zone),
            "code": rng.choice(["007", "1e5", "12", "+86", "3"]),
            "flag": rng.choice(["true", "false", "TRUE", "False"]),
        }
        return {name: value if name == "registration_id" or rng.random() < 0.9 else "" for name, value in row.items()}

    def spoil(self) -> None:
        """Change a few rows: one odd value in a long column, odd ids, blanks around ids, repeated ids."""
        sound_columns = ["amount", "day", "seen", "flag"] if len(self.rows) >= 10 else []
        for row in self.rows:
            chance = self.rng.random()
            if chance < 0.03 and sound_columns:
                name = sound_columns.pop(self.rng.randrange(len(sound_columns)))
                row[name] = self.rng.choice(["n/a", "abc", "99-99"])
            elif chance < 0.05:
                row["registration_id"] = self.rng.choice(ODD_IDS)
            elif chance < 0.12:
                row["registration_id"] = self.rng.choice([" {}", "{} ", "\u3000{}", "{}\u00a0"]).format(
                    row["registration_id"]
                )
            elif chance < 0.16:
                row["registration_id"] = self.rng.choice(self.rows)["registration_id"].strip() or "r0"

    def to_bytes(self) -> bytes:
        text = StringIO()
        quoting = self.rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
        writer = csv.writer(text, delimiter=self.delimiter, quoting=quoting, lineterminator=self.line_end)
        if self.rng.random() < 0.1:
            text.write(f"sep={self.delimiter}{self.line_end}")
        writer.writerow(self.names)
        for row in self.rows:
            if self.rng.random() < 0.02:
                text.write(self.line_end)
            fields = [row[name] for name in self.names]
            if self.rng.random() < 0.01:
                fields = self.rng.choice([fields[:-1], [*fields, "x"]])
            writer.writerow(fields)
        written = text.getvalue()
        if self.rng.random() < 0.3:
            written = written.removesuffix(self.line_end)
        return written.encode(self.encoding)


def read_plainly(content: bytes, file: MessyFile) -> tuple[list[dict[str, Any]], list[tuple[int, list[str]]]]:
    """The good rows of the file in order, and the line and fields of each bad one."""
    text = content.decode(file.encoding).removeprefix("\ufeff")
    reader = csv.reader(StringIO(text, newline=""), delimiter=file.delimiter)
    good, bad, header, before = [], [], None, 0
    for fields in reader:
        line, before = before + 1, reader.line_num
        if not fields or fields[0].startswith("sep=") or (len(fields) == 2 and fields == ["sep=", ""]):
            continue
        if header is None:
            header = fields
            continue
        row = parse_row(dict(zip(header, fields, strict=False)), file) if len(fields) == len(header) else None
        if row is None:
            bad.append((line, fields))
        else:
            good.append(row)
    return good, bad


def parse_row(row: dict[str, str], file: MessyFile) -> dict[str, Any] | None:
    """The values of one row; None if one is odd."""
    id_ = row["registration_id"].strip()
    if not id_ or "E+" in id_:
        return None
    try:
        return {
            "registration_id": id_,
            "city": row["city"] or None,
            "amount": float(row["amount"]) if row["amount"] else None,
            "day": datetime.strptime(row["day"], file.day_format).date() if row["day"] else None,
            "seen": parse_moment(row["seen"]) if row["seen"] else None,
            "code": row["code"] or None,
            "flag": {"true": True, "false": False}[row["flag"].lower()] if row["flag"] else None,
        }
    except (ValueError, KeyError):
        return None


def parse_moment(text: str) -> datetime:
    """A moment, in UTC if it has a zone."""
    text = re.sub(r"(Z| UTC|\+00)$", "+0000", text).replace("/", "-").replace("T", " ")
    for format_ in ("%Y-%m-%d %H:%M:%S%z", "%Y-%m-%d %H:%M%z"):
        try:
            return datetime.strptime(text, format_).astimezone(UTC).replace(tzinfo=None)
        except ValueError:
            continue
    for format_ in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"):
        try:
            return datetime.strptime(text, format_)
        except ValueError:
            continue
    raise ValueError(text)


def combine(rows: list[dict[str, Any]], duplicates: str) -> dict[str, dict[str, Any]] | None:
    """The devices by id; None if rows of one id must be refused."""
    devices: dict[str, dict[str, Any]] = {}
    for row in rows:
        known = devices.get(row["registration_id"])
        if known is None or duplicates == "last":
            devices[row["registration_id"]] = row
        elif duplicates == "refuse":
            return None
        else:
            for name in ("city", "amount", "day", "seen", "code"):
                if None not in (known[name], row[name]) and known[name] != row[name]:
                    return None
            merged = {name: row[name] if known[name] is None else known[name] for name in row}
            devices[row["registration_id"]] = merged | {"flag": known["flag"] or row["flag"]}
    return devices


def ask(index: DeviceIndex, devices: dict[str, dict[str, Any]]) -> list[str]:
    """The questions that the index answers otherwise than the devices of the plain reader."""
    roles = {name: attribute.role for name, attribute in index.attributes.items()}
    questions = {"everyone": set(devices)}
    for device in devices.values():
        for name, value in device.items():
            if value is not None and name not in ("registration_id", "flag"):
                key = "bare" if roles[name] == "tags" else name
                text = f'{name} = "{value.isoformat()}"' if name == "seen" else f"{name} = {value}"
                if name in ("city", "code"):
                    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
                    text = f'{key}:"{escaped}"' if roles[name] == "string" else f"{name} = {float(value)}"
                questions[text] = {id_ for id_, each in devices.items() if each[name] == value}
    if any(device["flag"] is not None for device in devices.values()):
        questions["flag"] = {id_ for id_, each in devices.items() if each["flag"]}
    return [text for text, expected in questions.items() if set(index.resolve(text).ids()) != expected]


@pytest.mark.parametrize("part", range(PARTS))
def test_messy_csv_is_read_as_by_a_plain_reader_or_refused(part, tmp_path, monkeypatch):
    monkeypatch.setattr(regular_scan, "CHUNK_BYTES", 512)
    built = 0
    for seed in range(part, FILES, PARTS):
        file = MessyFile(seed)
        content = file.to_bytes()
        path = tmp_path / f"{seed}.csv"
        path.write_bytes(content)
        good, bad = read_plainly(content, file)
        devices = combine(good, file.options["duplicates"])
        try:
            index = DeviceIndex.build(path, tmp_path / f"{seed}.index", **file.options)
        except AudienceError as error:
            assert error.code in KNOWN_REFUSALS or (error.code == "no-good-row" and not good), (seed, error)
            continue
        built += 1
        assert not bad or file.options["on_bad_row"] == "reject", (seed, bad)
        assert devices is not None, (seed, "duplicates")
        assert ask(index, devices) == [], seed
        if file.options["on_bad_row"] == "reject":
            text = (tmp_path / f"{seed}.index.rejects.csv").read_bytes().decode()
            rejects = list(csv.reader(StringIO(text, newline="")))[1:]
            assert sorted(int(row[1]) for row in rejects) == [line for line, _ in bad], seed
    assert built >= FILES / PARTS / 4
