"""The requests of TPNS: whom they tell, how they are signed, and packages of tokens."""

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
from test_messages import meant, places

from audience import DeliveryError, vendor
from audience.language.ast import Ids
from audience.vendors.delivery_spec import Application, Call, Request, Stamp
from audience.vendors.spec import Limit, Unsaid
from audience.vendors.tpns.packages import MOST_TOKENS, upload, zipped

TPNS = vendor("tpns")
DELIVERY = TPNS.delivery
LIST, PACKAGE = DELIVERY.ways
KEYS = {"access_id": "1500001048", "secret_key": "1452fcebae9f3115ba794fb0fff2fd73"}  # of the vendor's sample
AT = Stamp(datetime.fromtimestamp(1565314789, UTC), "n")
BODY = {
    "message_type": "notify",
    "environment": "dev",
    "message": {"title": "t", "content": "c", "android": {"ring": 0}, "ios": {"aps": {"alert": {}}}},
}
ALL, TAGS = {"audience_type": "all"}, {"audience_type": "tag", "tag_rules": []}
TOKEN, TOKENS = {"audience_type": "token", "token_list": ["t1"]}, TPNS.listing(["t1", "t2"])
ACCOUNTS = {"audience_type": "account_list", "account_list": ["a1", "a2"], "account_push_type": 1}

PACKED_ACCOUNTS = {"audience_type": "package_account_push", "account_list": ["张 三", "a2"], "account_push_type": 1}


def application(**more):
    return Application("https://api.tpns.tencent.com", {**KEYS, **more})


def pushed(target, body=BODY, handle=None, **keys):
    call = Call(targets=(target,), body=body, handle=handle, token="x")
    return json.loads(DELIVERY.native.request(call, application(**keys)).content)


def test_a_sign_is_that_of_the_vendors_sample():
    """The sample of https://www.tencentcloud.com/document/product/1024/34213, as it stood with `platform` in it."""
    content = (
        b'{"audience_type": "account","platform": "android","message": {"title": "test title",'
        b'"content": "test content","android": { "action": {"action_type": 3,'
        b'"intent": "xgscheme://com.xg.push/notify_detail?param1=xg"}}},'
        b'"message_type": "notify","account_list": ["5822f0eee44c3625ef0000bb"] }'
    )
    signed = DELIVERY.sign(Request(method="POST", path="/v3/push/app", content=content), application(), AT)
    assert dict(signed.headers) == {
        "AccessId": "1500001048",
        "TimeStamp": "1565314789",
        "Sign": "Y2QyMDc3NDY4MmJmNzhiZmRiNDNlMTdkMWQ1ZDU2YjNlNWI3ODlhMTY3MGZjMTUyN2VmNTRjNjVkMmQ3Yjc2ZA==",
    }


@given(st.binary(max_size=200), st.text(st.characters(codec="ascii"), min_size=1, max_size=100))
def test_a_sign_is_base64_of_the_digits_of_rfc_2104(content, secret):
    """HMAC by its definition, https://www.rfc-editor.org/rfc/rfc2104."""
    key = secret.encode() if len(secret) <= 64 else sha256(secret.encode()).digest()
    inner, outer = (bytes(byte ^ pad for byte in key.ljust(64, b"\0")) for pad in (0x36, 0x5C))
    text = b"1565314789" + b"1500001048" + content
    digits = sha256(outer + sha256(inner + text).digest()).hexdigest()
    request = Request(method="POST", path="/v3/push/app", content=content)
    signed = DELIVERY.sign(request, application(secret_key=secret), AT)
    assert signed.headers["Sign"] == b64encode(digits.encode()).decode()


def test_basic_authentication_where_it_is_chosen_and_for_uploads():
    basic = "Basic " + b64encode(b"1500001048:1452fcebae9f3115ba794fb0fff2fd73").decode()
    push = Request(method="POST", path="/v3/push/app", headers={"A": "1"}, content=b"{}")
    assert DELIVERY.sign(push, application(signature="basic"), AT).headers == {"A": "1", "Authorization": basic}
    assert DELIVERY.sign(upload({}, [TOKEN], application()), application(), AT).headers["Authorization"] == basic


