"""How a request to EMAS is signed: ACS3-HMAC-SHA256, or the older HMAC-SHA1 of RPC requests.

https://help.aliyun.com/document_detail/2593177.html and https://help.aliyun.com/document_detail/157269.html,
read 2026-11-21.
"""

import base64
import hashlib
import hmac
from dataclasses import replace
from urllib.parse import urlsplit

from audience.vendors.delivery_spec import Application, Request, Stamp
from audience.vendors.emas.percent_encoding import encoded, pairs
from audience.vendors.emas.timestamps import said

ACS3 = "ACS3-HMAC-SHA256"
SHA1 = "HMAC-SHA1"
CHOICES = {"signature": (ACS3, SHA1)}
ACTION, VERSION = "x-acs-action", "x-acs-version"
_PORTS = {"https": 443, "http": 80}


def sign(request: Request, application: Application, stamp: Stamp) -> Request:
    """*request* with the signature that *application* chose: in its headers, or of old in its query."""
    return _SIGNERS[application.keys.get("signature") or ACS3](request, application, stamp)


def _acs3(request: Request, application: Application, stamp: Stamp) -> Request:
    digest = hashlib.sha256(request.content).hexdigest()
    headers = {
        **request.headers,
        "host": _authority(application.host),
        "accept": "application/json",
        "x-acs-date": said(stamp.at),
        "x-acs-signature-nonce": stamp.nonce,
        "x-acs-content-sha256": digest,
    }
    names = sorted(headers)
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    signed = ";".join(names)
    canonical = "\n".join([request.method, request.path, _canonical(pairs(request.query)), lines, signed, digest])
    text = f"{ACS3}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    mac = hmac.new(application.keys["access_key_secret"].encode(), text.encode(), hashlib.sha256).hexdigest()
    who = application.keys["access_key_id"]
    headers["authorization"] = f"{ACS3} Credential={who},SignedHeaders={signed},Signature={mac}"
    return replace(request, headers=headers)


def _sha1(request: Request, application: Application, stamp: Stamp) -> Request:
    query = {
        **request.query,
        "Action": request.headers[ACTION],
        "Version": request.headers[VERSION],
        "Format": "json",
        "Timestamp": said(stamp.at),
        "SignatureNonce": stamp.nonce,
        "SignatureMethod": SHA1,
        "SignatureVersion": "1.0",
        "AccessKeyId": application.keys["access_key_id"],
    }
    text = f"{request.method}&{encoded('/')}&{encoded(_canonical([*pairs(query), *_form(request)]))}"
    key = f"{application.keys['access_key_secret']}&"
    mac = hmac.new(key.encode(), text.encode(), hashlib.sha1).digest()
    return replace(request, query={**query, "Signature": base64.b64encode(mac).decode()})


_SIGNERS = {ACS3: _acs3, SHA1: _sha1}


def _form(request: Request) -> list[str]:
    """The encoded pairs of the form that *request* holds."""
    return request.content.decode().replace("+", "%20").split("&") if request.content else []


def _canonical(said: list[str]) -> str:
    """The pairs *said* in the order of their names.

    >>> _canonical(["b=1", "a.2=3", "a=2"])
    'a=2&a.2=3&b=1'
    """
    return "&".join(sorted(said, key=lambda pair: pair.partition("=")[0]))


def _authority(host: str) -> str:
    """What the header Host says of the URL *host*.

    >>> _authority("https://cloudpush.aliyuncs.com"), _authority("http://127.0.0.1:8080/")
    ('cloudpush.aliyuncs.com', '127.0.0.1:8080')
    """
    parts = urlsplit(host)
    named = parts.hostname or ""
    name = f"[{named}]" if ":" in named else named
    return name if parts.port in (None, _PORTS.get(parts.scheme)) else f"{name}:{parts.port}"
