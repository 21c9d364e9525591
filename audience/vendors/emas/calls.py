"""Push calls of EMAS: RPC requests in the layout of the official SDK, and their rate limits.

Sources: Push https://help.aliyun.com/document_detail/48089.html, MassPush https://help.aliyun.com/document_detail/2249915.html,
ContinuouslyPush https://help.aliyun.com/document_detail/2249917.html, PushV2
https://help.aliyun.com/document_detail/2986003.html, MassPushV2 https://help.aliyun.com/document_detail/2986042.html,
quotas https://help.aliyun.com/document_detail/2249912.html, limits https://help.aliyun.com/document_detail/434629.html,
read 2026-11-21.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from audience.vendors.delivery_spec import Credentials, DeliverySpec, RateLimit, Request, SendMethod, SetupCall
from audience.vendors.emas import app_platform
from audience.vendors.emas.replies import CODES, parse_mass_reply, parse_reply
from audience.vendors.emas.signing import ACTION_HEADER, SIGNATURE_KEYS, VERSION_HEADER, encode_pairs, sign
from audience.vendors.payload_reader import dump_json
from audience.vendors.spec import Payload

BASE_URL = "https://cloudpush.aliyuncs.com"
REGIONS = (
    *("cn-hangzhou", "cn-beijing", "cn-chengdu", "cn-fujian", "cn-hongkong", "cn-huhehaote", "cn-qingdao"),
    *("cn-shanghai", "cn-shenzhen", "cn-wuhan", "cn-zhangjiakou", "ap-northeast-1", "ap-south-1", "ap-southeast-1"),
    *("ap-southeast-2", "ap-southeast-3", "ap-southeast-5", "eu-central-1", "eu-west-1", "me-east-1"),
    *("us-east-1", "us-west-1"),
)
BASE_URLS = dict.fromkeys(REGIONS, BASE_URL)  # one host serves all, as in the official SDK
REQUIRED_KEYS = ("access_key_id", "access_key_secret", "app_key")
SECRET_KEYS = frozenset({"access_key_secret"})

PUSH_DOCS = "https://help.aliyun.com/document_detail/48089.html"
MASS_PUSH_DOCS = "https://help.aliyun.com/document_detail/2249915.html"
CONTINUOUS_PUSH_DOCS = "https://help.aliyun.com/document_detail/2249917.html"
PUSH_V2_DOCS = "https://help.aliyun.com/document_detail/2986003.html"
MASS_PUSH_V2_DOCS = "https://help.aliyun.com/document_detail/2986042.html"
QUOTAS_DOCS = "https://help.aliyun.com/document_detail/2249912.html"
LIMITS_DOCS = "https://help.aliyun.com/document_detail/434629.html"

MAX_IDS_PER_TARGET = 1_000
MAX_TASKS_PER_CALL = 100  # of MassPush
MAX_TASK_PARAMETERS = 10_000  # tasks times the parameters of each
DEDUP_WINDOW = timedelta(minutes=15)
MAX_HANDLE_USES = 10_000
HANDLE_LIFETIME = timedelta(hours=24)
MAX_QUERY_CHARS = 60_000  # a longer query is sent as a form, which POST takes as well

emas_delivery = partial(
    DeliverySpec,
    base_urls=BASE_URLS,
    required_keys=REQUIRED_KEYS,
    secret_keys=SECRET_KEYS,
    application_keys=("app_key",),
    optional_keys={**SIGNATURE_KEYS, **app_platform.OPTIONAL_KEYS},
    sign=sign,
    error_codes=CODES,
    reports_unknown_ids=False,
)
single_target_method = partial(SendMethod, max_ids=MAX_IDS_PER_TARGET, parse_reply=parse_reply)
mass_method = partial(
    SendMethod,
    max_ids=MAX_IDS_PER_TARGET * MAX_TASKS_PER_CALL,
    message_per_target=True,
    parse_reply=parse_mass_reply,
    min_ids=MAX_IDS_PER_TARGET + 1,
    dedup_window=DEDUP_WINDOW,
)
continuous_setup = partial(SetupCall, parse_reply=parse_reply, max_uses=MAX_HANDLE_USES, lifetime=HANDLE_LIFETIME)

# In ten minutes, 30 messages to all are allowed and 10 notifications. The lower limit is used for both.
BROADCAST_RATE_LIMITS = (
    RateLimit("to all", 1, 1.0, LIMITS_DOCS),
    RateLimit("to all in ten minutes", 10, 600.0, LIMITS_DOCS),
)


def build_rpc_request(
    action: str, credentials: Credentials, parameters: Mapping[str, Any], form: Mapping[str, Any]
) -> Request:
    """Build the request of an action, with parameters in its query and a form in its body.

    >>> build_rpc_request("Push", Credentials(BASE_URL, {"app_key": "1"}), {"Trim": True}, {}).query
    {'AppKey': '1', 'Trim': 'true'}
    """
    query = {"AppKey": credentials.keys["app_key"], **stringify_parameters(parameters)}
    fields = encode_pairs(stringify_parameters(form))
    query_pairs = encode_pairs(query)
    if sum(map(len, query_pairs)) > MAX_QUERY_CHARS:
        query, fields = {}, [*query_pairs, *fields]
    headers = {ACTION_HEADER: action, VERSION_HEADER: "2016-08-01"}
    if not fields:
        return Request(method="POST", path="/", query=query, headers=headers)
    headers["content-type"] = "application/x-www-form-urlencoded"
    return Request(method="POST", path="/", query=query, headers=headers, content="&".join(fields).encode())


def stringify_parameters(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Format parameters as the strings of an RPC: objects and lists as JSON, booleans in lower case."""
    return {name: value if isinstance(value, str) else dump_json(value) for name, value in parameters.items()}


def number_tasks(push_tasks: Sequence[Payload]) -> dict[str, Any]:
    """Flatten the tasks of MassPush into numbered parameters, from 1.

    >>> number_tasks([{"Title": "a"}, {"Title": "b", "X": {"k": "v"}}])
    {'PushTask.1.Title': 'a', 'PushTask.2.Title': 'b', 'PushTask.2.X.k': 'v'}
    """
    return {
        f"PushTask.{number}.{name}": value
        for number, task in enumerate(push_tasks, 1)
        for name, value in _flatten_task(task)
    }


def _flatten_task(task: Payload) -> Iterator[tuple[str, Any]]:
    for name, value in task.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", leaf) for inner, leaf in value.items())
        else:
            yield name, value


def build_rate_limits(name: str, max_calls: int, period_seconds: float, is_broadcast: bool) -> tuple[RateLimit, ...]:
    """Build the rate limits of calls of one action; broadcasts have more."""
    return (RateLimit(name, max_calls, period_seconds, QUOTAS_DOCS), *(BROADCAST_RATE_LIMITS if is_broadcast else ()))
