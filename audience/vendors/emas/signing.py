"""Signatures of EMAS: ACS3-HMAC-SHA256, or the older HMAC-SHA1 of RPC requests.

Sources: https://help.aliyun.com/document_detail/2593177.html and https://help.aliyun.com/document_detail/157269.html,
read 2026-11-21.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from audience.vendors.delivery_spec import Credentials, Request, SigningContext
from audience.vendors.emas.timestamps import format_timestamp

ACS3 = "ACS3-HMAC-SHA256"
SHA1 = "HMAC-SHA1"
SIGNATURE_KEYS = {"signature": (ACS3, SHA1)}
ACTION_HEADER, VERSION_HEADER = "x-acs-action", "x-acs-version"
_DEFAULT_PORTS = {"https": 443, "http": 80}
_SAFE_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"


def sign(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    """Add the signature that the application chose, in the headers or, for the older one, in the query."""
    return _SIGNERS[credentials.keys.get("signature") or ACS3](request, credentials, context)


def _sign_acs3(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    digest = hashlib.sha256(request.content).hexdigest()
    headers = {
        **request.headers,
        "host": _format_host_header(credentials.base_url),
        "accept": "application/json",
        "x-acs-date": format_timestamp(context.now),
        "x-acs-signature-nonce": context.nonce,
        "x-acs-content-sha256": digest,
    }
    names = sorted(headers)
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    signed = ";".join(names)
    canonical = "\n".join(
        [request.method, request.path, _join_sorted_pairs(encode_pairs(request.query)), lines, signed, digest]
    )
    text = f"{ACS3}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    mac = hmac.new(credentials.keys["access_key_secret"].encode(), text.encode(), hashlib.sha256).hexdigest()
    key_id = credentials.keys["access_key_id"]
    headers["authorization"] = f"{ACS3} Credential={key_id},SignedHeaders={signed},Signature={mac}"
    return replace(request, headers=headers)


def _sign_sha1(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    query = {
        **request.query,
        "Action": request.headers[ACTION_HEADER],
        "Version": request.headers[VERSION_HEADER],
        "Format": "json",
        "Timestamp": format_timestamp(context.now),
        "SignatureNonce": context.nonce,
        "SignatureMethod": SHA1,
        "SignatureVersion": "1.0",
        "AccessKeyId": credentials.keys["access_key_id"],
    }
    pairs = _join_sorted_pairs([*encode_pairs(query), *_split_form_pairs(request)])
    text = f"{request.method}&{percent_encode('/')}&{percent_encode(pairs)}"
    key = f"{credentials.keys['access_key_secret']}&"
    mac = hmac.new(key.encode(), text.encode(), hashlib.sha1).digest()
    return replace(request, query={**query, "Signature": base64.b64encode(mac).decode()})


_SIGNERS = {ACS3: _sign_acs3, SHA1: _sign_sha1}


def _split_form_pairs(request: Request) -> list[str]:
    """Split the form of *request* into encoded pairs."""
    return request.content.decode().replace("+", "%20").split("&") if request.content else []


def _join_sorted_pairs(encoded_pairs: list[str]) -> str:
    """Join encoded pairs, sorted by name.

    >>> _join_sorted_pairs(["b=1", "a.2=3", "a=2"])
    'a=2&a.2=3&b=1'
    """
    return "&".join(sorted(encoded_pairs, key=lambda pair: pair.partition("=")[0]))


def _format_host_header(base_url: str) -> str:
    """Format the header Host, without a default port.

    >>> _format_host_header("https://cloudpush.aliyuncs.com"), _format_host_header("http://127.0.0.1:8080/")
    ('cloudpush.aliyuncs.com', '127.0.0.1:8080')
    """
    parts = urlsplit(base_url)
    hostname = parts.hostname or ""
    name = f"[{hostname}]" if ":" in hostname else hostname
    return name if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{name}:{parts.port}"


# Percent-encoding. ----------------------------------------------------------------------------------------------------


def percent_encode(text: str) -> str:
    """Percent-encode *text* as EMAS signs it: all but letters, digits and `-_.~`, in upper case.

    `urllib.parse.quote` loops over the bytes in Python, and a call may have a hundred thousand ids.

    >>> percent_encode("a,b ~*/%时")
    'a%2Cb%20~%2A%2F%25%E6%97%B6'
    """
    data = text.encode()
    unsafe = sorted(set(data.translate(None, _SAFE_BYTES)), key=lambda byte: byte != ord("%"))
    for byte in unsafe:  # "%" first: encoding the others adds it
        data = data.replace(bytes([byte]), b"%%%02X" % byte)
    return data.decode()


def encode_pairs(parameters: Mapping[str, str]) -> list[str]:
    """Format parameters as `name=value`, with both sides encoded, sorted by name.

    >>> encode_pairs({"b": "1 2", "a": ""})
    ['a=', 'b=1%202']
    """
    return [f"{percent_encode(name)}={percent_encode(parameters[name])}" for name in sorted(parameters)]
