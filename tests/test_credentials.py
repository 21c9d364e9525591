"""Keys come from the environment or a file that nobody else reads, and no secret turns up anywhere else."""

import json
import sqlite3
import traceback
from datetime import UTC, datetime
from html import escape
from importlib import import_module
from urllib.parse import quote

import fake_vendor
import httpx
import pytest
from fake_vendor import ANY, MESSAGE, Service, delivery, effort, folder_of, ids_of, opened

from audience import DeliveryError
from audience.delivery import resume, send
from audience.delivery.transport.credentials import HIDDEN, application, host_of, scrubbing
from audience.vendors.delivery_spec import Application, Request, Response, Stamp

registry = import_module("audience.vendors")  # the name `audience.vendors` is a function

FAKE = delivery(choices={"signature": ("new", "old")})
SECRET = "s3cr3t-w0rd"
KNOWN = {"AUDIENCE_FAKE_KEY": "k1", "AUDIENCE_FAKE_SECRET": SECRET}


def given(tmp_path, text, mode=0o600):
    file = tmp_path / "keys.toml"
    file.write_text(text)
    file.chmod(mode)
    return file


TABLE = f'[fake]\nkey = "k2"\nsecret = "{SECRET}"\nhost = "there"\nsignature = "old"\n'


def test_keys_come_from_the_environment():
    found = application("fake", FAKE, environment=KNOWN)
    assert found == Application("https://push.example", {"key": "k1", "secret": SECRET, "signature": "new"})


def test_keys_come_from_a_file_and_then_from_it_alone(tmp_path):
    file = given(tmp_path, TABLE)
    wanted = Application("https://there.example", {"key": "k2", "secret": SECRET, "signature": "old"})
    assert application("fake", FAKE, file=file, environment=KNOWN) == wanted
    assert application("fake", FAKE, environment={**KNOWN, "AUDIENCE_CREDENTIALS": str(file)}) == wanted
    file = given(tmp_path, '[fake]\nkey = "k2"\n')
    with pytest.raises(DeliveryError, match=r"fake\.secret is not given"):
        application("fake", FAKE, file=file, environment=KNOWN)
    file = given(tmp_path, "[other]\nx = 1\n")
    assert application("fake", FAKE, file=file, environment=KNOWN).keys["key"] == "k1"


def test_a_host_that_is_said_comes_before_that_of_the_file(tmp_path):
    file = given(tmp_path, TABLE)
    assert application("fake", FAKE, file=file, host="here", environment={}).host == "https://push.example"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path, mode):
    with pytest.raises(DeliveryError, match="chmod 600"):
        application("fake", FAKE, file=given(tmp_path, TABLE, mode), environment={})