def test_no_secret_is_shown():
    signed = DELIVERY.sign(upload({}, [TOKEN], application()), application(), AT)
    assert KEYS["secret_key"] not in repr((application(), signed, PACKAGE))
    assert DELIVERY.secret <= {*DELIVERY.keys}


def test_a_list_names_its_bad_tokens_unless_it_is_to_fail():
    assert pushed(TOKENS)["ignore_invalid_token"] == pushed(TOKEN)["ignore_invalid_token"] == 1
    assert pushed(TOKENS, BODY | {"ignore_invalid_token": 0})["ignore_invalid_token"] == 0
    assert not any("ignore_invalid_token" in pushed(target) for target in (ALL, TAGS, ACCOUNTS))


def test_an_application_gets_the_structure_of_its_platform():
    android, ios = pushed(ALL), pushed(ALL, platform="ios")
    assert android == {
        "message_type": "notify",
        "message": {"title": "t", "content": "c", "android": {"ring": 0}},
        **ALL,
    }
    assert ios["message"] == {"title": "t", "content": "c", "ios": {"aps": {"alert": {}}}}
    assert ios["environment"] == "dev"


@pytest.mark.parametrize("target", [ALL, TAGS, TOKEN, TOKENS, ACCOUNTS])
def test_the_target_is_said_as_it_is(target):
    assert {key: pushed(target)[key] for key in target} == target


def test_a_package_is_named_by_the_number_of_its_upload():
    assert {"audience_type": "package_token_push", "upload_id": 35718}.items() <= pushed(TOKENS, handle="35718").items()


def test_accounts_go_up_in_a_package_and_the_number_of_the_upload_takes_their_place():
    """The form of https://www.tencentcloud.com/document/product/1024/38830."""
    (name, _, packed), opening = (
        unpacked(DELIVERY.native.opening.request({}, (PACKED_ACCOUNTS,), application())),
        (DELIVERY.native.opening),
    )
    assert (name, packed) == ("file", zipped(["张 三", "a2"]))
    said = pushed(PACKED_ACCOUNTS, handle="11231")
    assert {"audience_type": "package_account_push", "upload_id": 11231, "account_push_type": 1}.items() <= said.items()
    assert not {"account_list", "ignore_invalid_token"} & said.keys()
    assert [target for target in (ALL, TAGS, TOKENS, ACCOUNTS, PACKED_ACCOUNTS) if opening.needed((target,))] == [
        PACKED_ACCOUNTS
    ]


def test_more_accounts_than_a_list_takes_are_one_package_that_reads_back_as_they_were():
    meant = Ids("account", tuple(f"user-{at}" for at in range(1_001)))
    said = TPNS.emit(meant)
    assert said["audience_type"] == "package_account_push"
    assert TPNS.parse(said) == meant
    assert [problem.code for problem in TPNS.conditions(meant)] == ["account", "package"]
    assert TPNS.emit(Ids("account", meant.values[1:]))["audience_type"] == "account_list"


@pytest.mark.parametrize(
    ("odd", "code"),
    [("a", "bad-length"), ("a" * 101, "bad-length"), ("a\nb", "no-line"), (" ab", "no-line"), ("ab\u3000", "no-line")],
)
def test_accounts_that_no_file_holds_are_told_by_no_package(odd, code):
    accounts = [f"user-{at}" for at in range(1_000)]
    with pytest.raises(Unsaid) as caught:
        TPNS.emit(Ids("account", (*accounts, odd)))
    assert [problem.code for problem in caught.value.problems] == [code]


def test_accounts_of_more_bytes_than_a_file_may_have_are_told_by_no_package(monkeypatch):
    monkeypatch.setitem(TPNS.limits, "account_package_bytes", Limit(8_007, "made up"))
    accounts = [f"user{at:04}" for at in range(1_001)]
    with pytest.raises(Unsaid) as caught:
        TPNS.emit(Ids("account", tuple(accounts)))
    assert [problem.code for problem in caught.value.problems] == ["too-many"]


