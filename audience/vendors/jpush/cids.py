"""Idempotency keys of JPush, its cids: `GET /v3/push/cid`.

Source: https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push_advanced. A cid has to be requested from JPush: it is
written {appkey}-{uuid}, and no page says that a cid of one's own is taken. A push with a cid that has succeeded returns
the first result, for a day. Whether that day begins with the request or with the push is left open there, so the age of
a cid and the time of its repeats have half of it each.
"""

from datetime import timedelta

from audience.vendors.delivery_spec import Credentials, KeySource, RateLimit, Request
from audience.vendors.jpush.replies import parse_cid_reply

DOCS = "https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push_advanced"
OVERVIEW = "https://docs.jiguang.cn/jpush/server/push/server_overview"
PUSH_RATE_LIMIT = RateLimit("push", 600, 60.0, OVERVIEW)  # of a free application; calls for cids count, to be safe
FREE_CIDS = 10  # what a free application gets, whatever it asks for; VIP ones get up to 1,000
ASKED_CIDS = 100
MAX_CID_AGE = timedelta(hours=11)
DEDUP_WINDOW = timedelta(hours=12)


def build_cid_request(credentials: Credentials, kind: str = "push") -> Request:
    """Build the request for cids of pushes, or of another *kind*.

    >>> build_cid_request(Credentials("https://…", {})).query
    {'count': '100', 'type': 'push'}
    """
    query = {"count": str(ASKED_CIDS), "type": kind}
    return Request(method="GET", path="/v3/push/cid", query=query, headers={"Accept": "application/json"})


PUSH_CIDS = KeySource(
    name="push",
    build_request=build_cid_request,
    parse_reply=parse_cid_reply,
    min_keys=FREE_CIDS,
    max_age=MAX_CID_AGE,
    rate_limits=(PUSH_RATE_LIMIT,),
    source=DOCS,
)
