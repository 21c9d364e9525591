"""Token and account lists of TPNS, and the uploaded packages that replace a list that would be too long.

TPNS identifies a package by its `upload_id`. Before the upload, the payload has the accounts under `account_list`, a
form of ours. The sender replaces them by the `upload_id`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.errors import Problem
from audience.language.ast import Expr, Ids, Reference, all_of
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.spec import Payload, Unsupported, find_id_problem
from audience.vendors.tpns.limits import LIMITS, MIN_ACCOUNT_CHARS, TOKEN_WHITESPACE

ACCOUNT_PACKAGE, TOKEN_PACKAGE = "package_account_push", "package_token_push"
PACKAGE_TYPES = (ACCOUNT_PACKAGE, TOKEN_PACKAGE)
LIST_KEYS_BY_TYPE = {
    "token": "token_list",
    "token_list": "token_list",
    "account": "account_list",
    "account_list": "account_list",
    ACCOUNT_PACKAGE: "account_list",
}
NEWEST_DEVICE = Reference("tpns", "newest_device", "account")  # of each account that is joined to it
ACCOUNT_TYPE = "account_type"  # kind of the reference to the type of the accounts that are joined to it
ACCOUNT_KINDS = ("account", ACCOUNT_PACKAGE)
ALL_DEVICES_OPTION = {"account_push_type": 1}


def parse_ids(audience_type: str, request: PayloadCursor) -> Expr:
    """Read the list of tokens or accounts of a push of *audience_type*."""
    key = LIST_KEYS_BY_TYPE[audience_type]
    if key not in request:
        request.fail("missing-key", f"audience_type {audience_type!r} without {key}", f"add {key}")
    cursor = request[key]
    values = cursor.strings()
    if not values:
        cursor.fail("empty-target", "an empty list matches no device")
    if audience_type in ("token", "account") and len(values) > 1:
        cursor.warn(f"TPNS takes only the first of {len(values)}; use audience_type {key} for several")
        values = values[:1]
    if audience_type != ACCOUNT_PACKAGE:
        cursor.check_limit(LIMITS[key], len(values), "ids")
    if key == "token_list" and (long := [value for value in values if _token_problem(value)]):
        cursor.warn(
            f"{long[0]!r} is not a token of TPNS, which has at most {LIMITS['token_characters'].maximum} characters"
        )
    if key == "token_list":
        return Ids("registration_id", tuple(values))
    return all_of([Ids("account", tuple(values)), *_parse_account_options(request)])


def _parse_account_options(request: PayloadCursor) -> Iterator[Reference]:
    """Yield what a push says of its accounts: whether it means their newest device only, and their type."""
    if not _reaches_all_devices(request):
        yield NEWEST_DEVICE
    option = request[ACCOUNT_TYPE]
    if option.value is not None:
        if type(option.value) is not int or option.value < 0:
            option.fail("wrong-type", f"expected a whole number from 0, found {option.value!r}")
        if option.value:  # 0 is the default
            yield Reference("tpns", ACCOUNT_TYPE, str(option.value))


def _reaches_all_devices(request: PayloadCursor) -> bool:
    """Return whether a push reaches all devices of its accounts; by default it reaches the newest one."""
    option = request["account_push_type"]
    if option.value not in (None, 0, 1) or isinstance(option.value, bool):
        option.fail("unknown-value", f"expected 0 or 1, found {option.value!r}")
    return bool(option.value == 1)


def parse_package(audience_type: str, request: PayloadCursor) -> Expr:
    """Read an uploaded package, or the accounts of one that was not uploaded yet."""
    if "upload_id" not in request and "account_list" in request and audience_type == ACCOUNT_PACKAGE:
        return parse_ids(audience_type, request)
    upload_id = request.require("upload_id", "upload the file first; the reply has its uploadId")
    text = str(upload_id.value)
    if isinstance(upload_id.value, bool) or not text.isdecimal():
        upload_id.fail("wrong-type", f"expected a whole number, found {upload_id.value!r}")
    package = Reference("tpns", audience_type, text)
    return all_of([package, *(_parse_account_options(request) if audience_type == ACCOUNT_PACKAGE else ())])


def emit_accounts(terms: Sequence[Expr]) -> Payload | None:
    """Write accounts with the options that are joined to them; None if *terms* are anything else."""
    newest = [term for term in terms if term == NEWEST_DEVICE]
    types = [term.value for term in terms if isinstance(term, Reference) and is_account_type(term)]
    others = [term for term in terms if isinstance(term, Ids | Reference) and term.kind in ACCOUNT_KINDS]
    if len(others) != 1 or len(types) > 1 or len(terms) != 1 + len(newest) + len(types):
        return None
    payload = emit_ids(others[0]) if isinstance(others[0], Ids) else emit_package(others[0])
    options = {"account_push_type": 0} if newest else {}
    return {**payload, **options, **({ACCOUNT_TYPE: int(types[0])} if types else {})}


def is_account_type(reference: Reference) -> bool:
    """Return whether *reference* is a type of accounts other than the default, 0."""
    return reference.kind == ACCOUNT_TYPE and reference.value.isdecimal() and not reference.value.startswith("0")


def emit_package(package: Reference) -> Payload:
    """Write the push to an uploaded package of tokens, or to all devices of its accounts."""
    options = ALL_DEVICES_OPTION if package.kind == ACCOUNT_PACKAGE else {}
    return {"audience_type": package.kind, "upload_id": int(package.value), **options}


def emit_ids(expr: Ids) -> Payload:
    """Write a list of tokens or accounts; accounts too many for a list become a package."""
    values = list(expr.values)
    if expr.kind == "registration_id":
        token_problems = [problem for value in values if (problem := _token_problem(value))]
        _raise_unsupported(_count_problems(expr, "token_list") + token_problems)
        return {"audience_type": _audience_type("token", values), "token_list": values}
    if _count_problems(expr, "account_list"):
        _raise_unsupported(_package_problems(expr))
        return {"audience_type": ACCOUNT_PACKAGE, "account_list": values, **ALL_DEVICES_OPTION}
    return {"audience_type": _audience_type("account", values), "account_list": values, **ALL_DEVICES_OPTION}


def target_ids(ids: Sequence[str]) -> Payload:
    """Write the targeting of at most 1,000 tokens."""
    return {"audience_type": "token_list", "token_list": list(ids)}


def listed_ids(targets: Sequence[Payload]) -> list[str]:
    """Return all tokens, or all accounts, that *targets* list."""
    return [value for target in targets for value in target[LIST_KEYS_BY_TYPE[target["audience_type"]]]]


def is_account_package(targets: Sequence[Payload]) -> bool:
    """Return whether *targets* are accounts to upload as a package before the push."""
    return any(target.get("audience_type") == ACCOUNT_PACKAGE for target in targets)


def upload_target(targets: Sequence[Payload], upload_id: int) -> Payload:
    """Return the targeting that replaces *targets* once they are uploaded."""
    if is_account_package(targets):
        (target,) = targets
        others = {key: value for key, value in target.items() if key != "account_list"}
        return {**others, "upload_id": upload_id}
    return {"audience_type": TOKEN_PACKAGE, "upload_id": upload_id}


def is_invalid_line(identifier: str) -> bool:
    r"""Return whether *identifier* would change in a file of one id a line.

    >>> [value for value in ("a", "张 三", "a\nb", " a", "") if is_invalid_line(value)]
    ['a\nb', ' a', '']
    """
    return identifier.splitlines() != [identifier] or identifier != identifier.strip(TOKEN_WHITESPACE)


def _audience_type(name: str, values: Sequence[Any]) -> str:
    return f"{name}_list" if len(values) > 1 else name


def _token_problem(value: str) -> Problem | None:
    return find_id_problem(value, LIMITS["token_characters"].maximum, TOKEN_WHITESPACE)


def _count_problems(expr: Ids, key: str) -> list[Problem]:
    limit, count = LIMITS[key], len(expr.values)
    if not limit.is_exceeded_by(count):
        return []
    return [Problem("too-many", f"{count} ids; the maximum is {limit.maximum}", expr.span)]


def _package_problems(expr: Ids) -> list[Problem]:
    """Find why the accounts do not fit into one package: with two, a device of both would be messaged twice."""
    limit, length_limit = LIMITS["account_package_bytes"], LIMITS["account_package_characters"]
    problems = []
    size = sum(len(value.encode()) + 1 for value in expr.values)
    if limit.is_exceeded_by(size):
        message = f"{len(expr.values):,} accounts take {size:,} bytes in a file; the maximum is {limit.maximum:,}"
        problems.append(Problem("too-many", message, expr.span))
    bad_lengths = [
        value for value in expr.values if len(value) < MIN_ACCOUNT_CHARS or length_limit.is_exceeded_by(len(value))
    ]
    bad_lines = [value for value in expr.values if is_invalid_line(value)]
    for code, values, rule in (
        ("bad-length", bad_lengths, f"must have {MIN_ACCOUNT_CHARS} to {length_limit.maximum} characters"),
        ("no-line", bad_lines, "must be one line, without white space around it"),
    ):
        if values:
            others = f" and {len(values) - 1:,} more" if len(values) > 1 else ""
            message = f"{values[0][: length_limit.maximum]!r}{others}: an account in a file {rule}"
            problems.append(Problem(code, message, expr.span))
    return problems


def _raise_unsupported(problems: list[Problem]) -> None:
    if problems:
        raise Unsupported(problems)
