"""Credentials come from the environment or a private file, and no secret appears anywhere else."""

import json
import sqlite3
import traceback
from datetime import UTC, datetime
from html import escape
from importlib import import_module
from urllib.parse import quote

import httpx
import pytest
from callers import make_keys
from test_messages import SENDABLE_VENDORS

from audience import DeliveryError, get_vendor
from audience.delivery import resume, send
from audience.delivery.transport.credentials import load_credentials, resolve_host
from audience.delivery.transport.redaction import REDACTED, redact_secrets
from audience.testing import fake_vendor
from audience.testing.fake_vendor import (
    MESSAGE,
    UNLIMITED,
    FakeService,
    make_delivery,
    make_ids,
    make_send_options,
    make_setup_method,
    write_run_folder,
)
from audience.vendors.delivery_spec import Accepted, Credentials, Request, Response, SigningContext

registry = import_module("audience.vendors")  # the name `audience.vendors` is a function

FAKE_DELIVERY = make_delivery(optional_keys={"signature": ("new", "old")})
SECRET = "s3cr3t-w0rd"
KEY_VARIABLES = {"AUDIENCE_FAKE_KEY": "k1", "AUDIENCE_FAKE_SECRET": SECRET}


def write_credentials(tmp_path, text, mode=0o600):
    file = tmp_path / "keys.toml"
    file.write_text(text)
    file.chmod(mode)
    return file


CREDENTIALS_TOML = f'[fake]\nkey = "k2"\nsecret = "{SECRET}"\nhost = "there"\nsignature = "old"\n'


def test_keys_come_from_the_environment():
    result = load_credentials("fake", FAKE_DELIVERY, environment=KEY_VARIABLES)
    assert result == Credentials("https://push.example", {"key": "k1", "secret": SECRET, "signature": "new"})


def test_credentials_file_overrides_environment(tmp_path):
    file = write_credentials(tmp_path, CREDENTIALS_TOML)
    wanted = Credentials("https://there.example", {"key": "k2", "secret": SECRET, "signature": "old"})
    assert load_credentials("fake", FAKE_DELIVERY, file=file, environment=KEY_VARIABLES) == wanted
    assert (
        load_credentials("fake", FAKE_DELIVERY, environment={**KEY_VARIABLES, "AUDIENCE_CREDENTIALS": str(file)})
        == wanted
    )
    file = write_credentials(tmp_path, '[fake]\nkey = "k2"\n')
    with pytest.raises(DeliveryError, match=r"fake\.secret is not set"):
        load_credentials("fake", FAKE_DELIVERY, file=file, environment=KEY_VARIABLES)
    file = write_credentials(tmp_path, "[other]\nx = 1\n")
    assert load_credentials("fake", FAKE_DELIVERY, file=file, environment=KEY_VARIABLES).keys["key"] == "k1"


