"""Calls for tags, of every vendor that has them: tag_calls/<vendor>.txt has its facts, one a line.

call FORM CHANGES => REQUEST      the request for changes, which are JSON
refuse-call FORM CHANGES => CODE  the problem of changes that no request can have
reply STATUS BODY => REPLY        the meaning of a response to a call that adds `vip` to r1, r2 and r3
read ID => REQUEST                the request for the tags of an id
refuse-read ID => CODE            the problem of an id that no request can have
tags STATUS BODY => TAGS          the tags in the response to it, or a reply
count TAGS => REQUESTS            the requests for the numbers of devices of tags
counts STATUS BODY => NUMBERS     the numbers in the response to one of them, or a reply
codes PAGE => CODES               all codes that a page lists for these calls
bounds PAGE => BOUNDS             the bounds of one device, of the application, and of one tag
host URL => URL                   the host of these calls, for that of the pushes
"""

import json
import re
from collections import Counter
from fnmatch import fnmatch

import pytest
from callers import CALLERS
from fact_files import load_cases
from hypothesis import given
from hypothesis import strategies as st

from audience import get_vendor, vendor_names
from audience.errors import DeliveryError
from audience.vendors.delivery_spec import Accepted, Credentials, InDoubt, Response
from audience.vendors.error_codes import OUTCOMES
from audience.vendors.tag_spec import Grid, Pairs, TagCall

TAGGED_VENDORS = sorted({get_vendor(name).tags.family for name in vendor_names() if get_vendor(name).tags})
REPLY_KINDS = ("Accepted", "InvalidIds", "Rejected", "Retryable", "Fatal", "InDoubt")
MIN_FACTS = {"call": 10, "reply": 15}
KEYS = {
    "app_key": "23267207",
    "master_secret": "s",
    "access_id": "1500001",
    "secret_key": "s",
    "app_id": "a1",
    "package_name": "com.example.app",
}
every_tagged_vendor = pytest.mark.parametrize("name", TAGGED_VENDORS)


def spec_of(name):
    return get_vendor(name).tags


def credentials_of(name):
    return Credentials(
        get_vendor(name).delivery.base_urls and next(iter(get_vendor(name).delivery.base_urls.values())), KEYS
    )


def form_of(name, form_name):
    (form,) = [form for form in spec_of(name).forms if form.name == form_name]
    return form


def read_changes(changes):
    if changes is None:
        return Grid()
    if "pairs" in changes:
        return Pairs(tuple((identifier, tag) for identifier, tag in changes["pairs"]))
    return Grid(tuple(changes["ids"]), tuple(changes["tags"]))


def read_call(name, text):
    form_name, _, content = text.partition(" ")
    changes = json.loads(content)
    spec = spec_of(name)
    key_type = changes.get("key_type", spec.key_types[0])
    added, removed = read_changes(changes.get("added")), read_changes(changes.get("removed"))
    return TagCall(form=form_of(name, form_name), added=added, removed=removed, key_type=key_type)


def format_request(request):
    query = "?" + "&".join(f"{key}={value}" for key, value in request.query.items()) if request.query else ""
    action = request.headers.get("x-acs-action")
    parts = (request.method, request.path + query, request.content.decode(), f"[{action}]" if action else "")
    return " ".join(filter(None, parts))


def format_reply(reply):
    kind = type(reply).__name__
    if isinstance(reply, Accepted):
        assert reply.message_id == ""
        return " ".join((kind, *reply.invalid_ids))
    if reply.problem.code == "contradictory-reply":
        return f"{kind} contradictory"
    code = reply.problem.message.split()[0]
    assert reply.problem.hint
    return " ".join((kind, "-" if code == "HTTP" else code, *getattr(reply, "ids", ())))


def sample_call(name):
    """A call that adds `vip` to three ids, of the first form that takes them, or to one."""
    spec = spec_of(name)
    form = next((form for form in spec.forms if form.adds and form.max_ids >= 3), spec.forms[0])
    return TagCall(form=form, added=Grid(("r1", "r2", "r3")[: form.max_ids], ("vip",)), key_type=spec.key_types[0])


def read_response(text):
    status, _, content = text.partition(" ")
    return Response(int(status), content.encode())


@pytest.mark.parametrize(("name", "changes", "request_text"), load_cases("tag_calls", "call"))
def test_call_is_written(name, changes, request_text):
    request = spec_of(name).build_request(read_call(name, changes), credentials_of(name))
    assert format_request(request) == request_text


@pytest.mark.parametrize(("name", "call", "request_text"), load_cases("tag_calls", "call-at"))
def test_call_is_written_for_a_host(name, call, request_text):
    host, _, changes = call.partition(" ")
    assert (
        format_request(spec_of(name).build_request(read_call(name, changes), Credentials(host, KEYS))) == request_text
    )


@pytest.mark.parametrize(("name", "changes", "code"), load_cases("tag_calls", "refuse-call"))
def test_call_is_refused(name, changes, code):
    with pytest.raises(DeliveryError) as caught:
        spec_of(name).build_request(read_call(name, changes), credentials_of(name))
    assert [problem.code for problem in caught.value.problems] == [code]


