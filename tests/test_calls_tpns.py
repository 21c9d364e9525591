"""Requests of TPNS: targets, signatures and packages."""

import io
import json
import zipfile
from base64 import b64encode
from datetime import UTC, datetime
from email import message_from_bytes
from hashlib import sha256

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_messages import parse_fact_message, problem_lines

from audience import DeliveryError, get_vendor
from audience.language.ast import Ids
from audience.vendors.delivery_spec import Credentials, Request, SendCall, SigningContext
from audience.vendors.spec import Unsupported, VendorLimit
from audience.vendors.tpns.packages import MAX_PACKAGE_TOKENS, build_upload, zip_ids

TPNS = get_vendor("tpns")
DELIVERY = TPNS.delivery
LIST_METHOD, PACKAGE_METHOD = DELIVERY.send_methods
KEYS = {"access_id": "1500001048", "secret_key": "1452fcebae9f3115ba794fb0fff2fd73"}  # of the vendor's sample
SIGNING_CONTEXT = SigningContext(datetime.fromtimestamp(1565314789, UTC), "n")
BODY = {
    "message_type": "notify",
    "environment": "dev",
    "message": {"title": "t", "content": "c", "android": {"ring": 0}, "ios": {"aps": {"alert": {}}}},
}
ALL_TARGET, TAG_TARGET = {"audience_type": "all"}, {"audience_type": "tag", "tag_rules": []}
TOKEN_TARGET, TOKEN_LIST_TARGET = {"audience_type": "token", "token_list": ["t1"]}, TPNS.target_ids(["t1", "t2"])
ACCOUNT_TARGET = {"audience_type": "account_list", "account_list": ["a1", "a2"], "account_push_type": 1}

ACCOUNT_PACKAGE_TARGET = {
    "audience_type": "package_account_push",
    "account_list": ["张 三", "a2"],
    "account_push_type": 1,
}


def make_credentials(**options):
    return Credentials("https://api.tpns.tencent.com", {**KEYS, **options})


def build_push(target, body=BODY, handle=None, **keys):
    call = SendCall(targets=(target,), body=body, handle=handle, idempotency_key="x")
    return json.loads(DELIVERY.native_method.build_request(call, make_credentials(**keys)).content)


def test_sign_matches_vendor_sample():
    """Sample of https://www.tencentcloud.com/document/product/1024/34213, in the version with `platform`."""
    content = (
        b'{"audience_type": "account","platform": "android","message": {"title": "test title",'
        b'"content": "test content","android": { "action": {"action_type": 3,'
        b'"intent": "xgscheme://com.xg.push/notify_detail?param1=xg"}}},'
        b'"message_type": "notify","account_list": ["5822f0eee44c3625ef0000bb"] }'
    )
    signed = DELIVERY.sign(
        Request(method="POST", path="/v3/push/app", content=content), make_credentials(), SIGNING_CONTEXT
    )
    assert dict(signed.headers) == {
        "AccessId": "1500001048",
        "TimeStamp": "1565314789",
        "Sign": "Y2QyMDc3NDY4MmJmNzhiZmRiNDNlMTdkMWQ1ZDU2YjNlNWI3ODlhMTY3MGZjMTUyN2VmNTRjNjVkMmQ3Yjc2ZA==",
    }


@given(st.binary(max_size=200), st.text(st.characters(codec="ascii"), min_size=1, max_size=100))
def test_sign_is_base64_of_hex_hmac(content, secret):
    """Definition of HMAC: https://www.rfc-editor.org/rfc/rfc2104"""
    key = secret.encode() if len(secret) <= 64 else sha256(secret.encode()).digest()
    inner, outer = (bytes(byte ^ pad for byte in key.ljust(64, b"\0")) for pad in (0x36, 0x5C))
    text = b"1565314789" + b"1500001048" + content
    digits = sha256(outer + sha256(inner + text).digest()).hexdigest()
    request = Request(method="POST", path="/v3/push/app", content=content)
    signed = DELIVERY.sign(request, make_credentials(secret_key=secret), SIGNING_CONTEXT)
    assert signed.headers["Sign"] == b64encode(digits.encode()).decode()


