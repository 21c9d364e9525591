"""Tags of EngageLab: a call for the devices of one tag, and one for the tags of one device.

Sources: https://www.engagelab.com/docs/app-push/rest-api/tag-alias-api for the bounds, the vendor's own clients
engagelab-apppush (Python) and engagelab-apppush-go for the calls and the counts of tags, and its skill
https://github.com/DevEngageLab/engagelab-skills for rates and error codes.

Not seen on any page: how many ids a call takes, how long its names may be, and what it replies to an id that the
vendor does not know. The numbers are those of JPush, which runs the same interface; an accepted call counts as one
that says nothing of unknown ids.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from audience.vendors.delivery_spec import Credentials, Request, Response, VendorReply
from audience.vendors.engagelab.calls import PUSH_RATE_LIMIT
from audience.vendors.engagelab.targeting import PLATFORMS, TAGS_DOCS
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_status
from audience.vendors.reply_checks import ContradictoryReply, doubt_contradictions, is_success
from audience.vendors.shared.registration_tags import (
    JSON_HEADERS,
    build_reading,
    build_tag_call,
    find_segment_problems,
    parse_device_tags,
    parse_error,
    parse_tag_reply,
    tag_forms,
)
from audience.vendors.spec import VendorLimit
from audience.vendors.tag_spec import TagCall, TagReading, TagSpec

TAGS_PATH, DEVICES_PATH, COUNTS_PATH = "/v4/tags", "/v4/devices", "/v4/tags_count"
MAX_COUNTED_TAGS = 50  # the vendor takes 1,000, but their address would be longer than servers take
CODES = load_codes(Path(__file__).with_name("tag_codes.tsv"))
BY_CODE = {code.code: code for code in CODES}


def build_request(call: TagCall, credentials: Credentials) -> Request:
    """Build the request of *call*."""
    return build_tag_call(call, TAGS_PATH, DEVICES_PATH)


def parse_reply(response: Response, call: TagCall) -> VendorReply:
    """Parse the response to *call*."""
    return parse_tag_reply(response, call, BY_CODE)


def build_device_reading(identifier: str, key_type: str, credentials: Credentials) -> Request:
    """Build the request for the tags of one device."""
    return build_reading(identifier, DEVICES_PATH)


def build_counts(tags: Sequence[str], credentials: Credentials) -> tuple[Request, ...]:
    """Build the requests for the number of devices of each of *tags*, one for each platform.

    >>> requests = build_counts(["vip", "test"], Credentials("https://…", {}))
    >>> len(requests), requests[0].path
    (3, '/v4/tags_count?tags=vip&tags=test&platform=android')
    """
    names = [("tags", tag) for tag in tags]
    queries = (urlencode([*names, ("platform", platform)]) for platform in PLATFORMS.names.values())
    return tuple(Request(method="GET", path=f"{COUNTS_PATH}?{query}", headers=JSON_HEADERS) for query in queries)


@doubt_contradictions
def parse_counts(response: Response) -> Mapping[str, int] | VendorReply:
    """Parse the numbers of devices of some tags; a tag whose number is null is left out.

    >>> parse_counts(Response(200, b'{"tagsCount": {"vip": 100, "test": 50}}'))
    {'vip': 100, 'test': 50}
    """
    payload = parse_json_body(response)
    if reply := parse_error(response, payload, BY_CODE):
        return reply
    counts = payload.get("tagsCount")
    if not is_success(response) or not isinstance(counts, dict):
        return reply_from_status(response)
    if any(type(count) is not int or count < 0 for count in counts.values() if count is not None):
        raise ContradictoryReply("its counts are not numbers")
    return {tag: count for tag, count in counts.items() if count is not None}


TAGS = TagSpec(
    family="engagelab",
    forms=tag_forms(TAGS_DOCS),
    build_request=build_request,
    parse_reply=parse_reply,
    rate_limits=lambda form: (PUSH_RATE_LIMIT,),  # of all calls with one app_key
    name_problems=find_segment_problems,
    max_tags_per_device=VendorLimit(100, TAGS_DOCS),
    max_tags=VendorLimit(100_000, TAGS_DOCS),
    max_devices_per_tag=VendorLimit(100_000, TAGS_DOCS),
    error_codes=CODES,
    reading=TagReading(
        build_request=build_device_reading,
        parse_tags=partial(parse_device_tags, codes=BY_CODE),
        rate_limits=(PUSH_RATE_LIMIT,),
        source=TAGS_DOCS,
        build_counts=build_counts,
        parse_counts=parse_counts,
        max_counted=MAX_COUNTED_TAGS,
    ),
    reports_unknown_ids=False,
)
