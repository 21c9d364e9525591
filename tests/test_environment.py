"""Proxies and certificates of the environment are checked before anything is begun, and never quoted."""

import os
import traceback

import httpx
import pytest

from audience import DeliveryError
from audience.delivery import campaign_runs, resume, send
from audience.delivery.transport.http import open_transport, require_usable_environment
from audience.messages import Message
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    FakeService,
    make_delivery,
    make_ids,
    make_send_options,
    register_fake_vendors,
    write_campaign_folder,
    write_run_folder,
)
from audience.vendors.delivery_spec import Credentials

REMOTE = Credentials("https://push.example", CREDENTIALS.keys)
PASSWORD = "pa55word-of-the-proxy"
PROXY_VARIABLES = ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "http_proxy", "https_proxy"]
OTHER_VARIABLES = ["NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"]
BAD_PROXIES = [
    f"socks5://user:{PASSWORD}@proxy.example:1080",
    f"socks5h://user:{PASSWORD}@proxy.example:1080",
    f"socks4://user:{PASSWORD}@proxy.example:1080",
    f"ftp://user:{PASSWORD}@proxy.example:21",
    f"http://user:{PASSWORD}@proxy.example:port",
    f"http://user:{PASSWORD}@proxy.example:99999",
    f"http://user:{PASSWORD}@proxy.example:0",
    f"http://user:{PASSWORD}@proxy.example:-1",
    f"http://user:{PASSWORD}@[::1",
    f"http://user:{PASSWORD}@:8080",
    f"http://user:{PASSWORD}@two hosts:8080",
    f"http://user:{PASSWORD}@one:8080,http://two:8080",
    f"http://user:{PASSWORD}@proxy.example:80\n",
    f"://{PASSWORD}",
]
GOOD_PROXIES = [
    "http://proxy.example:8080",
    "proxy.example:8080",
    "proxy.example",
    f"https://user:{PASSWORD}@proxy.example",
    f"HTTP://user:p@ss:{PASSWORD}@[2001:db8::1]:8080/",
    "",
]
BAD_HOST_LISTS = ["[::1", "localhost, http://host:port", "[::1]"]
GOOD_HOST_LISTS = ["localhost,127.0.0.1, ::1", "*", ".corp.example,10.0.0.0/8", "", "push.example:443", "*, [::1"]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in [*PROXY_VARIABLES, *OTHER_VARIABLES]:
        monkeypatch.delenv(name, raising=False)
    unregister = register_fake_vendors(make_delivery(), names=["fake", "other"])
    yield monkeypatch
    unregister()


def find_problems() -> list[str]:
    """Codes of what is wrong, of which no text or traceback may name the password."""
    try:
        require_usable_environment(REMOTE.base_url)
    except DeliveryError as error:
        assert all(problem.hint for problem in error.problems)
        assert PASSWORD not in "".join(traceback.format_exception(error))
        return [f"{problem.code} {problem.message.split()[0].rstrip(':')}" for problem in error.problems]
    httpx.AsyncClient()  # a client can be built
    return []


@pytest.mark.parametrize("name", PROXY_VARIABLES)
@pytest.mark.parametrize("value", BAD_PROXIES)
def test_bad_proxy_is_refused_by_its_name(environment, name, value):
    environment.setenv(name, value)
    assert find_problems() == [f"bad-proxy {name}"]


@pytest.mark.parametrize("value", GOOD_PROXIES)
def test_proxy_is_accepted(environment, value):
    environment.setenv("ALL_PROXY", value)
    assert find_problems() == []


@pytest.mark.parametrize("value", BAD_HOST_LISTS)
def test_bad_list_of_hosts_is_refused(environment, value):
    environment.setenv("NO_PROXY", value)
    assert find_problems() == ["bad-proxy NO_PROXY"]


@pytest.mark.parametrize("value", GOOD_HOST_LISTS)
def test_list_of_hosts_is_accepted(environment, value):
    environment.setenv("NO_PROXY", value)
    assert find_problems() == []


def test_all_bad_variables_are_named_at_once(environment):
    for name in ("ALL_PROXY", "https_proxy"):
        environment.setenv(name, BAD_PROXIES[0])
    environment.setenv("SSL_CERT_FILE", "/nonexistent")
    assert find_problems() == ["bad-proxy ALL_PROXY", "bad-proxy https_proxy", "bad-certificates SSL_CERT_FILE"]