def test_basic_auth_when_chosen_and_for_uploads():
    basic = "Basic " + b64encode(b"1500001048:1452fcebae9f3115ba794fb0fff2fd73").decode()
    push = Request(method="POST", path="/v3/push/app", headers={"A": "1"}, content=b"{}")
    assert DELIVERY.sign(push, make_credentials(signature="basic"), SIGNING_CONTEXT).headers == {
        "A": "1",
        "Authorization": basic,
    }
    assert (
        DELIVERY.sign(
            build_upload({}, [TOKEN_TARGET], make_credentials()), make_credentials(), SIGNING_CONTEXT
        ).headers["Authorization"]
        == basic
    )


def test_secret_is_not_in_repr():
    signed = DELIVERY.sign(build_upload({}, [TOKEN_TARGET], make_credentials()), make_credentials(), SIGNING_CONTEXT)
    assert KEYS["secret_key"] not in repr((make_credentials(), signed, PACKAGE_METHOD))
    assert DELIVERY.secret_keys <= {*DELIVERY.required_keys}


def test_list_ignores_invalid_tokens_by_default():
    assert (
        build_push(TOKEN_LIST_TARGET)["ignore_invalid_token"] == build_push(TOKEN_TARGET)["ignore_invalid_token"] == 1
    )
    assert build_push(TOKEN_LIST_TARGET, BODY | {"ignore_invalid_token": 0})["ignore_invalid_token"] == 0
    assert not any("ignore_invalid_token" in build_push(target) for target in (ALL_TARGET, TAG_TARGET, ACCOUNT_TARGET))


def test_body_has_structure_of_application_platform():
    android, ios = build_push(ALL_TARGET), build_push(ALL_TARGET, platform="ios")
    assert android == {
        "message_type": "notify",
        "message": {"title": "t", "content": "c", "android": {"ring": 0}},
        **ALL_TARGET,
    }
    assert ios["message"] == {"title": "t", "content": "c", "ios": {"aps": {"alert": {}}}}
    assert ios["environment"] == "dev"


@pytest.mark.parametrize("target", [ALL_TARGET, TAG_TARGET, TOKEN_TARGET, TOKEN_LIST_TARGET, ACCOUNT_TARGET])
def test_target_is_sent_unchanged(target):
    assert {key: build_push(target)[key] for key in target} == target


def test_message_narrows_accounts_to_their_newest_device():
    body = {**BODY, "account_push_type": 0}
    for target in (ACCOUNT_TARGET, {"audience_type": "account", "account_list": ["a1"], "account_push_type": 0}):
        assert build_push(target, body)["account_push_type"] == 0
    assert build_push(ACCOUNT_TARGET, {**BODY, "account_push_type": 1})["account_push_type"] == 1
    assert "account_push_type" not in build_push(ALL_TARGET, BODY)


@pytest.mark.parametrize(
    ("options", "fields", "path"),
    [
        ({"account_push_type": 0}, {"account_push_type": 1}, "$.account_push_type"),
        ({"account_push_type": 1, "account_type": 2}, {"account_type": 3}, "$.account_type"),
        ({"account_push_type": 1, "account_type": 2}, {"account_type": 2, "account_push_type": 0}, None),
        ({"account_push_type": 1}, {"account_type": 3}, None),
    ],
)
def test_message_does_not_change_whom_the_accounts_mean(options, fields, path):
    target = {"audience_type": "account", "account_list": ["a1"], **options}
    problems = DELIVERY.native_method.check({**BODY, **fields}, (target,), make_credentials())
    assert [(problem.code, problem.path) for problem in problems] == ([("other-audience", path)] if path else [])


