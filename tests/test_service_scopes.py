"""What each scope of a key permits: every endpoint, with every key, with none, and with keys that are wrong."""

import time

import pytest
from problem_replies import find_faults

from audience.server.endpoints import list_endpoints
from audience.server.keys import add_key, drop_key
from audience.server.metrics import Metrics
from audience.server.scopes import SCOPES

ENDPOINTS = {f"{endpoint.method} {endpoint.path}": endpoint for endpoint in list_endpoints(Metrics(), needs_keys=True)}
PARAMETERS = {"{index}": "people", "{segment}": "nothing", "{run}": "nothing", "{attribute}": "province"}
MOVE_SECONDS = 20
WRONG_KEYS = {
    "none": None,
    "empty": "",
    "another scheme": "Basic cGVvcGxlOnNlY3JldA==",
    "no token": "Bearer",
    "a wrong token": "Bearer " + "x" * 43,
    "a token of 50 kB": "Bearer " + "x" * 50_000,
    "not a token": "Bearer \xff\xfe",
    "two tokens": "Bearer a b",
    "another prefix": "bearer: x",
}


def call(client, endpoint, **headers):
    """The reply to a call without a body: a key that may make it gets to hear of the body."""
    path = endpoint.path
    for parameter, value in PARAMETERS.items():
        path = path.replace(parameter, value)
    return client.request(endpoint.method, path, headers=headers)


def faults_of(reply) -> list[str]:
    return find_faults(reply.status_code, reply.headers.get("content-type", ""), reply.content)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_endpoint_wants_its_scope(keyed_service, name):
    endpoint = ENDPOINTS[name]
    for key in (*SCOPES, "all"):
        with keyed_service.client(key) as client:
            reply = call(client, endpoint)
        assert not faults_of(reply), key
        may = endpoint.scope is None or key in (endpoint.scope, "all")
        assert (reply.status_code == 403) != may, f"{key}: {reply.text[:300]}"
        if not may:
            assert reply.json()["code"] == "no-scope"


@pytest.mark.parametrize("kind", WRONG_KEYS)
def test_wrong_keys_are_refused(keyed_service, kind):
    value = WRONG_KEYS[kind]
    headers = {} if value is None else {"Authorization": value.encode("latin-1")}
    with keyed_service.client() as client:
        for endpoint in ENDPOINTS.values():
            reply = call(client, endpoint, **headers)
            assert not faults_of(reply)
            assert endpoint.scope is None or reply.status_code in (400, 401, 431), endpoint.path
            if reply.status_code == 401:
                assert reply.headers["www-authenticate"].startswith("Bearer ")


def test_tokens_are_in_no_log(keyed_service):
    with keyed_service.client("all") as client:
        client.get("/v1/session", params={"token": keyed_service.tokens["all"]})
    assert not any(token in keyed_service.log() for token in keyed_service.tokens.values())


def test_dropped_key_is_refused(keyed_service):
    file = keyed_service.folder / "keys.json"
    headers = {"Authorization": f"Bearer {add_key(file, 'short', ['count'])}"}
    with keyed_service.client() as client:
        assert wait_for_status(client, headers, 200)
        drop_key(file, "short")
        assert wait_for_status(client, headers, 401)


def wait_for_status(client, headers, status: int) -> bool:
    """Whether a call with a key comes to have this status."""
    deadline = time.monotonic() + MOVE_SECONDS
    while client.get("/v1/indexes", headers=headers).status_code != status:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
