"""Tags of JPush: a call for the devices of one tag, and one for the tags of one device.

Sources: https://docs.jiguang.cn/jpush/server/push/rest_api_v3_device, rates and the codes 2002 and 2003
https://docs.jiguang.cn/jpush/server/push/server_overview; the host of each data centre and its paths are those of the
vendor's own client, the Python package jpush. A reply lists ids that JPush does not know as `illegal_rids`, as the
client jiguang-sdk-go reads it: with an error it says nothing of the other ids, and the call is made again without
those. JPush pushes to tags for paying applications only. No call counts the devices of a tag.
"""

from dataclasses import replace
from pathlib import Path

from audience.vendors.delivery_spec import Credentials, RateLimit, Request, Response, VendorReply
from audience.vendors.error_codes import load_codes
from audience.vendors.jpush.calls import BASE_URLS
from audience.vendors.jpush.cids import OVERVIEW
from audience.vendors.jpush.replies import add_reset_delay
from audience.vendors.shared.registration_tags import (
    build_reading,
    build_tag_call,
    find_segment_problems,
    parse_device_tags,
    parse_tag_reply,
    tag_forms,
)
from audience.vendors.spec import VendorLimit
from audience.vendors.tag_spec import TagCall, TagReading, TagSpec

TAGS_DOCS = "https://docs.jiguang.cn/jpush/server/push/rest_api_v3_device"
DEVICE_HOST = "https://device.jpush.cn"
RATE_LIMIT = RateLimit("device", 600, 60.0, OVERVIEW)  # of a free application
CODES = load_codes(Path(__file__).with_name("tag_codes.tsv"))
BY_CODE = {code.code: code for code in CODES}
READING_CODES = {**BY_CODE, "7002": replace(BY_CODE["7002"], outcome=BY_CODE["7013"].outcome)}


def find_base_url(base_url: str) -> str:
    """Return the host of calls for tags; Beijing has one host for all calls.

    >>> find_base_url("https://api.jpush.cn"), find_base_url("http://127.0.0.1:8080")
    ('https://device.jpush.cn', 'http://127.0.0.1:8080')
    """
    return DEVICE_HOST if base_url.rstrip("/") == BASE_URLS["default"] else base_url


def build_request(call: TagCall, credentials: Credentials) -> Request:
    """Build the request of *call*."""
    return build_tag_call(call, *_find_paths(credentials))


def _find_paths(credentials: Credentials) -> tuple[str, str]:
    """Return the paths of all tags and of all devices, which are other ones in Beijing."""
    if credentials.base_url.rstrip("/") == BASE_URLS["beijing"]:
        return "/v3/device/tags", "/v3/device"
    return "/v3/tags", "/v3/devices"


def parse_reply(response: Response, call: TagCall) -> VendorReply:
    """Parse the response to *call*."""
    return add_reset_delay(parse_tag_reply(response, call, BY_CODE), response)


def build_device_reading(identifier: str, key_type: str, credentials: Credentials) -> Request:
    """Build the request for the tags of one device."""
    _, devices_path = _find_paths(credentials)
    return build_reading(identifier, devices_path)


def parse_tags(response: Response) -> frozenset[str] | VendorReply:
    """Parse the tags of one device. A parameter that is invalid is its id: the call has no other one.

    >>> type(parse_tags(Response(400, b'{"error": {"code": 7002, "message": ""}}'))).__name__
    'InvalidIds'
    """
    tags = parse_device_tags(response, READING_CODES)
    return tags if isinstance(tags, frozenset) else add_reset_delay(tags, response)


TAGS = TagSpec(
    family="jpush",
    forms=tag_forms(TAGS_DOCS),
    build_request=build_request,
    parse_reply=parse_reply,
    rate_limits=lambda form: (RATE_LIMIT,),
    name_problems=find_segment_problems,
    max_tags_per_device=VendorLimit(1_000, TAGS_DOCS),
    error_codes=CODES,
    find_base_url=find_base_url,
    reading=TagReading(
        build_request=build_device_reading,
        parse_tags=parse_tags,
        rate_limits=(RATE_LIMIT,),
        source=TAGS_DOCS,
    ),
)
