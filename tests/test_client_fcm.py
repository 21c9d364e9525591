"""Firebase's own library takes what is emitted, and writes it unchanged."""

import json
import warnings

import pytest

from audience import get_vendor, parse

messaging = pytest.importorskip("firebase_admin.messaging")
encoder = pytest.importorskip("firebase_admin._messaging_encoder")

EXPRS = [
    "vip",
    "stock-GOOG OR industry-tech",
    "(a OR b) AND c AND NOT (d OR e)",
    "(a AND NOT b) OR (c AND d)",
    "registration_id(t1)",
]


@pytest.mark.parametrize("text", EXPRS)
def test_firebase_client_writes_same_message(text):
    payload = get_vendor("fcm").emit(parse(text))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of tokens, which are still what devices have
        message = messaging.Message(**payload["message"])
    assert json.loads(json.dumps(message, cls=encoder.MessageEncoder)) == payload["message"]


def test_firebase_client_has_same_token_limit():
    record = get_vendor("fcm")
    tokens = [f"t{number}" for number in range(record.max_ids)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert messaging.MulticastMessage(**record.target_ids(tokens)).tokens == tokens
        with pytest.raises(ValueError, match="500"):
            messaging.MulticastMessage(tokens=[*tokens, "one more"])