@pytest.mark.parametrize(
    ("said", "targets", "keys", "reasons"),
    [
        ("{}", (ALL,), {}, []),
        ('{"send_time": "<+1d %Y-%m-%d %H:%M:%S>", "push_speed": 1000, "collapse_id": 1}', (ALL, TAGS), {}, []),
        ('{"send_time": "<+1d %Y-%m-%d %H:%M:%S>"}', (TOKENS,), {}, ["no-such-target $.send_time"]),
        (
            '{"push_speed": 1000, "collapse_id": 1}',
            (TOKENS,),
            {},
            ["no-such-target $.collapse_id", "no-such-target $.push_speed"],
        ),
        ('{"account_type": 1}', (ACCOUNTS,), {}, []),
        ('{"account_type": 1, "push_speed": 1000}', (PACKED_ACCOUNTS,), {}, []),
        ('{"account_type": 1}', (TOKENS,), {}, ["no-such-target $.account_type"]),
        ("{}", (TOKENS,), {"platform": "ios"}, []),
    ],
)
def test_what_a_target_cannot_be_told_is_refused_before_anything_is_sent(said, targets, keys, reasons):
    body = DELIVERY.body(meant(f'{{"title": "t", "body": "b", "vendor": {{"tpns": {said}}}}}'))
    assert places(DELIVERY.native.refuses(body, targets, application(**keys))) == reasons


@pytest.mark.parametrize(("told", "other"), [("android", "ios"), ("ios", "android")])
def test_a_message_for_one_platform_is_not_sent_to_an_application_of_the_other(told, other):
    body = DELIVERY.body(meant(f'{{"title": "t", "body": "b", "platforms": ["{told}"]}}'))
    assert not places(LIST.refuses(body, (TOKENS,), application(platform=told)))
    assert places(LIST.refuses(body, (TOKENS,), application(platform=other))) == ["wrong-platform $.message"]
    with pytest.raises(DeliveryError):
        pushed(TOKENS, body, platform=other)


def test_everyone_tags_and_packages_share_one_call_a_second():
    (slow,) = DELIVERY.native.paces((ALL,))
    assert (slow.calls, slow.seconds) == (1, 1.0)
    assert {slow} == {*DELIVERY.native.paces((TAGS, PACKED_ACCOUNTS)), *PACKAGE.paces((TOKENS,))}
    assert slow.name not in {pace.name for pace in LIST.paces((TOKENS,))}


def unpacked(request):
    """The one file of a multipart request: its name in the form, its own name, and its bytes."""
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    (part,) = message_from_bytes(head + request.content).get_payload()
    return part.get_param("name", header="content-disposition"), part.get_filename(), part.get_payload(decode=True)


@given(st.lists(st.text(st.sampled_from("0123456789abcdef时"), min_size=1, max_size=36), min_size=1, max_size=50))
def test_a_package_is_a_zip_of_one_text_with_a_token_a_line(tokens):
    with zipfile.ZipFile(io.BytesIO(zipped(tokens))) as archive:
        (entry,) = archive.infolist()
        assert "/" not in entry.filename
        assert entry.filename.endswith(".txt")
        assert archive.read(entry).decode("utf-8").split("\n") == tokens
        assert archive.testzip() is None


def test_an_upload_is_the_form_that_a_library_writes():
    request = upload({}, [TPNS.listing(["token1", "token2"])], application())
    kind = request.headers["Content-Type"]
    field, name, packed = unpacked(request)
    assert (field, packed) == ("file", zipped(["token1", "token2"]))
    assert 1 <= len(name) <= 100
    files = {"file": (name, packed, "application/zip")}
    written = httpx.Request("POST", "https://x", files=files, headers={"Content-Type": kind}).read()
    assert written == request.content


@pytest.mark.parametrize("odd", ["a\nb", "", " a", "a\r", "a\u2028b", "a\x85", "\ufeffa"])
def test_an_id_that_is_no_line_of_its_own_is_never_packed(odd):
    for target in (TPNS.listing(["t1", odd, "t2"]), {**ACCOUNTS, "account_list": ["a1", odd, "a2"]}):
        with pytest.raises(DeliveryError) as caught:
            upload({}, [target], application())
        assert caught.value.code == "no-line"


def test_an_id_that_is_two_cannot_hide_behind_one_that_is_none():
    with pytest.raises(DeliveryError):
        zipped(["a\nb", ""])


def test_the_largest_package_is_within_the_vendors_limit():
    assert MOST_TOKENS * (TPNS.id_length + 1) <= 100_000_000
    assert (PACKAGE.ids, PACKAGE.opening.calls) == (MOST_TOKENS, 1)
