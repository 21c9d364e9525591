"""Proxies and certificates that the environment names, which are checked before anything is begun.

httpx reads these variables when a client is built, and says what is wrong with them in texts that quote them. The URL
of a proxy may have a password, so that no value is ever repeated here: only the name of its variable.
"""

import os
import re
import ssl
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path
from urllib.request import getproxies

import httpx

from audience.errors import Problem

PROXY_SCHEMES = ("all", "http", "https")  # of the variables ALL_PROXY, HTTP_PROXY and HTTPS_PROXY
CERTIFICATE_FILE, CERTIFICATE_FOLDER = "SSL_CERT_FILE", "SSL_CERT_DIR"
KEY_LOG = "SSLKEYLOGFILE"  # `ssl` opens it, to write the keys of connections to
VALID_PORTS = range(1, 65_536)
HOST_NAME = re.compile(r"[\w.:-]+")
PROXY_HINT = "write http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT, or unset the variable"
SOCKS_HINT = "run `pip install 'httpx[socks]'`, or use an HTTP proxy"
NO_PROXY_HINT = "write names and addresses of hosts with commas between them, or unset the variable"
CERTIFICATE_HINT = "name a file of certificates in PEM; or unset the variable, to use those of the package certifi"
FOLDER_HINT = (
    "name a folder that `openssl rehash` has filled; or unset the variable, to use those of the package certifi"
)


def find_proxy_problems() -> Iterator[Problem]:
    """Yield what is wrong with the proxies of the environment."""
    values = getproxies()
    hosts = [host.strip() for host in values.get("no", "").split(",") if host.strip()]
    if "*" in hosts:
        return  # httpx takes no proxy then
    for scheme in PROXY_SCHEMES:
        if (value := values.get(scheme)) and (problem := _find_proxy_problem(_variable_name(scheme), value)):
            yield problem
    if not all(map(_is_host_pattern, hosts)):
        message = f"{_variable_name('no')} is not a list of hosts; its value is not repeated here"
        yield Problem("bad-proxy", message, hint=NO_PROXY_HINT)


def has_proxy() -> bool:
    """Return whether the environment names a proxy for some of the hosts."""
    values = getproxies()
    return any(values.get(scheme) for scheme in PROXY_SCHEMES)


def _find_proxy_problem(variable: str, value: str) -> Problem | None:
    """Return why no client can use the proxy *value*, or None.

    >>> _find_proxy_problem("ALL_PROXY", "proxy.example:8080")
    >>> print(_find_proxy_problem("ALL_PROXY", "ftp://user:password@proxy.example").message)
    ALL_PROXY is not the URL of a proxy; its value is not repeated here
    """
    try:
        if _is_proxy(value):
            return None
    except ImportError:
        return Problem("bad-proxy", f"{variable} names a SOCKS proxy, which needs the package socksio", hint=SOCKS_HINT)
    message = f"{variable} is not the URL of a proxy; its value is not repeated here"
    return Problem("bad-proxy", message, hint=PROXY_HINT)


def _is_proxy(value: str) -> bool:
    """Return whether httpx can use the proxy *value*. Raises ImportError if that needs a package."""
    try:
        proxy = httpx.Proxy(value if "://" in value else f"http://{value}")
        httpx.AsyncHTTPTransport(proxy=proxy, verify=False, trust_env=False)
    except ImportError:
        raise
    except Exception:  # noqa: BLE001 whatever it is, its text may quote the URL
        return False
    has_port = proxy.url.port is None or proxy.url.port in VALID_PORTS
    return has_port and HOST_NAME.fullmatch(proxy.url.host) is not None


def _is_host_pattern(host: str) -> bool:
    """Return whether httpx can compare hosts with an entry of NO_PROXY."""
    try:
        pattern = host if "://" in host else f"all://[{host}]" if _is_ipv6(host) else f"all://*{host}"
        httpx.AsyncClient(mounts={pattern: None}, trust_env=False, verify=False)
    except Exception:  # noqa: BLE001 as above
        return False
    return True


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host.partition("/")[0])
    except ValueError:
        return False
    return True


def _variable_name(scheme: str) -> str:
    """Return the name of the variable of a scheme as it is set; one in lower case comes first.

    >>> _variable_name("scheme")
    'SCHEME_PROXY'
    """
    name = f"{scheme}_proxy"
    found = [variable for variable, value in os.environ.items() if value and variable.lower() == name]
    return name if name in found else next(iter(found), name.upper())


def find_certificate_problems() -> Iterator[Problem]:
    """Yield what is wrong with the certificates of the environment; of a file and a folder, httpx takes the file."""
    file, folder, key_log = (os.environ.get(name) for name in (CERTIFICATE_FILE, CERTIFICATE_FOLDER, KEY_LOG))
    if file and not _has_certificates(file):
        message = f"{CERTIFICATE_FILE}: no certificates can be read from the file that it names"
        yield Problem("bad-certificates", message, hint=CERTIFICATE_HINT)
    if folder and not file and not any(map(_has_files, folder.split(os.pathsep))):
        message = f"{CERTIFICATE_FOLDER}: there are no certificates in the folder that it names"
        yield Problem("bad-certificates", message, hint=FOLDER_HINT)
    if key_log and not _is_writable(Path(key_log)):
        message = f"{KEY_LOG}: the file that it names cannot be written"
        yield Problem("bad-certificates", message, hint="unset the variable")


def _has_certificates(file: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except (OSError, ValueError):  # those of ssl are errors of the system, too
        return False
    return True


def _has_files(folder: str) -> bool:
    try:
        return any(Path(folder).iterdir())
    except (OSError, ValueError):
        return False


def _is_writable(file: Path) -> bool:
    try:
        return not file.is_dir() and os.access(file if file.exists() else file.absolute().parent, os.W_OK)
    except (OSError, ValueError):
        return False
