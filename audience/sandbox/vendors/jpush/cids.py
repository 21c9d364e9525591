"""Cids of JPush: requested from its pool, and remembered with the first push or schedule that succeeds.

https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push_advanced. It leaves open whether the day of a cid begins when
it is issued or when it is used; here it begins when it is issued, and a cid that was not issued is refused.
"""

from uuid import uuid4

from audience.sandbox.http_types import HttpCall, HttpReply, VendorRefusal
from audience.sandbox.request_checks import is_int_between, number_or_text
from audience.sandbox.vendor_state import VendorState

CID_SECONDS = 86_400.0
KINDS = ("push", "schedule")
MAX_FREE_CIDS, MAX_CIDS = 10, 1_000  # of an application that is not VIP, and the largest number that can be asked for


def create_cids(call: HttpCall, state: VendorState, key: str) -> HttpReply:
    """Return new cids: as many as are asked for, and at most those of a free application."""
    count, kind = call.query.get("count", "1"), call.query.get("type", "push")
    if not is_int_between(number_or_text(count), 1, MAX_CIDS):
        raise VendorRefusal(1003, f"count is from 1 to {MAX_CIDS}")
    if kind not in KINDS:
        raise VendorRefusal(1003, f"type is one of {', '.join(KINDS)}")
    cids = [f"{key}-{uuid4()}" for _ in range(min(int(count), MAX_FREE_CIDS))]
    state.given_keys.update({f"{kind} {cid}": state.clock() for cid in cids})
    return HttpReply(200, {"cidlist": cids})


def check_cid(cid: str, kind: str, state: VendorState) -> None:
    """Refuse a *cid* that was not issued for that kind of call within a day.

    Raises:
        VendorRefusal: It was not.
    """
    issued_at = state.given_keys.get(f"{kind} {cid}")
    if issued_at is None or state.clock() - issued_at >= CID_SECONDS:
        raise VendorRefusal(1003, f"the cid {cid} is invalid")
