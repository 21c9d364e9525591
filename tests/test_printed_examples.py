"""Examples as the vendors' pages print them, with values of our own, from the lines in examples/<vendor>.txt.

    accept REQUEST => EXPRESSION                the meaning of its target; all of it is accepted
    contradict REQUEST => CODE; CODE; WORDS     refused with our code, and by the vendor with its own, because of WORDS

A request is read (translate), its message is built and checked for its target (send), and it is posted to the sandbox
as printed and as we write it.
"""

import json
import warnings

import polars as pl
import pytest
from callers import CALLERS, service_of
from fact_files import load_cases
from vendor_calls import make_router, send_call

from audience import MessageError, PayloadWarning, get_vendor, parse, plan, render, simplify
from audience.messages import merge_patch, parse_message
from audience.vendors.delivery_spec import Credentials, SendCall
from audience.vendors.payload_reader import load_json

TABLE = pl.DataFrame(
    {
        "registration_id": ["r1", "r2", "r3"],
        "tags": [["north", "new", "vip"], ["south", "new"], ["east"]],
        "alias": ["u1", "u2", "u3"],
        "account": ["x1", "x1", "x2"],
        "live_activity_id": ["order-1", None, None],
        "platform": ["ios", None, None],
    }
)
TARGET_KEYS = {
    "engagelab": ("to",),
    "tpns": ("audience_type", "tag_rules", "tag_list", "token_list", "account_list", "account_push_type"),
    "emas": ("Target", "TargetValue", "DeviceType"),
    "emas_v2": ("Target",),
}


def post(name, request):
    """The code of the sandbox for a request; empty if it is accepted."""
    return send_call(make_router(TABLE, rate=None), service_of(name), CALLERS[name].post(request)).code


def build_message(name, request):
    """The fields of a request but whom it is for, and the body of a message that has them."""
    fields = {key: value for key, value in request.items() if key not in TARGET_KEYS[name]}
    said = {}  # what decides who gets it is said by the message itself
    if name == "tpns":
        said["platforms"] = [each for each in ("android", "ios") if each in fields["message"]]
        said["kind"] = "silent" if fields["message_type"] == "message" else "notification"
        said["test"] = fields.get("environment") == "dev"
    elif name == "engagelab":
        said["test"] = fields["body"].get("options", {}).get("apns_production") is False
        if (named := fields["body"]["platform"]) != "all":
            said["platforms"] = [named] if isinstance(named, str) else named
            fields["body"] = {key: value for key, value in fields["body"].items() if key != "platform"}
    return fields, get_vendor(name).delivery.build_body(parse_message({**said, "vendor": {name: fields}}))


def check_request(name, request):
    """The codes of all problems of sending a request, and what we would post in its place."""
    record, delivery = get_vendor(name), get_vendor(name).delivery
    try:
        fields, body = build_message(name, request)
    except MessageError as error:
        return [problem.code for problem in error.problems], None
    assert merge_patch(body, fields) == body
    [target] = plan(record.parse(request), name, max_requests=1).native
    keys = dict.fromkeys(delivery.required_keys, "1")
    if name == "tpns":
        keys["platform"] = "ios" if "ios" in fields["message"] else "android"
    credentials = Credentials("https://…", keys)
    if problems := [problem.code for problem in delivery.native_method.check(body, (target,), credentials)]:
        return problems, None
    call = SendCall(targets=(target,), body=body, handle=None, idempotency_key="00000000-0000-4000-8000-000000000000")
    return [], delivery.native_method.build_request(call, credentials)


@pytest.mark.parametrize(("name", "request_text", "meaning"), load_cases("examples", "accept"))
def test_printed_example_is_accepted(name, request_text, meaning):
    request = load_json(request_text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expr = get_vendor(name).parse(request)
    assert render(simplify(expr)) == render(simplify(parse(meaning)))
    codes, written = check_request(name, request)
    assert codes == []
    assert post(name, request) in {"", *CALLERS[name].nobody_codes}
    if written.content:
        assert post(name, json.loads(written.content)) in {"", *CALLERS[name].nobody_codes}


@pytest.mark.parametrize(("name", "request_text", "reasons"), load_cases("examples", "contradict"))
def test_printed_example_that_its_own_page_contradicts_is_refused(name, request_text, reasons):
    request = load_json(request_text)
    code, vendor_code, why = reasons.split("; ")
    assert why
    if code == "misprint":
        with pytest.warns(PayloadWarning, match="misprint"):
            get_vendor(name).parse(request)
    else:
        assert check_request(name, request)[0] == [code]
    assert post(name, request) == vendor_code
