"""Checks of the fields of EMAS by the tables push.txt and task.txt, and the codes of their refusals."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audience.sandbox.field_checks import FieldProblem, find_field_problem, load_field_table, parse_field_texts
from audience.sandbox.http_types import JsonObject, VendorRefusal

PUSH_FILE, TASK_FILE = (Path(__file__).with_name(name) for name in ("push.txt", "task.txt"))


def read_push_fields(parameters: Mapping[str, str]) -> JsonObject:
    """Return the fields of a flat push as values.

    Parameters that the page does not list are left out, because an RPC ignores them.

    Raises:
        VendorRefusal: A field breaks a rule of the page.
    """
    table = load_field_table(PUSH_FILE)
    fields = parse_field_texts(parameters, table)
    _refuse(find_field_problem(fields, table))
    return fields


def list_push_fields() -> frozenset[str]:
    """Return the names of the fields of a flat push."""
    return frozenset(load_field_table(PUSH_FILE).children[()])


def check_task_fields(task: JsonObject) -> None:
    """Reject a nested task with a field that its page does not have or would not take."""
    _refuse(find_field_problem(task, load_field_table(TASK_FILE)))


def require_fields(fields: Mapping[str, Any], *names: str) -> None:
    """Reject a request that lacks one of *names*."""
    for name in names:
        if fields.get(name) in (None, ""):
            raise empty_field(name)


def empty_field(name: str) -> VendorRefusal:
    """Return the refusal of a field that is missing."""
    return VendorRefusal(f"Invalid{name}.Empty", f"The specified {name} cannot be empty.")


def invalid_parameter(name: str) -> VendorRefusal:
    """Return the refusal of a value that the page does not list."""
    return VendorRefusal("Invalid.Parameter", f"The specified parameter is invalid: {name}.")


def invalid_format(name: str) -> VendorRefusal:
    """Return the refusal of a value that cannot be parsed."""
    return VendorRefusal(f"Invalid{name}.Format", f"The specified {name} format is invalid.")


def _refuse(problem: FieldProblem | None) -> None:
    if problem is None:
        return
    name = problem.name
    match problem.kind:
        case "missing" | "empty":
            raise empty_field(name)
        case "type" | "json" | "items" | "pattern":
            raise invalid_format(name)
        case "bytes":
            limit = problem.expected.partition("<=")[2]
            raise VendorRefusal(f"Invalid{name}.BytesExceed", f"The specified {name} exceeds the {limit} bytes limit.")
        case "chars":
            limit = problem.expected.partition("<=")[2]
            text = f"The specified {name} length cannot be greater than {limit}."
            raise VendorRefusal(f"Invalid{name}.LengthExceed", text)
    raise invalid_parameter(problem.path)
