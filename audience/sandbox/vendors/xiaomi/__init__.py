"""Xiaomi Push: POST /v2|v3/message/…, jobs of messages that wait, and GET /v1/trace/message/status.

https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559 and pId=1560. What could not be read there: every reply
has the HTTP status 200 here, as those that others have printed; a `time_to_send` that has passed is delivered at once,
one more than seven days ahead is a wrong value; a topic without devices is accepted, and code 65028 says that there is
no such job or message. A trace has the fields that the client yilee/xiaomi-push (Go) reads, without those of clicks.
The numbers of messages of a day are not counted: they hang on the channel of a message.
"""

import re

from audience.sandbox.http_types import HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.request_checks import number_or_text
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.xiaomi.message_checks import check_message, read_delay, read_form
from audience.sandbox.vendors.xiaomi.targets import KINDS, select_targets
from audience.sandbox.vendors.xiaomi.topics import READ_PATH, TOPIC_PATHS, handle_topic_call

NAME = "xiaomi"
TRACE_PATH = "/v1/trace/message/status"
JOB_PATHS = ("/v2/schedule_job/exist", "/v2/schedule_job/delete", "/v3/schedule_job/delete")
V2_PATHS = tuple(f"/v2/message/{kind}" for kind in KINDS)
V3_PATHS = tuple(f"/v3/message/{kind}" for kind in KINDS if kind != "user_account")
PATHS = (*V2_PATHS, *V3_PATHS, *JOB_PATHS, *TOPIC_PATHS, TRACE_PATH)
DEFAULT_REFUSAL_CODE, RATE_LIMIT_CODE = "10017", "200002"
RATE_LIMIT = (500, 1.0)  # calls, seconds, of an app with fewer than 100,000 users
SECRET_HEADER = re.compile(r"key=(\S+)")
DESCRIPTIONS = {
    "10012": "非法请求",
    "10016": "缺失必选参数",
    "10017": "参数值非法",
    "20301": "发送消息失败",
    "21301": "认证失败",
    "65011": "未提供参数",
    "65028": "未查询到相应消息",
}
TRACE_ID = "Xlm00000000000000Xi"  # of every reply


def endpoint_name(call: HttpCall) -> str:
    """Return the path that is called."""
    return call.path


def handle_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Check the call; deliver, end or trace a message, or change topics; and reply."""
    if call.method != ("GET" if call.path in (TRACE_PATH, READ_PATH) else "POST"):
        raise VendorRefusal(10012, f"{call.method} is not supported")
    secret = SECRET_HEADER.fullmatch(call.headers.get("authorization", ""))
    if secret is None or not state.accepts_credentials(state.key or "", secret[1]):
        raise VendorRefusal(21301, "Invalid application secret.")
    if not state.rate_limiter.try_acquire("call", *RATE_LIMIT):
        raise VendorRefusal(RATE_LIMIT_CODE, "exceed qps")
    if call.path == TRACE_PATH:
        return _trace(call, state)
    if call.path in TOPIC_PATHS:
        return handle_topic_call(call, state)
    return _handle_job(call, state) if call.path in JOB_PATHS else _send(call, state)


def _send(call: HttpCall, state: VendorState) -> HttpReply:
    request, ignored = read_form(call.form)
    check_message(request)
    kind = call.path.rpartition("/")[2]
    targets = select_targets(kind, call.form, state)
    delay = read_delay(request, state.clock())
    message = state.delivery_log.create_message(request, lambda number: f"{kind[0]}lm{number:014d}Ok")
    devices = state.delivery_log.record(message, targets.devices, delay)
    data = {"id": message} | ({"bad_regids": ",".join(targets.unknown)} if targets.unknown else {})
    info = f"Received push messages for {targets.count} {kind.upper()}"
    body = {"result": "ok", "trace_id": TRACE_ID, "code": 0, "data": data, "description": "成功", "info": info}
    return HttpReply(200, body, message_id=message, device_count=0 if delay > 0 else devices, ignored=ignored)


def _handle_job(call: HttpCall, state: VendorState) -> HttpReply:
    log = state.delivery_log
    key = "jobkey" if call.path.startswith("/v3/") else "job_id"
    if not (name := call.form.get(key)):
        raise VendorRefusal(10016, f"{key} is empty")
    jobs = [name] if key == "job_id" else _find_messages(name, state)
    waiting = [job for job in jobs if log.waiting.intersection(log.places_by_message.get(job, ()))]
    if not waiting:
        raise VendorRefusal(65028, "no such job")
    if call.path.endswith("/delete"):
        for job in waiting:
            log.cancel_message(job)
    return HttpReply(200, {"result": "ok", "trace_id": TRACE_ID, "code": 0, "data": {}, "description": "成功"})


def _trace(call: HttpCall, state: VendorState) -> HttpReply:
    """Return how many devices the message of an id has, and how many got it."""
    log, name = state.delivery_log, call.query.get("msg_id", "")
    if name not in log.places_by_message:
        raise VendorRefusal(65028, "no such message")
    deliveries = [log.deliveries[place] for place in log.places_by_message[name]]
    delivered = sum(len(each.rows) for each in deliveries if each.state == "delivered")
    trace = {"id": name, "resolved": sum(len(each.rows) for each in deliveries), "delivered": delivered}
    return HttpReply(200, {"result": "ok", "trace_id": TRACE_ID, "code": 0, "data": {"data": trace}})


def _find_messages(jobkey: str, state: VendorState) -> list[str]:
    contents = state.delivery_log.content_by_message
    return [name for name, content in contents.items() if _read_jobkey(content) == jobkey]


def _read_jobkey(content: JsonObject) -> object:
    return content.get("extra", {}).get("jobkey")


def build_refusal(exc: VendorRefusal, call: HttpCall) -> HttpReply:
    """Return the reply to a rejected call."""
    description = DESCRIPTIONS.get(exc.code, "失败")
    body = {"result": "error", "reason": exc.text or "refused", "trace_id": TRACE_ID}
    return HttpReply(
        200, {**body, "code": number_or_text(exc.code), "description": description}, code=exc.code, headers=exc.headers
    )


def build_failure(status: int, call: HttpCall) -> HttpReply:
    """Return the reply of a failing server."""
    return HttpReply(status, "", code=str(status))
