"""TPNS's lists of tokens and of accounts, and the files that it takes where a list would be too long.

A file is known to TPNS by the number of its upload. Until then its accounts stand in the payload as `account_list`, a
form of ours; they and the number change places when it is sent.
"""

from collections.abc import Sequence
from typing import Any

from audience.errors import Problem
from audience.language.ast import Expr, Ids
from audience.vendors.payload_reader import limited, refuse, strings, warn
from audience.vendors.spec import Payload, Unsaid, uncarriable
from audience.vendors.tpns.limits import BLANKS, LIMITS, SHORTEST_ACCOUNT

ACCOUNT_PACKAGE, TOKEN_PACKAGE = "package_account_push", "package_token_push"
LISTS = {
    "token": "token_list",
    "token_list": "token_list",
    "account": "account_list",
    "account_list": "account_list",
    ACCOUNT_PACKAGE: "account_list",
}
EVERY_DEVICE = {"account_push_type": 1}


def read_ids(kind: str, request: Payload) -> Expr:
    """Whom a list names, where audience_type is *kind*."""
    key = LISTS[kind]
    if key not in request:
        refuse("missing-key", f"audience_type {kind!r} without {key}", "$", f"add {key}")
    values = strings(request[key], f"$.{key}")
    if not values:
        refuse("empty-target", "an empty list names nobody", f"$.{key}")
    if kind in ("token", "account") and len(values) > 1:
        warn(f"TPNS takes the first of {len(values)} only; {key} is for several", f"$.{key}")
        values = values[:1]
    if key == "account_list" and request.get("account_push_type") != 1:
        warn("unless account_push_type is 1, TPNS tells the newest device of each account only", "$.account_list")
    if kind != ACCOUNT_PACKAGE:
        limited(LIMITS[key], len(values), "ids", f"$.{key}")
    return Ids("registration_id" if key == "token_list" else "account", tuple(values))


def read_package(kind: str, request: Payload) -> Expr:
    """Whom the file of a package names, where it was not uploaded yet."""
    if "upload_id" not in request and "account_list" in request and kind == ACCOUNT_PACKAGE:
        return read_ids(kind, request)
    refuse("opaque", "an upload_id names a file that only TPNS has", "$.upload_id", "read the file instead")


def said_ids(expr: Ids) -> Payload:
    """The list of *expr*, tokens or accounts; of accounts that are too many for one, what is uploaded."""
    values = list(expr.values)
    if expr.kind == "registration_id":
        _raise_for(_too_many(expr, "token_list") + [each for value in values if (each := _no_token(value))])
        return {"audience_type": _kind("token", values), "token_list": values}
    if _too_many(expr, "account_list"):
        _raise_for(_unpackable(expr))
        return {"audience_type": ACCOUNT_PACKAGE, "account_list": values, **EVERY_DEVICE}
    return {"audience_type": _kind("account", values), "account_list": values, **EVERY_DEVICE}


def listing(ids: Sequence[str]) -> Payload:
    """The targeting object of at most 1,000 tokens."""
    return {"audience_type": "token_list", "token_list": list(ids)}


def members(targets: Sequence[Payload]) -> list[str]:
    """All tokens, or all accounts, that *targets* list."""
    return [each for target in targets for each in target[LISTS[target["audience_type"]]]]


def is_package(targets: Sequence[Payload]) -> bool:
    """Whether *targets* are accounts that are uploaded before they are told."""
    return any(target.get("audience_type") == ACCOUNT_PACKAGE for target in targets)


def uploaded_as(targets: Sequence[Payload], number: int) -> Payload:
    """What stands for *targets* once they are uploaded under this *number*."""
    if is_package(targets):
        (target,) = targets
        rest = {key: value for key, value in target.items() if key != "account_list"}
        return {**rest, "upload_id": number}
    return {"audience_type": TOKEN_PACKAGE, "upload_id": number}


def no_line(identifier: str) -> bool:
    """Whether *identifier* would not stand in a file with one id a line as it is.

    >>> [each for each in ("a", "张 三", "a\\nb", " a", "") if no_line(each)]
    ['a\\nb', ' a', '']
    """
    return identifier.splitlines() != [identifier] or identifier != identifier.strip(BLANKS)


def _kind(name: str, values: Sequence[Any]) -> str:
    return f"{name}_list" if len(values) > 1 else name


def _no_token(value: str) -> Problem | None:
    return uncarriable(value, LIMITS["token_characters"].most, BLANKS)


def _too_many(expr: Ids, key: str) -> list[Problem]:
    limit, many = LIMITS[key], len(expr.values)
    return [Problem("too-many", f"{many} ids; {limit.most} is the most", expr.span)] if limit.exceeded_by(many) else []


def _unpackable(expr: Ids) -> list[Problem]:
    """Why the accounts of *expr* cannot go up in one file: split, a device of two of them would be told twice."""
    most, longest = LIMITS["account_package_bytes"], LIMITS["account_package_characters"]
    problems = []
    size = sum(len(value.encode()) + 1 for value in expr.values)
    if most.exceeded_by(size):
        message = f"{len(expr.values):,} accounts take {size:,} bytes in a file; {most.most:,} is the most"
        problems.append(Problem("too-many", message, expr.span))
    short = [value for value in expr.values if len(value) < SHORTEST_ACCOUNT or longest.exceeded_by(len(value))]
    for code, wrong, why in (
        ("bad-length", short, f"has {SHORTEST_ACCOUNT} to {longest.most} characters"),
        ("no-line", [value for value in expr.values if no_line(value)], "is one line of it, without blanks around"),
    ):
        if wrong:
            more = f" and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
            message = f"{wrong[0][: longest.most]!r}{more}: an account in a file {why}"
            problems.append(Problem(code, message, expr.span))
    return problems


def _raise_for(problems: list[Problem]) -> None:
    if problems:
        raise Unsaid(problems)