BAD = {
    "no table": "key = 1",
    "no TOML": f"[fake]\nsecret = {SECRET}",
    "an unknown key": f'[fake]\nkey = "k"\nsecret = "{SECRET}"\nsecrte = "x"',
    "a key that is no text": f'[fake]\nkey = ["k"]\nsecret = "{SECRET}"',
    "a secret with a line feed": f'[fake]\nkey = "k"\nsecret = "{SECRET}\\n"',
    "an unknown choice": f'[fake]\nkey = "k"\nsecret = "{SECRET}"\nsignature = "newest"',
    "nothing": "[fake]\n",
    "a truth": f'[fake]\nkey = true\nsecret = "{SECRET}"',
    "a negative number": f'[fake]\nkey = -1\nsecret = "{SECRET}"',
    "blanks around it": f'[fake]\nkey = "k"\nsecret = "{SECRET} "',
    "a number of many digits": f'[fake]\nsecret = "{SECRET}"\nkey = {"9" * 5_000}',
    "a number of many hexadecimal digits": f'[fake]\nsecret = "{SECRET}"\nkey = 0x{"f" * 5_000}',
    "many brackets": f'[fake]\nsecret = "{SECRET}"\nkey = {"[" * 5_000}',
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_told_without_what_is_in_it(tmp_path, text):
    with pytest.raises(DeliveryError) as caught:
        application("fake", FAKE, file=given(tmp_path, text), environment={})
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_what_is_missing_is_named():
    with pytest.raises(DeliveryError, match="AUDIENCE_FAKE_KEY is not given") as caught:
        application("fake", FAKE, environment={"AUDIENCE_FAKE_SECRET": SECRET})
    assert SECRET not in str(caught.value)


HOSTS = {
    "there": "https://there.example",
    "https://proxy.example/push/": "https://proxy.example/push",
    "http://127.0.0.1:8080": "http://127.0.0.1:8080",
    "http://localhost": "http://localhost",
    "http://[::1]:8080": "http://[::1]:8080",
}


@pytest.mark.parametrize("said", HOSTS)
def test_a_host_is_a_name_or_a_url(said):
    assert host_of(said, FAKE) == HOSTS[said]


@pytest.mark.parametrize(
    "said",
    [
        "ther",
        "http://push.example",
        "ftp://there",
        "http://localhost.evil.example",
        "https://u:p@x",
        "https://x:port",
        "https://x y",
        "https://x\n",
        "https://x/\\y",
    ],
)
def test_another_host_is_refused(said):
    with pytest.raises(DeliveryError, match=r"unknown-host|plain-http|bad-host"):
        host_of(said, FAKE)


@pytest.fixture
def vendor():
    undo = fake_vendor.register(delivery(opened(calls=3)))
    yield
    undo()


def test_no_secret_is_in_a_ledger_a_status_or_an_error(vendor, tmp_path, caplog, capsys):
    """Also where the vendor says it in its reply, as an echo of what it was sent."""
    caplog.set_level("DEBUG")
    known = Application("https://push.example", {"key": "k1", "secret": SECRET})
    service = Service()

    def echo(request):
        service.calls += 1
        error = {3: "refused", 4: "in-doubt", 5: "again", 9: "stopped"}.get(service.calls)
        words = f"bad signature {request.headers['authorization']} of {SECRET}"
        if error:
            return httpx.Response(401, json={"error": error, "words": words})
        return httpx.Response(200, json={"accepted": f"m-{SECRET}-{service.calls}"})

    folder = folder_of(tmp_path / "run", ids_of(95))
    through = effort(httpx.MockTransport(echo))
    found = send(folder, MESSAGE, known, ANY, effort=through)
    assert found.stopped is not None
    assert "***" in found.stopped.message
    found = resume(folder, known, effort=through)
    assert found.batches["accepted"] == 8
    for file in folder.iterdir():
        assert SECRET.encode() not in file.read_bytes()
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        assert "bad signature" in ledger.execute("SELECT group_concat(problem) FROM batch").fetchone()[0]
    ledger.close()
    out = capsys.readouterr()
    for text in (repr(found), str(found.stopped), repr(known), caplog.text, out.out, out.err):
        assert SECRET not in text


ECHOES = {
    "cut in the middle of it": lambda secret, signed: "x" * 195 + secret,
    "the header, cut": lambda secret, signed: "x" * 190 + signed,
    "as JSON": lambda secret, signed: json.dumps({"ret_code": 1, "err_msg": "'" + secret}),
    "as JSON with escaped slashes": lambda secret, signed: json.dumps({"message": signed}).replace("/", "\\/"),
    "as a URL": lambda secret, signed: f"<a href='/?key={quote(secret, safe='')}'>",
    "as a page": lambda secret, signed: f"<p>{escape(secret)}</p>",
}


@pytest.mark.parametrize("name", ["engagelab", "tpns", "emas", "emas_v2"])
@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
def test_a_reply_shows_no_part_of_a_secret_however_it_is_written(name, echo):
    secret = "S'ecr&et/\\\"w0rd>"
    told = registry.vendor(name).delivery
    known = Application("https://x", dict.fromkeys(told.keys, "123") | dict.fromkeys(told.secret, secret))
    request = told.sign(Request(method="POST", path="/"), known, Stamp(datetime.now(UTC), "nonce"))
    signed = next((value for key, value in request.headers.items() if key.lower() in ("authorization", "sign")))
    for status in (200, 401, 500):
        response = Response(status, echo(secret, signed).encode())
        words = str(scrubbing(told.native.reply, request, known, told)(response).problem)
        assert HIDDEN in words
        assert "w0rd" not in words
        assert secret[:4] not in words
        assert signed.rpartition(" ")[2][:8] not in words


def test_no_secret_is_in_a_traceback(vendor, tmp_path):
    """A fault of ours, in the middle of a request that is signed already."""
    known = Application("https://push.example", {"key": "k1", "secret": SECRET})

    def broken(request):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError) as caught:
        through = effort(httpx.MockTransport(broken))
        send(folder_of(tmp_path / "run", ids_of(5)), MESSAGE, known, ANY, effort=through)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
