"""Syncs of topics at FCM: the token of the right server, tokens that are refused, and what is left undone then."""

from datetime import UTC, datetime

import httpx
import polars as pl
import pytest
from callers.fcm import make_private_key
from test_sandbox_delivery import make_credentials

from audience import DeviceIndex, get_vendor, plan
from audience.delivery import RetryPolicy
from audience.delivery.syncing.index_sync import SyncChoices, sync_tags
from audience.delivery.syncing.worker import SyncOptions
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog
from audience.sandbox import Population, Sandbox
from audience.vendors.delivery_spec import Credentials, Response

TABLE = pl.DataFrame({"token": [f"r{number}" for number in range(20)], "tags": [["vip"]] * 19 + [["new"]]})
CATALOG = validate_catalog(parse_catalog('[tag]\nnames.fcm = { vip = "v", new = "n" }'))
QUICK_RETRY = RetryPolicy(max_attempts=4, initial_delay=0.001, max_delay=0.01, timeout=5)


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    return DeviceIndex.build(TABLE, tmp_path / "devices.index", tokens={"fcm": "token"})


def sync(index: DeviceIndex, sandbox: Sandbox, **choices):
    credentials, options = make_credentials("fcm", sandbox), SyncOptions(QUICK_RETRY)
    return sync_tags(index, get_vendor("fcm"), CATALOG, credentials, SyncChoices(**choices), options)


def run_sandbox(tags: list[list[str]], known: bool | pl.Expr = True, **options) -> Sandbox:
    """A sandbox that has the *known* devices of the table, with other topics."""
    table = TABLE.select(fcm_token="token").with_columns(tags=pl.Series(tags, dtype=pl.List(pl.String)))
    return Sandbox(Population(table.filter(known)), **options)


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("https://fcm.googleapis.com", "https://oauth2.googleapis.com/token"),
        ("https://iid.googleapis.com", "https://oauth2.googleapis.com/token"),
        ("http://127.0.0.1:8080", "/token"),
    ],
)
def test_access_token_is_requested_from_the_server_of_the_host(host, path):
    keys = {"client_email": "a@b", "private_key_id": "k1", "private_key": make_private_key()}
    source = get_vendor("fcm").delivery.access_tokens
    assert source.build_request(Credentials(host, keys), datetime.now(UTC)).path == path


@pytest.mark.parametrize(
    ("status", "content", "is_refused"),
    [
        (401, b'{"error":"Unauthorized"}', True),
        (401, b"<html>", True),
        (403, b'{"error":"Forbidden"}', False),
        (200, b'{"results":[{"error":"NOT_FOUND"}]}', False),
    ],
)
def test_refused_access_token_is_known_by_the_status(status, content, is_refused):
    assert get_vendor("fcm").delivery.access_tokens.is_refused(Response(status, content)) == is_refused


def test_device_with_too_many_topics_leaves_the_others_set_and_the_sync_open(index):
    tags = [["x", "y"] if number == 7 else [] for number in range(20)]
    with run_sandbox(tags, tag_quota=0.001, rate=None) as sandbox:  # two topics a token
        status = sync(index, sandbox)
        assert not status.is_complete
        assert sandbox.tags("fcm")["v"] == [f"r{number}" for number in range(19) if number != 7]
        assert plan("vip", "fcm", index, CATALOG).by_ids is not None
        body = {"to": "/topics/x", "registration_tokens": ["r7"]}
        headers = {"authorization": "Bearer of-somebody", "access_token_auth": "true"}
        assert httpx.post(f"{sandbox.url}/iid/v1:batchRemove", json=body, headers=headers).json() == {"results": [{}]}
        assert sync(index, sandbox).is_complete
        assert sandbox.tags("fcm") == {"n": ["r19"], "v": [f"r{number}" for number in range(19)], "y": ["r7"]}
        planned = plan("vip AND NOT new", "fcm", index, CATALOG)
        assert planned.native == ({"message": {"condition": "'v' in topics && !('n' in topics)"}},)
        assert planned.by_ids is None


def test_unknown_tokens_are_left_out_and_read_tags_are_corrected(index):
    tags = [["n"] if number < 3 else [] for number in range(20)]
    with run_sandbox(tags, known=pl.col("fcm_token") != "r5", rate=None) as sandbox:
        assert sync(index, sandbox, from_vendor=True).is_complete
        assert sandbox.tags("fcm") == {"n": ["r19"], "v": [f"r{number}" for number in range(19) if number != 5]}