@pytest.mark.parametrize(("name", "reply", "meaning"), load_cases("tag_calls", "reply"))
def test_reply_to_a_tag_call_has_the_documented_outcome(name, reply, meaning):
    assert format_reply(spec_of(name).parse_reply(read_response(reply), sample_call(name))) == meaning


@pytest.mark.parametrize(("name", "identifier", "request_text"), load_cases("tag_calls", "read"))
def test_reading_is_written(name, identifier, request_text):
    request = spec_of(name).reading.build_request(identifier, spec_of(name).key_types[0], credentials_of(name))
    assert format_request(request) == request_text


@pytest.mark.parametrize(("name", "identifier", "code"), load_cases("tag_calls", "refuse-read"))
def test_reading_is_refused(name, identifier, code):
    with pytest.raises(DeliveryError) as caught:
        spec_of(name).reading.build_request(identifier, spec_of(name).key_types[0], credentials_of(name))
    assert [problem.code for problem in caught.value.problems] == [code]


@pytest.mark.parametrize(("name", "reply", "meaning"), load_cases("tag_calls", "tags"))
def test_tags_of_a_reply(name, reply, meaning):
    tags = spec_of(name).reading.parse_tags(read_response(reply))
    assert (" ".join(sorted(tags)) or "none" if isinstance(tags, frozenset) else format_reply(tags)) == meaning


@pytest.mark.parametrize(("name", "tags", "request_text"), load_cases("tag_calls", "count"))
def test_counts_are_requested(name, tags, request_text):
    requests = spec_of(name).reading.build_counts(tags.split(), credentials_of(name))
    assert " ".join(map(format_request, requests)) == request_text


@pytest.mark.parametrize(("name", "reply", "meaning"), load_cases("tag_calls", "counts"))
def test_counts_of_a_reply(name, reply, meaning):
    counts = spec_of(name).reading.parse_counts(read_response(reply))
    texts = sorted(f"{tag}={count}" for tag, count in counts.items()) if isinstance(counts, dict) else None
    assert (format_reply(counts) if texts is None else " ".join(texts) or "none") == meaning


@pytest.mark.parametrize(("name", "push_host", "host"), load_cases("tag_calls", "host"))
def test_host_of_calls(name, push_host, host):
    assert spec_of(name).find_base_url(push_host) == host


@pytest.mark.parametrize(("name", "page", "bounds"), load_cases("tag_calls", "bounds"))
def test_bounds_are_those_of_the_page(name, page, bounds):
    spec = spec_of(name)
    limits = {
        "per-device": spec.max_tags_per_device,
        "tags": spec.max_tags,
        "devices": spec.max_devices_per_tag,
        "keys": spec.max_keys,
    }
    known = {key: limit for key, limit in limits.items() if limit is not None}
    assert " ".join(f"{key}:{limit.maximum}" for key, limit in known.items()) == bounds
    assert all(limit.source.startswith("https://") for limit in known.values())


def test_jpush_waits_until_its_limit_resets():
    content = b'{"error":{"code":2002,"message":"Rate limit exceeded"}}'
    response = Response(429, content, {"x-rate-limit-reset": "17"})
    assert spec_of("jpush").parse_reply(response, sample_call("jpush")).retry_after == 17
    assert spec_of("jpush").reading.parse_tags(response).retry_after == 17


def test_tpns_does_not_take_a_token_for_unknown_if_all_failed():
    many = sample_call("tpns")
    one = TagCall(form=many.form, added=Grid(("r1",), ("vip",)))
    response = Response(200, b'{"seq":0,"ret_code":1008027,"err_msg":"batch operation entirely failed"}')
    assert type(spec_of("tpns").parse_reply(response, many)).__name__ == "InvalidIds"
    assert type(spec_of("tpns").parse_reply(response, one)).__name__ == "Retryable"


def test_fcm_changes_topics_by_tokens_alone():
    spec, fids = spec_of("fcm"), Credentials("https://fcm.googleapis.com", {"ids": "fid"})
    for build in (
        lambda: spec.build_request(sample_call("fcm"), fids),
        lambda: spec.reading.build_request("r1", "registration_id", fids),
    ):
        with pytest.raises(DeliveryError, match="topics of FCM are kept by tokens"):
            build()


def test_topic_of_fcm_has_900_characters():
    assert not [*spec_of("fcm").name_problems("x" * 900)]
    assert [problem.code for problem in spec_of("fcm").name_problems("x" * 901)] == ["name-too-long"]


def test_vendors_of_a_family_share_their_record():
    for name in vendor_names():
        if (spec := get_vendor(name).tags) is not None:
            assert spec == get_vendor(spec.family).tags


# Laws. ---------------------------------------------------------------------------------------------------------------


def facts_of(name, *verbs):
    return [case.values[1:] for case in load_cases("tag_calls", *verbs) if case.values[0] == name]


@every_tagged_vendor
def test_vendor_has_enough_facts(name):
    for verb, minimum in MIN_FACTS.items():
        assert len(facts_of(name, verb)) >= minimum, verb
    if spec_of(name).reading is not None:
        assert facts_of(name, "read") and facts_of(name, "tags")