def test_host_option_overrides_credentials_file(tmp_path):
    file = write_credentials(tmp_path, CREDENTIALS_TOML)
    assert (
        load_credentials("fake", FAKE_DELIVERY, file=file, host="here", environment={}).base_url
        == "https://push.example"
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_world_readable_credentials_file_is_rejected(tmp_path, mode):
    with pytest.raises(DeliveryError, match="chmod 600"):
        load_credentials(
            "fake", FAKE_DELIVERY, file=write_credentials(tmp_path, CREDENTIALS_TOML, mode), environment={}
        )


BAD_CREDENTIALS = {
    "key outside a section": "key = 1",
    "invalid TOML": f"[fake]\nsecret = {SECRET}",
    "unknown key": f'[fake]\nkey = "k"\nsecret = "{SECRET}"\nsecrte = "x"',
    "list as a key": f'[fake]\nkey = ["k"]\nsecret = "{SECRET}"',
    "line feed in a secret": f'[fake]\nkey = "k"\nsecret = "{SECRET}\\n"',
    "invalid choice": f'[fake]\nkey = "k"\nsecret = "{SECRET}"\nsignature = "newest"',
    "empty section": "[fake]\n",
    "boolean": f'[fake]\nkey = true\nsecret = "{SECRET}"',
    "negative number": f'[fake]\nkey = -1\nsecret = "{SECRET}"',
    "trailing blank": f'[fake]\nkey = "k"\nsecret = "{SECRET} "',
    "number of many digits": f'[fake]\nsecret = "{SECRET}"\nkey = {"9" * 5_000}',
    "number of many hexadecimal digits": f'[fake]\nsecret = "{SECRET}"\nkey = 0x{"f" * 5_000}',
    "many brackets": f'[fake]\nsecret = "{SECRET}"\nkey = {"[" * 5_000}',
}


@pytest.mark.parametrize("text", BAD_CREDENTIALS.values(), ids=BAD_CREDENTIALS.keys())
def test_bad_credentials_file_error_hides_contents(tmp_path, text):
    with pytest.raises(DeliveryError) as caught:
        load_credentials("fake", FAKE_DELIVERY, file=write_credentials(tmp_path, text), environment={})
    assert SECRET not in "".join(traceback.format_exception(caught.value))


KEY_FILE_DELIVERY = make_delivery(key_file="account")
KEY_FILES = {
    "key and secret": (f'{{"key": "k3", "secret": "-----\\n{SECRET}\\n", "token_uri": "https://other.example"}}', None),
    "other type": (f'{{"type": "authorized_user", "refresh_token": "{SECRET}"}}', "missing-key"),
    "cut off": (f'{{"key": "k3", "secret": "{SECRET}"', "bad-credentials"),
    "list": (f'["{SECRET}"]', "bad-credentials"),
    "many brackets": (f'{{"secret": "{SECRET}", "key": {"[" * 200_000}', "bad-credentials"),
    "number": (f'{{"key": 7, "secret": "{SECRET}"}}', "missing-key"),
    "lines in a name": (f'{{"key": "k\\nx", "secret": "{SECRET}"}}', "bad-key"),
    "half of a character": (f'{{"key": "\\ud800", "secret": "{SECRET}"}}', "bad-key"),
    "letters in a secret": (f'{{"key": "k3", "secret": "{SECRET}\\u00e9"}}', "bad-key"),
}


def load_key_file(path):
    return load_credentials("fake", KEY_FILE_DELIVERY, environment={"AUDIENCE_FAKE_ACCOUNT": str(path)})


@pytest.mark.parametrize(("text", "code"), KEY_FILES.values(), ids=KEY_FILES.keys())
def test_key_file_gives_its_keys_or_says_why_not(tmp_path, text, code):
    file = write_credentials(tmp_path, text)
    if code is None:
        assert load_key_file(file) == Credentials("https://push.example", {"key": "k3", "secret": f"-----\n{SECRET}\n"})
        return
    with pytest.raises(DeliveryError) as caught:
        load_key_file(file)
    assert {problem.code for problem in caught.value.problems} == {code}
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_key_file_of_others_or_nowhere_is_rejected(tmp_path):
    open_file = write_credentials(tmp_path, f'{{"key": "k3", "secret": "{SECRET}"}}', mode=0o644)
    places = {open_file: "open-credentials", tmp_path / "none.json": "unreadable"}
    for path, code in {**places, "~nobody-of-this-name/key.json": "bad-credentials", "a\0b": "bad-credentials"}.items():
        with pytest.raises(DeliveryError) as caught:
            load_key_file(path)
        assert [problem.code for problem in caught.value.problems] == [code], path


def test_missing_keys_are_named():
    with pytest.raises(DeliveryError, match="AUDIENCE_FAKE_KEY is not set") as caught:
        load_credentials("fake", FAKE_DELIVERY, environment={"AUDIENCE_FAKE_SECRET": SECRET})
    assert SECRET not in str(caught.value)


VALID_HOSTS = {
    "there": "https://there.example",
    "https://proxy.example/push/": "https://proxy.example/push",
    "http://127.0.0.1:8080": "http://127.0.0.1:8080",
    "http://localhost": "http://localhost",
    "http://[::1]:8080": "http://[::1]:8080",
}


@pytest.mark.parametrize("host", VALID_HOSTS)
def test_host_is_name_or_url(host):
    assert resolve_host(host, FAKE_DELIVERY) == VALID_HOSTS[host]


@pytest.mark.parametrize(
    "host",
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
def test_invalid_host_is_rejected(host):
    with pytest.raises(DeliveryError, match=r"unknown-host|plain-http|bad-host"):
        resolve_host(host, FAKE_DELIVERY)


def test_host_of_a_vendor_without_a_default_has_to_be_named():
    delivery = make_delivery(has_default_host=False)
    assert resolve_host("there", delivery) == "https://there.example"
    with pytest.raises(DeliveryError, match="one of here, there") as caught:
        load_credentials("fake", delivery, environment=KEY_VARIABLES)
    assert caught.value.code == "missing-key"


@pytest.fixture
def vendor():
    unregister = fake_vendor.register_fake_vendors(make_delivery(make_setup_method(max_uses=3)))
    yield
    unregister()


def test_secret_is_not_in_ledger_status_or_error(vendor, tmp_path, caplog, capsys):
    """Also if the vendor echoes the secret in its reply."""
    caplog.set_level("DEBUG")
    credentials = Credentials("https://push.example", {"key": "k1", "secret": SECRET})
    service = FakeService()

    def echo_secret(request):
        service.call_count += 1
        error = {3: "refused", 4: "in-doubt", 5: "again", 9: "stopped"}.get(service.call_count)
        message = f"bad signature {request.headers['authorization']} of {SECRET}"
        if error:
            return httpx.Response(401, json={"error": error, "words": message})
        return httpx.Response(200, json={"accepted": f"m-{SECRET}-{service.call_count}"})

    folder = write_run_folder(tmp_path / "run", make_ids(95))
    options = make_send_options(httpx.MockTransport(echo_secret))
    result = send(folder, MESSAGE, credentials, UNLIMITED, options=options)
    assert result.stop_reason is not None
    assert "***" in result.stop_reason.message
    result = resume(folder, credentials, options=options)
    assert result.batch_counts["accepted"] == 8
    for file in folder.iterdir():
        assert SECRET.encode() not in file.read_bytes()
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        assert "bad signature" in ledger.execute("SELECT group_concat(problem) FROM batch").fetchone()[0]
    ledger.close()
    out = capsys.readouterr()
    for text in (repr(result), str(result.stop_reason), repr(credentials), caplog.text, out.out, out.err):
        assert SECRET not in text


SECRET_ECHOES = {
    "cut in the middle of the secret": lambda secret, signed: "x" * 195 + secret,
    "cut in the middle of the header": lambda secret, signed: "x" * 190 + signed,
    "in JSON": lambda secret, signed: json.dumps({"ret_code": 1, "err_msg": "'" + secret}),
    "in JSON with escaped slashes": lambda secret, signed: json.dumps({"message": signed}).replace("/", "\\/"),
    "in a URL": lambda secret, signed: f"<a href='/?key={quote(secret, safe='')}'>",
    "in HTML": lambda secret, signed: f"<p>{escape(secret)}</p>",
}


@pytest.mark.parametrize("name", ["engagelab", "tpns", "emas", "emas_v2"])
@pytest.mark.parametrize("echo", SECRET_ECHOES.values(), ids=SECRET_ECHOES.keys())
def test_reply_is_redacted_in_every_encoding(name, echo):
    secret = "S'ecr&et/\\\"w0rd>"
    delivery = registry.get_vendor(name).delivery
    credentials = Credentials(
        "https://x", dict.fromkeys(delivery.required_keys, "123") | dict.fromkeys(delivery.secret_keys, secret)
    )
    request = delivery.sign(Request(method="POST", path="/"), credentials, SigningContext(datetime.now(UTC), "nonce"))
    signed = next((value for key, value in request.headers.items() if key.lower() in ("authorization", "sign")))
    for status in (200, 401, 500):
        response = Response(status, echo(secret, signed).encode())
        message = str(
            redact_secrets(delivery.native_method.parse_reply, request, credentials, delivery)(response).problem
        )
        assert REDACTED in message
        assert "w0rd" not in message
        assert secret[:4] not in message
        assert signed.rpartition(" ")[2][:8] not in message


@pytest.mark.parametrize("name", SENDABLE_VENDORS)
def test_proof_of_who_makes_a_call_is_never_quoted(name):
    """A server that fails may echo headers and the query: what of them follows from a secret or a token is hidden."""
    delivery = registry.get_vendor(name).delivery
    keys = dict.fromkeys(delivery.required_keys, "123") | make_keys(name)
    request, now = Request(method="POST", path="/", content=b"{}"), datetime.now(UTC)

    def sign(end):
        own = {key: f"{value}{end}" if key in delivery.secret_keys else value for key, value in keys.items()}
        credentials = Credentials("https://x", own)
        return delivery.sign(request, credentials, SigningContext(now, "nonce", f"acc3ss-t0ken{end}")), credentials

    (signed, credentials), (other, _) = sign(""), sign("2")
    pairs = [(signed.headers, other.headers), (signed.query, other.query)]
    proofs = [mine[key].rpartition(" ")[2] for mine, others in pairs for key in mine if mine[key] != others[key]]
    assert proofs
    response = Response(500, json.dumps(proofs).encode())
    shown = redact_secrets(delivery.native_method.parse_reply, signed, credentials, delivery)(response).problem.message
    assert REDACTED in shown
    assert not [proof for proof in proofs if proof in shown]


@pytest.mark.parametrize("secret", ["", "s", "witho"])
def test_short_secret_mangles_no_text(secret):
    delivery = make_delivery()
    request = Request(method="POST", path="/", headers={"sign": secret}, query={"signature": secret})
    content = json.dumps({"error": "refused", "words": "send without options"}).encode()
    parse_redacted = redact_secrets(
        delivery.native_method.parse_reply, request, Credentials("https://x", {"key": "k", "secret": secret}), delivery
    )
    assert "send without options" in str(parse_redacted(Response(400, content)).problem)


def test_secret_is_not_in_traceback(vendor, tmp_path):
    """Also if the code raises after it has signed a request."""
    credentials = Credentials("https://push.example", {"key": "k1", "secret": SECRET})

    def raise_bug(request):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError) as caught:
        options = make_send_options(httpx.MockTransport(raise_bug))
        send(write_run_folder(tmp_path / "run", make_ids(5)), MESSAGE, credentials, UNLIMITED, options=options)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_secret_that_is_a_public_key_too_stays_in_a_reply():
    """JPush's cids are made of the app_key, which tests may have taken for the secret as well."""
    delivery = get_vendor("jpush").delivery
    credentials = Credentials("https://x", dict.fromkeys(delivery.required_keys, "1500000001"))
    request = delivery.native_method.key_source.build_request(credentials)
    parse = redact_secrets(delivery.native_method.key_source.parse_reply, request, credentials, delivery)
    assert parse(Response(200, b'{"cidlist": ["1500000001-7"]}')) == Accepted("1500000001-7")
