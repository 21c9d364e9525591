"""How tests call FCM's sandbox, and the key of a service account, which is made for each process of tests."""

import json
from functools import cache

from audience.sandbox.http_types import HttpCall
from callers import Caller

HEADERS = {"authorization": "Bearer of-somebody"}


def fcm_call(body) -> HttpCall:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpCall("POST", "/v1/projects/p1/messages:send", headers=HEADERS, body=content)


def fcm_topic_call(method: str, place: str, body="") -> HttpCall:
    """A call of a path, which may have a query, as one for topics."""
    path, _, query = place.partition("?")
    content = body if isinstance(body, str) else json.dumps(body)
    parameters = dict(pair.split("=") for pair in query.split("&") if pair)
    return HttpCall(method, path, parameters, {**HEADERS, "access_token_auth": "true"}, content.encode())


def call_with_target(payload) -> HttpCall:
    """A call for a payload of a plan, which may be a list of one token."""
    target = payload["message"] if "message" in payload else {"token": payload["tokens"][0]}
    return fcm_call({"message": {"data": {"n": "1"}, **target}})


@cache
def make_private_key() -> str:
    """A private key as the file of a service account has it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


def read_tags(request):
    """Yield the changes in a call for tags."""
    body = json.loads(request.content)
    direction = {"/iid/v1:batchAdd": "add", "/iid/v1:batchRemove": "remove"}[request.path]
    assert request.headers["access_token_auth"] == "true"
    yield from ((direction, token, body["to"].removeprefix("/topics/")) for token in body["registration_tokens"])


CALLER = Caller(
    send=call_with_target,
    post=fcm_call,
    post_text=lambda text: fcm_call(text.encode()),
    frames={
        "target": lambda text: fcm_call({"message": {"data": {"n": "1"}, **json.loads(text)}}),
        "condition": lambda text: fcm_call({"message": {"data": {"n": "1"}, "condition": text}}),
        "message": lambda text: fcm_call({"message": {"token": "r1", **json.loads(text)}}),
    },
    sound_body={"message": {"topic": "a", "android": {"notification": {"title": "t"}, "ttl": "5s"}}},
    tag_call=fcm_topic_call,
    unknown_tagged=("Accepted", "InvalidIds nobody"),
    second_tag="a-b_c.d~e",
    id_format="{:022x}:APA91b",
    keys={"private_key": make_private_key()},
    read_tags=read_tags,
)