@every_tagged_vendor
def test_every_form_is_documented_and_has_facts(name):
    spec = spec_of(name)
    assert len({form.name for form in spec.forms}) == len(spec.forms)
    assert {text.split()[0] for text, _ in facts_of(name, "call")} == {form.name for form in spec.forms}
    assert any(form.adds for form in spec.forms) and any(form.removes for form in spec.forms)
    for form in spec.forms:
        assert form.source.startswith("https://") and form.max_ids > 0 and form.max_tags > 0
        assert all(limit.max_calls > 0 and "https://" in limit.source for limit in spec.rate_limits(form))


@every_tagged_vendor
def test_every_documented_code_has_meaning_and_advice(name):
    codes = spec_of(name).error_codes
    listed = [code for _, texts in facts_of(name, "codes") for code in str(texts).split()]
    assert sorted(code.code for code in codes) == sorted(listed)
    assert all(code.meaning and code.advice and code.source.startswith("https://") for code in codes)
    assert {code.outcome for code in codes} <= set(OUTCOMES)


@every_tagged_vendor
def test_every_code_gives_its_listed_outcome(name):
    kinds = dict(zip(OUTCOMES, REPLY_KINDS, strict=True))
    lines = [str(meaning).split()[:2] for _, meaning in facts_of(name, "reply") if " " in str(meaning)]
    for code in spec_of(name).error_codes:
        assert any(kind == kinds[code.outcome] and fnmatch(word, code.code) for kind, word in lines), code.code


WORDS = st.text("abc1_-./%?#&=+ \"'\\中😀", min_size=1, max_size=6).filter(lambda text: text not in (".", ".."))


def unique_words(max_size, alphabet=WORDS):
    return st.lists(alphabet, min_size=1, max_size=min(max_size, 6), unique=True)


@st.composite
def calls(draw, spec, form, forbidden):
    """A call of *form* that is within its bounds."""
    names = WORDS.filter(lambda text: not set(text) & set(forbidden))
    if form.max_pairs is not None:
        pairs = draw(st.lists(st.tuples(names, names), min_size=1, max_size=min(form.max_pairs, 5), unique=True))
        sides = {"added": Pairs(tuple(pairs))} if form.adds else {"removed": Pairs(tuple(pairs))}
        return TagCall(form=form, key_type=draw(st.sampled_from(spec.key_types)), **sides)
    ids, tags = draw(unique_words(form.max_ids, names)), draw(unique_words(form.max_tags, names))
    grid = Grid(tuple(ids), tuple(tags))
    sides = {"added": grid} if form.adds else {"removed": grid}
    if form.adds and form.removes and draw(st.booleans()):  # one side is shared, the other one divided
        if form.max_ids == 1:
            others = [tag for tag in draw(unique_words(form.max_tags, names)) if tag not in tags]
            sides["removed"] = Grid(tuple(ids), tuple(others)) if others else Grid()
        else:
            others = [each for each in draw(unique_words(form.max_ids, names)) if each not in ids]
            sides["removed"] = Grid(tuple(others), tuple(tags)) if others else Grid()
    return TagCall(form=form, key_type=draw(st.sampled_from(spec.key_types)), **sides)


def pairs_of(changes):
    return (
        changes.pairs if isinstance(changes, Pairs) else [(each, tag) for each in changes.ids for tag in changes.tags]
    )


@every_tagged_vendor
@given(data=st.data())
def test_call_read_back_names_exactly_its_ids_and_tags(name, data):
    spec = spec_of(name)
    form = data.draw(st.sampled_from(spec.forms))
    call = data.draw(calls(spec, form, get_vendor(name).forbidden_id_chars))
    request = spec.build_request(call, credentials_of(name))
    assert re.fullmatch(r"[!-~]+", request.path)
    expected = Counter(("add", *pair) for pair in pairs_of(call.added))
    expected += Counter(("remove", *pair) for pair in pairs_of(call.removed))
    assert Counter(CALLERS[name].read_tags(request)) == expected


@every_tagged_vendor
@given(data=st.data())
def test_no_failing_status_is_accepted(name, data):
    status = data.draw(st.integers(300, 599))
    replies = [text.partition(" ")[2] for text, _ in facts_of(name, "reply")]
    reply = spec_of(name).parse_reply(Response(status, data.draw(st.sampled_from(replies)).encode()), sample_call(name))
    assert not isinstance(reply, Accepted)


@every_tagged_vendor
@given(content=st.binary(min_size=1, max_size=40))
def test_noise_is_not_accepted(name, content):
    reply = spec_of(name).parse_reply(Response(200, content), sample_call(name))
    if isinstance(reply, Accepted):
        assert content.strip() in (b"", b"success", b'"success"') or isinstance(json.loads(content), dict)


@every_tagged_vendor
def test_duplicate_keys_are_in_doubt(name):
    content = b'{"error":{"code":1},"error":{"code":2},"ret_code":0,"RequestId":"1"}'
    assert isinstance(spec_of(name).parse_reply(Response(200, content), sample_call(name)), InDoubt)
