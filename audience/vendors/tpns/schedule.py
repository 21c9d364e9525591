"""Pushes of TPNS that are delivered later: `send_time`, loops, and their withdrawal.

Sources: https://www.tencentcloud.com/document/product/1024/33764, and for the withdrawal
https://www.tencentcloud.com/document/product/1024/39064. That page writes `pushId` in its table and `pushid` in its
sample; its reply has `retCode`, that of a push `ret_code`.
"""

from datetime import datetime

from audience.errors import Problem
from audience.vendors.delivery_spec import Accepted, Credentials, Payload, Rejected, Request, Response, VendorReply
from audience.vendors.error_codes import parse_json_body, reply_from_status
from audience.vendors.payload_reader import dump_json
from audience.vendors.schema_check import get_in
from audience.vendors.tpns.loops import list_loop_moments
from audience.vendors.tpns.message_rules import BEIJING, TIMESTAMP_FORMAT, parse_timestamp

CANCEL_PATH = "/v3/push/cancel_timing_task"
CANCEL_DOCS = "https://www.tencentcloud.com/document/product/1024/39064"


def apply_send_time(body: Payload, moment: datetime) -> Payload:
    """Return *body* for a push at *moment*, in the time of TPNS's servers.

    >>> from datetime import UTC
    >>> apply_send_time({}, datetime(2026, 12, 1, 1, tzinfo=UTC))
    {'send_time': '2026-12-01 09:00:00'}
    """
    return {**body, "send_time": moment.astimezone(BEIJING).strftime(TIMESTAMP_FORMAT)}


def read_moments(body: Payload) -> tuple[datetime, ...]:
    """Return the moments at which a push with `send_time` or `loop_param` is delivered.

    >>> loop = {"startDate": "2026-12-01", "endDate": "2026-12-03", "loopType": 2, "loopDayIndexs": [3],
    ...  "dayTimes": ["09:00:00"]}
    >>> [moment.isoformat() for moment in read_moments({"loop_param": loop})]
    ['2026-12-02T09:00:00+08:00']
    """
    if "loop_param" in body:
        return tuple(list_loop_moments(get_in(body, "loop_param")))
    moment = parse_timestamp(body.get("send_time"), TIMESTAMP_FORMAT)
    return () if moment is None else (moment,)


def build_cancel(message_id: str, credentials: Credentials) -> Request:
    """Build the request that withdraws a push before its time.

    >>> build_cancel("1895624995", Credentials("https://…", {})).content
    b'{"pushId":"1895624995"}'
    """
    headers = {"Content-Type": "application/json; charset=utf-8"}
    content = dump_json({"pushId": message_id}).encode()
    return Request(method="POST", path=CANCEL_PATH, headers=headers, content=content)


def parse_cancel(response: Response) -> VendorReply:
    """Parse the response to a withdrawal.

    >>> parse_cancel(Response(200, b'{"retCode": 0, "errMsg": ""}'))
    Accepted(message_id='withdrawn', invalid_ids=())
    """
    payload = parse_json_body(response)
    code = payload.get("retCode", payload.get("ret_code"))
    text = str(payload.get("errMsg", payload.get("err_msg")) or "")
    if 200 <= response.status < 300 and code in (0, "0"):
        return Accepted("withdrawn")
    if 200 <= response.status < 300 and code is not None:
        return Rejected(Problem("rejected", f"{code} {text!r}"))
    return reply_from_status(response, text)
