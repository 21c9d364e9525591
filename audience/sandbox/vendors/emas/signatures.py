"""Alibaba's two signatures: HMAC-SHA1 over the parameters, and ACS3-HMAC-SHA256 over the headers.

https://help.aliyun.com/zh/sdk/product-overview/rpc-mechanism and /v3-request-structure-and-signature
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import quote

from audience.sandbox.http_types import HttpCall, VendorRefusal
from audience.sandbox.request_checks import parse_moment, seconds_until
from audience.sandbox.vendor_state import VendorState

SIGNATURE_LIFETIME_SECONDS = 900.0  # seconds that a timestamp may be off, and that a nonce is remembered
ACS3_PATTERN = re.compile(
    r"ACS3-HMAC-SHA256 Credential=(?P<key>[^,]+),\s*SignedHeaders=(?P<names>[^,]+),\s*Signature=(?P<sign>\w+)"
)
REQUIRED_SIGNED_HEADERS = {
    "host",
    "x-acs-action",
    "x-acs-content-sha256",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-version",
}
V1_PARAMETERS = ("AccessKeyId", "SignatureMethod", "SignatureNonce", "SignatureVersion", "Timestamp")


def verify_signature(call: HttpCall, state: VendorState) -> None:
    """Reject a call without a valid signature."""
    if call.headers.get("authorization", "").startswith("ACS3"):
        _verify_v3(call, state)
    elif "Signature" in call.query or "Signature" in call.form:
        _verify_v1(call, {**call.query, **call.form}, state)
    else:
        raise VendorRefusal("MissingAccessKeyId", "AccessKeyId is mandatory for this action.")


def percent_encode(text: str) -> str:
    """Return *text* percent-encoded as both signatures require.

    >>> percent_encode("a b*~/城")
    'a%20b%2A~%2F%E5%9F%8E'
    """
    return quote(text, safe="~")


def v1_string_to_sign(method: str, parameters: Mapping[str, str]) -> str:
    """Return the string that a call of signature version 1 signs: its sorted parameters, encoded twice.

    >>> v1_string_to_sign("GET", {"AppKey": "1", "Action": "Push me"})
    'GET&%2F&Action%3DPush%2520me%26AppKey%3D1'
    """
    once = _canonical_query(parameters)  # of which %, & and = alone are left to encode
    return f"{method}&%2F&{once.replace('%', '%25').replace('&', '%26').replace('=', '%3D')}"


def sign_v1(text: str, secret: str) -> str:
    """Return the signature of version 1: HMAC-SHA1, in base64.

    >>> sign_v1("GET&%2F&Action%3DPush%26AppKey%3D1", "secret")
    'x2ukBFKzHlAG9YLl+6cOJHnWX04='
    """
    return base64.b64encode(hmac.new(f"{secret}&".encode(), text.encode(), hashlib.sha1).digest()).decode()


def v3_string_to_sign(call: HttpCall, names: list[str]) -> str:
    """Return the string that a call of version 3 signs: a digest of method, path, query, and the headers *names*."""
    headers = "".join(f"{name}:{call.headers.get(name, '').strip()}\n" for name in names)
    hashed = call.headers.get("x-acs-content-sha256", "")
    request = "\n".join([call.method, call.path, _canonical_query(call.query), headers, ";".join(names), hashed])
    return f"ACS3-HMAC-SHA256\n{hashlib.sha256(request.encode()).hexdigest()}"


def sign_v3(text: str, secret: str) -> str:
    """Return the signature of version 3: HMAC-SHA256, in hexadecimal digits."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def _canonical_query(parameters: Mapping[str, str]) -> str:
    return "&".join(f"{percent_encode(name)}={percent_encode(parameters[name])}" for name in sorted(parameters))


def _verify_v1(call: HttpCall, parameters: dict[str, str], state: VendorState) -> None:
    if missing := [name for name in V1_PARAMETERS if not parameters.get(name)]:
        raise VendorRefusal(f"Missing{missing[0]}", f"{missing[0]} is mandatory for this action.")
    if (parameters["SignatureMethod"], parameters["SignatureVersion"]) != ("HMAC-SHA1", "1.0"):
        raise VendorRefusal("InvalidSignatureMethod", "only HMAC-SHA1 1.0")
    signature = parameters.pop("Signature")
    _require_known_key(parameters["AccessKeyId"], state)
    text, secret = v1_string_to_sign(call.method, parameters), state.signing_secret(parameters["AccessKeyId"])
    if secret is not None and not hmac.compare_digest(sign_v1(text, secret).encode(), signature.encode()):
        raise _signature_mismatch(text)
    _require_new_nonce(parameters["SignatureNonce"], parameters["Timestamp"], state)


def _verify_v3(call: HttpCall, state: VendorState) -> None:
    match = ACS3_PATTERN.fullmatch(call.headers["authorization"])
    names = match["names"].split(";") if match else []
    if not match or not {*names} >= REQUIRED_SIGNED_HEADERS:
        raise VendorRefusal("IncompleteSignature", "The request signature does not conform to Aliyun standards.")
    _require_known_key(match["key"], state)
    if hashlib.sha256(call.body).hexdigest() != call.headers.get("x-acs-content-sha256"):
        raise VendorRefusal("InvalidContentSHA256", "x-acs-content-sha256 is not that of the body.")
    text, secret = v3_string_to_sign(call, names), state.signing_secret(match["key"])
    if secret is not None and not hmac.compare_digest(sign_v3(text, secret).encode(), match["sign"].encode()):
        raise _signature_mismatch(text)
    _require_new_nonce(call.headers["x-acs-signature-nonce"], call.headers["x-acs-date"], state)


def _signature_mismatch(text: str) -> VendorRefusal:
    """Return the refusal of a wrong signature; Alibaba's clients look for the signed string behind the first colon."""
    words = "Specified signature is not matched with our calculation. server string to sign is:"
    return VendorRefusal("SignatureDoesNotMatch", words + text)


def _require_known_key(key: str, state: VendorState) -> None:
    if not state.knows_key(key):
        raise VendorRefusal("InvalidAccessKeyId.NotFound", "Specified access key is not found.")


def _require_new_nonce(nonce: str, timestamp: str, state: VendorState) -> None:
    """Reject a call that is too old or repeated."""
    try:
        off = seconds_until(parse_moment(timestamp, "%Y-%m-%dT%H:%M:%SZ"), state.clock())
    except ValueError:
        raise VendorRefusal("InvalidTimeStamp.Format", "Specified time stamp is not well formatted.") from None
    if abs(off) > SIGNATURE_LIFETIME_SECONDS:
        raise VendorRefusal("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
    if not state.is_new_nonce(nonce, SIGNATURE_LIFETIME_SECONDS):
        raise VendorRefusal("SignatureNonceUsed", "Specified signature nonce was used already.")