def test_proxy_that_no_client_uses_does_not_matter(environment):
    environment.setenv("HTTP_PROXY", BAD_PROXIES[0])
    environment.setenv("http_proxy", "http://proxy.example")  # which comes first
    environment.setenv("FTP_PROXY", BAD_PROXIES[0])
    assert find_problems() == []


CERTIFICATES = {
    "no file": ("SSL_CERT_FILE", lambda folder: folder / "missing"),
    "a folder as the file": ("SSL_CERT_FILE", lambda folder: folder),
    "an empty file": ("SSL_CERT_FILE", lambda folder: write(folder / "empty.pem", "")),
    "a file of something else": ("SSL_CERT_FILE", lambda folder: write(folder / "other.pem", "certificate")),
    "no folder": ("SSL_CERT_DIR", lambda folder: folder / "missing"),
    "an empty folder": ("SSL_CERT_DIR", lambda folder: folder),
    "a file as the folder": ("SSL_CERT_DIR", lambda folder: write(folder / "a.pem", "")),
    "keys to nowhere": ("SSLKEYLOGFILE", lambda folder: folder / "missing" / "keys"),
    "keys to a folder": ("SSLKEYLOGFILE", lambda folder: folder),
}


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind", CERTIFICATES)
def test_bad_certificates_are_refused(environment, tmp_path, kind):
    name, make = CERTIFICATES[kind]
    environment.setenv(name, str(make(tmp_path)))
    assert find_problems() == [f"bad-certificates {name}"]


def test_certificates_are_accepted(environment, tmp_path):
    import certifi

    environment.setenv("SSL_CERT_FILE", certifi.where())
    environment.setenv("SSL_CERT_DIR", str(tmp_path / "unused"))
    environment.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert find_problems() == []


def describe_folder(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(("name", "value"), [("ALL_PROXY", BAD_PROXIES[0]), ("SSL_CERT_FILE", "/nonexistent")])
def test_nothing_is_begun_with_a_bad_environment(environment, tmp_path, name, value):
    run, campaign = tmp_path / "run", tmp_path / "campaign"
    write_run_folder(run, make_ids(30))
    write_campaign_folder(campaign, fake=make_ids(3), other=make_ids(3))
    before = describe_folder(tmp_path)
    environment.setenv(name, value)
    with pytest.raises(DeliveryError, match=rf"bad-.* {name}"):
        send(run, MESSAGE, REMOTE, UNLIMITED)
    with pytest.raises(DeliveryError, match=rf"bad-.* {name}"):
        campaign_runs.prepare_all(campaign, Message(title="Hi"), lambda vendor: REMOTE, UNLIMITED)
    assert describe_folder(tmp_path) == before


def test_resume_changes_nothing_with_a_bad_environment(environment, tmp_path):
    folder = write_run_folder(tmp_path / "run", make_ids(30))
    send(folder, MESSAGE, REMOTE, UNLIMITED, options=make_send_options(FakeService()))
    before = describe_folder(folder)
    environment.setenv("ALL_PROXY", BAD_PROXIES[0])
    with pytest.raises(DeliveryError, match="bad-proxy"):
        resume(folder, REMOTE, on_doubt="skip")
    with pytest.raises(DeliveryError, match="bad-proxy"):
        campaign_runs.resume_all(folder, lambda vendor: REMOTE, "skip", make_send_options(None))
    assert describe_folder(folder) == before


async def open_remote():
    async with open_transport(make_delivery(), REMOTE, 1, 1):
        pass


def test_every_client_is_checked(environment):
    import asyncio

    environment.setenv("ALL_PROXY", BAD_PROXIES[0])
    with pytest.raises(DeliveryError, match="bad-proxy"):
        asyncio.run(open_remote())


def test_calls_to_this_machine_use_no_proxy(environment):
    environment.setenv("ALL_PROXY", BAD_PROXIES[0])
    environment.setenv("SSL_CERT_FILE", os.devnull)
    require_usable_environment("http://127.0.0.1:8080")
