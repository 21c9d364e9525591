"""The calls of EMAS that tell devices: RPC requests, laid out as the official SDK does, and how fast they may come.

Push https://help.aliyun.com/document_detail/48089.html, MassPush https://help.aliyun.com/document_detail/2249915.html,
ContinuouslyPush https://help.aliyun.com/document_detail/2249917.html, PushV2
https://help.aliyun.com/document_detail/2986003.html, MassPushV2 https://help.aliyun.com/document_detail/2986042.html,
quotas https://help.aliyun.com/document_detail/2249912.html, limits https://help.aliyun.com/document_detail/434629.html,
read 2026-11-21.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from audience.vendors.delivery_spec import Application, Delivery, Pace, Request, Way
from audience.vendors.emas.percent_encoding import pairs
from audience.vendors.emas.replies import CODES, mass_reply, reply
from audience.vendors.emas.signing import ACTION, CHOICES, VERSION, sign
from audience.vendors.payload_reader import dump
from audience.vendors.spec import Payload

HOST = "https://cloudpush.aliyuncs.com"
REGIONS = (
    *("cn-hangzhou", "cn-beijing", "cn-chengdu", "cn-fujian", "cn-hongkong", "cn-huhehaote", "cn-qingdao"),
    *("cn-shanghai", "cn-shenzhen", "cn-wuhan", "cn-zhangjiakou", "ap-northeast-1", "ap-south-1", "ap-southeast-1"),
    *("ap-southeast-2", "ap-southeast-3", "ap-southeast-5", "eu-central-1", "eu-west-1", "me-east-1"),
    *("us-east-1", "us-west-1"),
)
HOSTS = dict.fromkeys(REGIONS, HOST)  # one host stands for all, as in the official SDK
KEYS = ("access_key_id", "access_key_secret", "app_key")
SECRET = frozenset({"access_key_secret"})

PUSH = "https://help.aliyun.com/document_detail/48089.html"
MASS = "https://help.aliyun.com/document_detail/2249915.html"
CONTINUOUS = "https://help.aliyun.com/document_detail/2249917.html"
PUSH_V2 = "https://help.aliyun.com/document_detail/2986003.html"
MASS_V2 = "https://help.aliyun.com/document_detail/2986042.html"
QUOTAS = "https://help.aliyun.com/document_detail/2249912.html"
LIMITS = "https://help.aliyun.com/document_detail/434629.html"

IDS = 1_000  # of one target
TASKS = 100  # of one call of MassPush
CHILDREN = 10_000  # tasks times the parameters of each
REPEATS = timedelta(minutes=15)
HANDLE_CALLS = 10_000
HANDLE_LASTS = timedelta(hours=24)
URL = 60_000  # characters of a query; a longer one goes as a form, which POST takes as well

TO_EMAS = partial(Delivery, hosts=HOSTS, keys=KEYS, secret=SECRET, choices=CHOICES, sign=sign, codes=CODES)
ONE_TARGET = partial(Way, ids=IDS, reply=reply)
MANY_TASKS = partial(Way, ids=IDS * TASKS, several=True, reply=mass_reply, worth=IDS + 1)

# Messages to all may come 30 times in ten minutes and notifications 10 times; both are held to the slower pace.
TO_ALL = (
    Pace("to all", 1, 1.0, LIMITS),
    Pace("to all in ten minutes", 10, 600.0, LIMITS),
)


def rpc(action: str, application: Application, parameters: Mapping[str, Any], form: Mapping[str, Any]) -> Request:
    """The request of *action* with *parameters* in its query and *form* in its body.

    >>> rpc("Push", Application(HOST, {"app_key": "1"}), {"Trim": True}, {}).query
    {'AppKey': '1', 'Trim': 'true'}
    """
    named, fields = {"AppKey": application.keys["app_key"], **texts(parameters)}, pairs(texts(form))
    if sum(map(len, query := pairs(named))) > URL:
        named, fields = {}, [*query, *fields]
    headers = {ACTION: action, VERSION: "2016-08-01"}
    if not fields:
        return Request(method="POST", path="/", query=named, headers=headers)
    headers["content-type"] = "application/x-www-form-urlencoded"
    return Request(method="POST", path="/", query=named, headers=headers, content="&".join(fields).encode())


def texts(parameters: Mapping[str, Any]) -> dict[str, str]:
    """*parameters* as the texts that RPC sends: objects and lists as JSON, true and false in lower case."""
    return {name: value if isinstance(value, str) else dump(value) for name, value in parameters.items()}


def tasks(all_of_them: Sequence[Payload]) -> dict[str, Any]:
    """The tasks of MassPush as parameters that count from 1.

    >>> tasks([{"Title": "a"}, {"Title": "b", "X": {"k": "v"}}])
    {'PushTask.1.Title': 'a', 'PushTask.2.Title': 'b', 'PushTask.2.X.k': 'v'}
    """
    return {
        f"PushTask.{number}.{name}": value
        for number, task in enumerate(all_of_them, 1)
        for name, value in _leaves(task)
    }


def _leaves(task: Payload) -> Iterator[tuple[str, Any]]:
    for name, value in task.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", leaf) for inner, leaf in value.items())
        else:
            yield name, value


def paces(name: str, calls: int, seconds: float, to_all: bool) -> tuple[Pace, ...]:
    """The pace of calls of one *name*, and what is asked of pushes to all besides."""
    return (Pace(name, calls, seconds, QUOTAS), *(TO_ALL if to_all else ()))
