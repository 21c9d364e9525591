"""Topics of Xiaomi Push: POST /v2/topic/subscribe and unsubscribe, for ids or aliases, and GET /v1/topic/all.

https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1558, with the paths of Xiaomi's SDK. What could not be read:
ids that nobody has are named as those of a message are, a call for such ids alone is refused, and a topic has at most
128 characters here. How many topics a device may have is not said, and not bounded.
"""

from collections.abc import Mapping

from audience.sandbox.http_types import HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.population_rows import Rows, sort_rows
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.xiaomi.targets import MAX_IDS, NO_TARGETS

CHANGES = {"/v2/topic/subscribe": True, "/v2/topic/unsubscribe": False}  # and whether it subscribes
ALIAS_CHANGES = {f"{path}/alias": is_adding for path, is_adding in CHANGES.items()}
READ_PATH = "/v1/topic/all"
TOPIC_PATHS = (*CHANGES, *ALIAS_CHANGES, READ_PATH)
MAX_TOPIC_CHARS = 128
NO_TOPIC, TOPIC_TOO_LONG, MISSING, WRONG_VALUE, NOBODY = 65013, 65010, 10016, 10017, 20301


def handle_topic_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Change or show topics. The secret was checked.

    Raises:
        VendorRefusal: The call is not allowed, or none of its ids is known.
    """
    if call.path == READ_PATH:
        rows, _ = _find_ids(call.query.get("registration_id", ""), state)
        return _answer({"list": state.tags.tags_of(int(rows[0]))}, "Topics")
    is_adding = (CHANGES | ALIAS_CHANGES)[call.path]
    topic = _read_topic(call.form)
    unknown: list[str] = []
    if call.path in ALIAS_CHANGES:
        rows = _find_aliases(call.form.get("aliases", ""), state)
    else:
        rows, unknown = _find_ids(call.form.get("registration_id", ""), state)
    if is_adding:
        state.tags.add(topic, rows)
    else:
        state.tags.remove(topic, rows)
    return _answer({"bad_regids": ",".join(unknown)} if unknown else {}, f"{len(rows)} devices")


def _read_topic(form: Mapping[str, str]) -> str:
    topic = form.get("topic", "").strip()
    if not topic:
        raise VendorRefusal(NO_TOPIC, "topic is empty")
    if len(topic) > MAX_TOPIC_CHARS:
        raise VendorRefusal(TOPIC_TOO_LONG, "topic is too long")
    return topic


def _split(value: str, field: str) -> list[str]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    if not names:
        raise VendorRefusal(MISSING, f"{field} is empty")
    if len(names) > MAX_IDS:
        raise VendorRefusal(WRONG_VALUE, f"more than {MAX_IDS} {field}")
    return names


def _find_ids(value: str, state: VendorState) -> tuple[Rows, list[str]]:
    rows, unknown = state.find_rows(_split(value, "registration_id"))
    if not len(rows):
        raise VendorRefusal(NOBODY, NO_TARGETS)
    return rows, list(dict.fromkeys(unknown))


def _find_aliases(value: str, state: VendorState) -> Rows:
    found = state.population.rows_by_name("alias", _split(value, "aliases"))
    registered = state.population.registered_devices(state.vendor)
    rows = sort_rows(row for rows in found.values() for row in rows if registered[row])
    if not len(rows):
        raise VendorRefusal(NOBODY, NO_TARGETS)
    return rows


def _answer(data: JsonObject, info: str) -> HttpReply:
    body = {"result": "ok", "trace_id": "Xlm00000000000000Xi", "code": 0, "data": data}
    return HttpReply(200, {**body, "description": "成功", "info": info})
