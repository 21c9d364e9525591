"""Alibaba's two ways to sign a call: HMAC-SHA1 over its parameters, and ACS3-HMAC-SHA256 over its headers.

https://help.aliyun.com/zh/sdk/product-overview/rpc-mechanism and /v3-request-structure-and-signature
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

from audience.sandbox.http_types import Call, Refused
from audience.sandbox.request_checks import seconds_until
from audience.sandbox.vendor_state import Desk

FRESH = 900.0  # seconds that a timestamp may be off, and that a nonce is remembered
ACS3 = re.compile(
    r"ACS3-HMAC-SHA256 Credential=(?P<key>[^,]+),\s*SignedHeaders=(?P<names>[^,]+),\s*Signature=(?P<sign>\w+)"
)
SIGNED = {"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"}
V1 = ("AccessKeyId", "SignatureMethod", "SignatureNonce", "SignatureVersion", "Timestamp")


def authorise(call: Call, desk: Desk) -> None:
    """Refuse a call that is not signed as it must be."""
    if call.headers.get("authorization", "").startswith("ACS3"):
        _by_headers(call, desk)
    elif "Signature" in call.query or "Signature" in call.form:
        _by_parameters(call, {**call.query, **call.form}, desk)
    else:
        raise Refused("MissingAccessKeyId", "AccessKeyId is mandatory for this action.")


def percent(text: str) -> str:
    """Percent-encoded as both ways want it.

    >>> percent("a b*~/城")
    'a%20b%2A~%2F%E5%9F%8E'
    """
    return quote(text, safe="~")


def of_parameters(method: str, parameters: Mapping[str, str]) -> str:
    """What a call of version 1 signs: its sorted parameters, encoded twice.

    >>> of_parameters("GET", {"AppKey": "1", "Action": "Push me"})
    'GET&%2F&Action%3DPush%2520me%26AppKey%3D1'
    """
    once = _sorted(parameters)  # of which %, & and = alone are left to encode
    return f"{method}&%2F&{once.replace('%', '%25').replace('&', '%26').replace('=', '%3D')}"


def sign_v1(text: str, secret: str) -> str:
    """The Signature of version 1: HMAC-SHA1, in base64.

    >>> sign_v1("GET&%2F&Action%3DPush%26AppKey%3D1", "secret")
    'x2ukBFKzHlAG9YLl+6cOJHnWX04='
    """
    return base64.b64encode(hmac.new(f"{secret}&".encode(), text.encode(), hashlib.sha1).digest()).decode()


def of_headers(call: Call, names: list[str]) -> str:
    """What a call of version 3 signs: a digest of its method, path, query, and the headers *names*."""
    headers = "".join(f"{name}:{call.headers.get(name, '').strip()}\n" for name in names)
    hashed = call.headers.get("x-acs-content-sha256", "")
    request = "\n".join([call.method, call.path, _sorted(call.query), headers, ";".join(names), hashed])
    return f"ACS3-HMAC-SHA256\n{hashlib.sha256(request.encode()).hexdigest()}"


def sign_v3(text: str, secret: str) -> str:
    """The signature of version 3: HMAC-SHA256, in hexadecimal digits."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def _sorted(parameters: Mapping[str, str]) -> str:
    return "&".join(f"{percent(name)}={percent(parameters[name])}" for name in sorted(parameters))


def _by_parameters(call: Call, given: dict[str, str], desk: Desk) -> None:
    if missing := [name for name in V1 if not given.get(name)]:
        raise Refused(f"Missing{missing[0]}", f"{missing[0]} is mandatory for this action.")
    if (given["SignatureMethod"], given["SignatureVersion"]) != ("HMAC-SHA1", "1.0"):
        raise Refused("InvalidSignatureMethod", "only HMAC-SHA1 1.0")
    signature = given.pop("Signature")
    _known(given["AccessKeyId"], desk)
    text, secret = of_parameters(call.method, given), desk.signed_with(given["AccessKeyId"])
    if secret is not None and not hmac.compare_digest(sign_v1(text, secret).encode(), signature.encode()):
        raise _unmatched(text)
    _once(given["SignatureNonce"], given["Timestamp"], desk)


def _by_headers(call: Call, desk: Desk) -> None:
    found = ACS3.fullmatch(call.headers["authorization"])
    names = found["names"].split(";") if found else []
    if not found or not {*names} >= SIGNED:
        raise Refused("IncompleteSignature", "The request signature does not conform to Aliyun standards.")
    _known(found["key"], desk)
    if hashlib.sha256(call.body).hexdigest() != call.headers.get("x-acs-content-sha256"):
        raise Refused("InvalidContentSHA256", "x-acs-content-sha256 is not that of the body.")
    text, secret = of_headers(call, names), desk.signed_with(found["key"])
    if secret is not None and not hmac.compare_digest(sign_v3(text, secret).encode(), found["sign"].encode()):
        raise _unmatched(text)
    _once(call.headers["x-acs-signature-nonce"], call.headers["x-acs-date"], desk)


def _unmatched(text: str) -> Refused:
    """Alibaba's clients look for what was signed behind the first colon."""
    words = "Specified signature is not matched with our calculation. server string to sign is:"
    return Refused("SignatureDoesNotMatch", words + text)


def _known(key: str, desk: Desk) -> None:
    if not desk.knows(key):
        raise Refused("InvalidAccessKeyId.NotFound", "Specified access key is not found.")


def _once(nonce: str, moment: str, desk: Desk) -> None:
    """Refuse a call that is too old, or that was made before."""
    try:
        off = seconds_until(datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        raise Refused("InvalidTimeStamp.Format", "Specified time stamp is not well formatted.") from None
    if abs(off) > FRESH:
        raise Refused("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
    if not desk.fresh(nonce, FRESH):
        raise Refused("SignatureNonceUsed", "Specified signature nonce was used already.")