def test_package_push_uses_upload_id():
    assert {"audience_type": "package_token_push", "upload_id": 35718}.items() <= build_push(
        TOKEN_LIST_TARGET, handle="35718"
    ).items()


def test_account_list_is_replaced_by_upload_id():
    """Form of https://www.tencentcloud.com/document/product/1024/38830"""
    setup_call = DELIVERY.native_method.setup_call
    upload = setup_call.build_request({}, (ACCOUNT_PACKAGE_TARGET,), make_credentials())
    name, _, archive = unpack_form_file(upload)
    assert (name, archive) == ("file", zip_ids(["张 三", "a2"]))
    push = build_push(ACCOUNT_PACKAGE_TARGET, handle="11231")
    assert {"audience_type": "package_account_push", "upload_id": 11231, "account_push_type": 1}.items() <= push.items()
    assert not {"account_list", "ignore_invalid_token"} & push.keys()
    assert [
        target
        for target in (ALL_TARGET, TAG_TARGET, TOKEN_LIST_TARGET, ACCOUNT_TARGET, ACCOUNT_PACKAGE_TARGET)
        if setup_call.is_needed((target,))
    ] == [ACCOUNT_PACKAGE_TARGET]


def test_long_account_list_round_trips_as_package():
    accounts = Ids("account", tuple(f"user-{at}" for at in range(1_001)))
    payload = TPNS.emit(accounts)
    assert payload["audience_type"] == "package_account_push"
    assert TPNS.parse(payload) == accounts
    assert [problem.code for problem in TPNS.assumptions(accounts)] == ["account", "package"]
    assert TPNS.emit(Ids("account", accounts.values[1:]))["audience_type"] == "account_list"


@pytest.mark.parametrize(
    ("invalid", "code"),
    [("a", "bad-length"), ("a" * 101, "bad-length"), ("a\nb", "no-line"), (" ab", "no-line"), ("ab\u3000", "no-line")],
)
def test_illegal_account_is_unsupported(invalid, code):
    accounts = [f"user-{at}" for at in range(1_000)]
    with pytest.raises(Unsupported) as caught:
        TPNS.emit(Ids("account", (*accounts, invalid)))
    assert [problem.code for problem in caught.value.problems] == [code]


def test_oversized_accounts_are_not_packaged(monkeypatch):
    monkeypatch.setitem(TPNS.limits, "account_package_bytes", VendorLimit(8_007, "made up"))
    accounts = [f"user{at:04}" for at in range(1_001)]
    with pytest.raises(Unsupported) as caught:
        TPNS.emit(Ids("account", tuple(accounts)))
    assert [problem.code for problem in caught.value.problems] == ["too-many"]


@pytest.mark.parametrize(
    ("overrides", "targets", "keys", "reasons"),
    [
        ("{}", (ALL_TARGET,), {}, []),
        (
            '{"send_time": "<+1d %Y-%m-%d %H:%M:%S>", "push_speed": 1000, "collapse_id": 1}',
            (ALL_TARGET, TAG_TARGET),
            {},
            [],
        ),
        ('{"send_time": "<+1d %Y-%m-%d %H:%M:%S>"}', (TOKEN_LIST_TARGET,), {}, ["no-such-target $.send_time"]),
        (
            '{"push_speed": 1000, "collapse_id": 1}',
            (TOKEN_LIST_TARGET,),
            {},
            ["no-such-target $.collapse_id", "no-such-target $.push_speed"],
        ),
        ('{"account_type": 1}', (ACCOUNT_TARGET,), {}, []),
        ('{"account_type": 1, "push_speed": 1000}', (ACCOUNT_PACKAGE_TARGET,), {}, []),
        ('{"account_type": 1}', (TOKEN_LIST_TARGET,), {}, ["no-such-target $.account_type"]),
        ("{}", (TOKEN_LIST_TARGET,), {"platform": "ios"}, []),
    ],
)
def test_unsupported_message_fields_are_rejected_before_send(overrides, targets, keys, reasons):
    body = DELIVERY.build_body(parse_fact_message(f'{{"title": "t", "body": "b", "vendor": {{"tpns": {overrides}}}}}'))
    assert problem_lines(DELIVERY.native_method.check(body, targets, make_credentials(**keys))) == reasons


