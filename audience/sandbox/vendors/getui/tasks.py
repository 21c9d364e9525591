"""Tasks of Getui: scheduled ones are shown and withdrawn, until their last minute; others are stopped.

https://docs.getui.com/getui/server/rest_v2/push. Every device is online here, so that a task that is stopped has
reached all of its devices, unless it was scheduled.
"""

from audience.sandbox.delivery_log import Delivery
from audience.sandbox.http_types import HttpReply, JsonObject, VendorRefusal
from audience.sandbox.vendor_state import VendorState

LAST_SECONDS = 60.0  # before its moment, in which a task is no longer withdrawn
CARRIED_OUT, UNKNOWN_TASK = 22001, 22002
RESULTS = {"waiting": "do_not_send", "delivered": "send_success", "cancelled": "has_delete"}


def answer_task_call(method: str, place: str, state: VendorState) -> HttpReply:
    """Answer a call to `task/{taskid}` or `task/schedule/{taskid}`."""
    is_scheduled, task = place.startswith("schedule/"), place.removeprefix("schedule/")
    log = state.delivery_log
    deliveries = [log.deliveries[at] for at in log.places_by_message.get(task, ())]
    if task not in log.places_by_message:
        raise VendorRefusal(UNKNOWN_TASK, "taskid is invalid")
    match method, is_scheduled:
        case "GET", True:
            return HttpReply(200, {"code": 0, "msg": "success", "data": {task: _show(deliveries)}}, message_id=task)
        case "DELETE", True:
            if not any(each.state == "waiting" and each.due - state.clock() > LAST_SECONDS for each in deliveries):
                raise VendorRefusal(CARRIED_OUT, "the task has been carried out")
        case "DELETE", False:
            state.continuous_messages.pop(task, None)
        case _:
            raise VendorRefusal(405, "method not allowed")
    log.cancel_message(task)
    return HttpReply(200, {"code": 0, "msg": "success"}, message_id=task)


def _show(deliveries: list[Delivery]) -> JsonObject:
    """Return what a scheduled task is shown as; its times are texts in milliseconds."""
    result = RESULTS[deliveries[-1].state] if deliveries else "do_not_send"
    due = str(int(deliveries[-1].due * 1000)) if deliveries else ""
    return {"push_time": due, "send_result": result}
