"""Firebase's own library takes what is emitted, and writes it unchanged."""

import json
import warnings

import pytest

from audience import parse, vendor

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
def test_the_client_of_firebase_writes_the_same_message(text):
    payload = vendor("fcm").emit(parse(text))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of tokens, which are still what devices have
        message = messaging.Message(**payload["message"])
    assert json.loads(json.dumps(message, cls=encoder.MessageEncoder)) == payload["message"]


def test_the_client_of_firebase_takes_as_many_tokens_as_are_listed_and_no_more():
    record = vendor("fcm")
    tokens = [f"t{number}" for number in range(record.batch)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert messaging.MulticastMessage(**record.listing(tokens)).tokens == tokens
        with pytest.raises(ValueError, match="500"):
            messaging.MulticastMessage(tokens=[*tokens, "one more"])