@pytest.mark.parametrize(("platform", "other"), [("android", "ios"), ("ios", "android")])
def test_message_for_other_platform_is_rejected(platform, other):
    body = DELIVERY.build_body(parse_fact_message(f'{{"title": "t", "body": "b", "platforms": ["{platform}"]}}'))
    assert not problem_lines(LIST_METHOD.check(body, (TOKEN_LIST_TARGET,), make_credentials(platform=platform)))
    assert problem_lines(LIST_METHOD.check(body, (TOKEN_LIST_TARGET,), make_credentials(platform=other))) == [
        "wrong-platform $.message"
    ]
    with pytest.raises(DeliveryError):
        build_push(TOKEN_LIST_TARGET, body, platform=other)


def test_broadcast_tags_and_packages_share_rate_limit():
    (slow,) = DELIVERY.native_method.rate_limits((ALL_TARGET,))
    assert (slow.max_calls, slow.period_seconds) == (1, 1.0)
    assert {slow} == {
        *DELIVERY.native_method.rate_limits((TAG_TARGET, ACCOUNT_PACKAGE_TARGET)),
        *PACKAGE_METHOD.rate_limits((TOKEN_LIST_TARGET,)),
    }
    assert slow.name not in {limit.name for limit in LIST_METHOD.rate_limits((TOKEN_LIST_TARGET,))}


def unpack_form_file(request):
    """Return the one file of a multipart request: its field, its name, and its bytes."""
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    (part,) = message_from_bytes(head + request.content).get_payload()
    return part.get_param("name", header="content-disposition"), part.get_filename(), part.get_payload(decode=True)


@given(st.lists(st.text(st.sampled_from("0123456789abcdef时"), min_size=1, max_size=36), min_size=1, max_size=50))
def test_package_is_zip_with_one_token_per_line(tokens):
    with zipfile.ZipFile(io.BytesIO(zip_ids(tokens))) as archive:
        (entry,) = archive.infolist()
        assert "/" not in entry.filename
        assert entry.filename.endswith(".txt")
        assert archive.read(entry).decode("utf-8").split("\n") == tokens
        assert archive.testzip() is None


def test_upload_form_matches_library():
    request = build_upload({}, [TPNS.target_ids(["token1", "token2"])], make_credentials())
    kind = request.headers["Content-Type"]
    field, name, archive = unpack_form_file(request)
    assert (field, archive) == ("file", zip_ids(["token1", "token2"]))
    assert 1 <= len(name) <= 100
    files = {"file": (name, archive, "application/zip")}
    expected = httpx.Request("POST", "https://x", files=files, headers={"Content-Type": kind}).read()
    assert expected == request.content


@pytest.mark.parametrize("invalid", ["a\nb", "", " a", "a\r", "a\u2028b", "a\x85", "\ufeffa"])
def test_multiline_id_is_not_packaged(invalid):
    for target in (TPNS.target_ids(["t1", invalid, "t2"]), {**ACCOUNT_TARGET, "account_list": ["a1", invalid, "a2"]}):
        with pytest.raises(DeliveryError) as caught:
            build_upload({}, [target], make_credentials())
        assert caught.value.code == "no-line"


def test_multiline_id_next_to_empty_id_is_rejected():
    with pytest.raises(DeliveryError):
        zip_ids(["a\nb", ""])


def test_largest_package_is_within_vendor_limit():
    assert MAX_PACKAGE_TOKENS * (TPNS.max_id_length + 1) <= 100_000_000
    assert (PACKAGE_METHOD.max_ids, PACKAGE_METHOD.setup_call.max_uses) == (MAX_PACKAGE_TOKENS, 1)
