"""TPNS's lists of tokens and of accounts, and the files that it takes where a list would be too long.

A file is known to TPNS by the number of its upload. Until then its accounts stand in the payload as `account_list`, a
form of ours; they and the number change places when it is sent.
"""

from collections.abc import Sequence
from typing import Any

from audience.errors import Problem
from audience.language.ast import Expr, Ids
from audience.vendors.payload_reader import check_limit, fail, read_strings, warn_payload
from audience.vendors.spec import Payload, Unsupported, find_id_problem
from audience.vendors.tpns.limits import LIMITS, MIN_ACCOUNT_CHARS, TOKEN_WHITESPACE

ACCOUNT_PACKAGE, TOKEN_PACKAGE = "package_account_push", "package_token_push"
LIST_KEYS_BY_TYPE = {
    "token": "token_list",
    "token_list": "token_list",
    "account": "account_list",
    "account_list": "account_list",
    ACCOUNT_PACKAGE: "account_list",
}
ALL_DEVICES_OPTION = {"account_push_type": 1}


def parse_ids(audience_type: str, request: Payload) -> Expr:
    """Whom a list names, where audience_type is *kind*."""
    key = LIST_KEYS_BY_TYPE[audience_type]
    if key not in request:
        fail("missing-key", f"audience_type {audience_type!r} without {key}", "$", f"add {key}")
    values = read_strings(request[key], f"$.{key}")
    if not values:
        fail("empty-target", "an empty list names nobody", f"$.{key}")
    if audience_type in ("token", "account") and len(values) > 1:
        warn_payload(f"TPNS takes the first of {len(values)} only; {key} is for several", f"$.{key}")
        values = values[:1]
    if key == "account_list" and request.get("account_push_type") != 1:
        warn_payload(
            "unless account_push_type is 1, TPNS tells the newest device of each account only", "$.account_list"
        )
    if audience_type != ACCOUNT_PACKAGE:
        check_limit(LIMITS[key], len(values), "ids", f"$.{key}")
    return Ids("registration_id" if key == "token_list" else "account", tuple(values))


def parse_package(audience_type: str, request: Payload) -> Expr:
    """Whom the file of a package names, where it was not uploaded yet."""
    if "upload_id" not in request and "account_list" in request and audience_type == ACCOUNT_PACKAGE:
        return parse_ids(audience_type, request)
    fail("opaque", "an upload_id names a file that only TPNS has", "$.upload_id", "read the file instead")


def emit_ids(expr: Ids) -> Payload:
    """The list of *expr*, tokens or accounts; of accounts that are too many for one, what is uploaded."""
    values = list(expr.values)
    if expr.kind == "registration_id":
        _raise_unsupported(
            _count_problems(expr, "token_list") + [each for value in values if (each := _token_problem(value))]
        )
        return {"audience_type": _audience_type("token", values), "token_list": values}
    if _count_problems(expr, "account_list"):
        _raise_unsupported(_package_problems(expr))
        return {"audience_type": ACCOUNT_PACKAGE, "account_list": values, **ALL_DEVICES_OPTION}
    return {"audience_type": _audience_type("account", values), "account_list": values, **ALL_DEVICES_OPTION}


def target_ids(ids: Sequence[str]) -> Payload:
    """The targeting object of at most 1,000 tokens."""
    return {"audience_type": "token_list", "token_list": list(ids)}


def listed_ids(targets: Sequence[Payload]) -> list[str]:
    """All tokens, or all accounts, that *targets* list."""
    return [each for target in targets for each in target[LIST_KEYS_BY_TYPE[target["audience_type"]]]]


def is_account_package(targets: Sequence[Payload]) -> bool:
    """Whether *targets* are accounts that are uploaded before they are told."""
    return any(target.get("audience_type") == ACCOUNT_PACKAGE for target in targets)


def upload_target(targets: Sequence[Payload], upload_id: int) -> Payload:
    """What stands for *targets* once they are uploaded under this *number*."""
    if is_account_package(targets):
        (target,) = targets
        rest = {key: value for key, value in target.items() if key != "account_list"}
        return {**rest, "upload_id": upload_id}
    return {"audience_type": TOKEN_PACKAGE, "upload_id": upload_id}


def is_invalid_line(identifier: str) -> bool:
    """Whether *identifier* would not stand in a file with one id a line as it is.

    >>> [each for each in ("a", "张 三", "a\\nb", " a", "") if is_invalid_line(each)]
    ['a\\nb', ' a', '']
    """
    return identifier.splitlines() != [identifier] or identifier != identifier.strip(TOKEN_WHITESPACE)


def _audience_type(name: str, values: Sequence[Any]) -> str:
    return f"{name}_list" if len(values) > 1 else name


def _token_problem(value: str) -> Problem | None:
    return find_id_problem(value, LIMITS["token_characters"].maximum, TOKEN_WHITESPACE)


def _count_problems(expr: Ids, key: str) -> list[Problem]:
    limit, many = LIMITS[key], len(expr.values)
    return (
        [Problem("too-many", f"{many} ids; {limit.maximum} is the most", expr.span)]
        if limit.is_exceeded_by(many)
        else []
    )


def _package_problems(expr: Ids) -> list[Problem]:
    """Why the accounts of *expr* cannot go up in one file: split, a device of two of them would be told twice."""
    most, longest = LIMITS["account_package_bytes"], LIMITS["account_package_characters"]
    problems = []
    size = sum(len(value.encode()) + 1 for value in expr.values)
    if most.is_exceeded_by(size):
        message = f"{len(expr.values):,} accounts take {size:,} bytes in a file; {most.maximum:,} is the most"
        problems.append(Problem("too-many", message, expr.span))
    short = [value for value in expr.values if len(value) < MIN_ACCOUNT_CHARS or longest.is_exceeded_by(len(value))]
    for code, wrong, why in (
        ("bad-length", short, f"has {MIN_ACCOUNT_CHARS} to {longest.maximum} characters"),
        (
            "no-line",
            [value for value in expr.values if is_invalid_line(value)],
            "is one line of it, without blanks around",
        ),
    ):
        if wrong:
            more = f" and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
            message = f"{wrong[0][: longest.maximum]!r}{more}: an account in a file {why}"
            problems.append(Problem(code, message, expr.span))
    return problems


def _raise_unsupported(problems: list[Problem]) -> None:
    if problems:
        raise Unsupported(problems)
