"""Redaction of secrets in vendor replies, before any part of a reply is stored, logged or printed."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from html import escape
from typing import TypeAlias
from urllib.parse import parse_qs, quote, quote_plus

from audience.vendors.delivery_spec import Accepted, Credentials, DeliverySpec, Request, Response, VendorReply

REDACTED = "***"
FORM_TYPE = "application/x-www-form-urlencoded"
SIGNED_HEADERS = ("authorization", "sign", "token")  # which prove who makes a call
SIGNED_PARAMETERS = ("signature", "sign")
MIN_SECRET_LENGTH = 6  # characters; a shorter string may be a meaningful part of a reply

ReplyParser: TypeAlias = Callable[[Response], VendorReply]


def redact_secrets(
    parse_reply: ReplyParser, request: Request, credentials: Credentials, delivery: DeliverySpec
) -> ReplyParser:
    """Wrap *parse_reply* so that it never sees the secrets of *credentials* or the signature of *request*.

    The raw content is redacted before *parse_reply* can cut or quote it, in every encoding that a reply may use. The
    parsed reply is redacted once more, because decoding may restore a secret. A secret shorter than
    `MIN_SECRET_LENGTH`, which no vendor has, is left in the texts: hiding it would remove parts of words. So is one
    that is a public key, too, as in tests: a reply may be made of that key.
    """
    public = {value for name, value in credentials.keys.items() if name not in delivery.secret_keys}
    secrets = {value for name, value in credentials.keys.items() if name in delivery.secret_keys} - public
    for value in (value for name, value in request.headers.items() if name.lower() in SIGNED_HEADERS):
        secrets |= {value, value.rpartition(" ")[2]}
    secrets |= {value for name, value in request.query.items() if name.lower() in SIGNED_PARAMETERS}
    secrets |= set(_read_assertions(request))
    secrets = {secret for secret in secrets if len(secret) >= MIN_SECRET_LENGTH}
    encoded = {form for secret in secrets for form in _encoded_forms(secret)}

    def parse_redacted(response: Response) -> VendorReply:
        content = response.content.decode("utf-8", "surrogateescape")
        redacted = _redact_string(content, encoded).encode("utf-8", "surrogateescape")
        return _redact_reply(parse_reply(replace(response, content=redacted)), secrets)

    return parse_redacted


def _read_assertions(request: Request) -> Iterable[str]:
    """Return the assertions in a form of *request*, for which a server gives out access tokens."""
    is_form = any(value.startswith(FORM_TYPE) for name, value in request.headers.items() if name == "Content-Type")
    fields = parse_qs(request.content.decode("ascii", "replace")) if is_form else {}
    return fields.get("assertion", ())


@lru_cache(maxsize=64)  # keys are the same for all calls, and a private key is long
def _encoded_forms(secret: str) -> tuple[str, ...]:
    """Return *secret* plain and as encoded in JSON, in a URL and in HTML."""
    in_json = json.dumps(secret)[1:-1]
    return secret, in_json, in_json.replace("/", "\\/"), quote(secret, safe=""), quote_plus(secret), escape(secret)


def _redact_reply(reply: VendorReply, secrets: Iterable[str]) -> VendorReply:
    if isinstance(reply, Accepted):
        return replace(reply, message_id=_redact_string(reply.message_id, secrets))
    problem = reply.problem
    hint = None if problem.hint is None else _redact_string(problem.hint, secrets)
    return replace(reply, problem=replace(problem, message=_redact_string(problem.message, secrets), hint=hint))


def _redact_string(string: str, secrets: Iterable[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        string = string.replace(secret, REDACTED)
    return string
