"""Words of manufacturers' own bodies that choose who gets a message, which a vendor passes on as they are.

Sources: for Xiaomi https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559, whose fields of `extra` filter
devices; for the others the names that their calls have for a target. `validate_only` is Huawei's word for a call that
reaches nobody. A key may be a path, as in `/message/topic` or `extra.locale`: its last word counts.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from audience.errors import Problem

FILTER_WORDS = ("locale", "locale_not_in", "model", "model_not_in", "app_version", "app_version_not_in", "connpt")
TARGET_WORDS = frozenset(
    {
        *FILTER_WORDS,
        *("token", "tokens", "topic", "topics", "topic_op", "condition", "alias", "aliases", "user_account"),
        *("regid", "regids", "registration_id", "registration_ids", "pushid", "pushids", "restricted_package_name"),
        *("target_type", "target_value", "validate_only"),
    }
)
STEP = re.compile(r"[./]")


def find_changed_targets(options: Any, path: str) -> Iterator[Problem]:
    """Find the keys of *options*, which are at *path* of a body, by which a manufacturer would choose the devices.

    >>> [problem.path for problem in find_changed_targets({"/message/topic": "a", "/channel_id": "b"}, "$.HW")]
    ['$.HW./message/topic']
    """
    if not isinstance(options, Mapping):
        return
    for key, value in options.items():
        if STEP.split(key)[-1].lower() in TARGET_WORDS:
            hint = "leave it out: the expression decides who gets the message"
            yield Problem("changed-audience", "it changes whom the message is for", path=f"{path}.{key}", hint=hint)
        else:
            yield from find_changed_targets(value, f"{path}.{key}")
