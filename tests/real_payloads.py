"""Payloads from public code, documents and threads: what each means, and what becomes of it here.

They are the lines of payloads/VENDOR.txt, each below the `#` line that names its source:

    means PAYLOAD => EXPRESSION    what the vendor's documents say that a payload selects
    refused PAYLOAD => CODE        a payload that must not be read, and the code of the problem
    open means PAYLOAD => …        one that is not read so yet; `open refused PAYLOAD => …` likewise
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fact_files import TESTS_FOLDER, read_facts

from audience import (
    Everyone,
    Expr,
    Nobody,
    PayloadError,
    PayloadWarning,
    Plan,
    any_of,
    equivalent,
    get_vendor,
    parse,
    plan,
    render,
    vendor_names,
)
from audience.vendors.payload_reader import load_json

FOLDER = TESTS_FOLDER / "payloads"


@dataclass(frozen=True)
class RealPayload:
    """One line of a file of payloads."""

    vendor: str
    text: str
    verb: str
    expected: str
    is_open: bool


def load_real_payloads() -> list[RealPayload]:
    """Return the payloads of all files."""
    return [payload for file in sorted(FOLDER.glob("*.txt")) for payload in _read_file(file)]


def _read_file(file: Path) -> list[RealPayload]:
    payloads = []
    for verb, left, expected in read_facts(file):
        is_open = verb == "open"
        if is_open:
            verb, _, left = left.partition(" ")
        payloads.append(RealPayload(file.stem, left, verb, expected, is_open))
    return payloads


def read_payload(vendor: str, text: str) -> Expr:
    """Parse a payload of *vendor*, warnings aside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PayloadWarning)
        return get_vendor(vendor).parse(load_json(text))


def find_difference(payload: RealPayload) -> str | None:
    """Return how the reading of *payload* differs from what is expected; None if it does not."""
    try:
        found = read_payload(payload.vendor, payload.text)
    except PayloadError as error:
        [problem, *_] = error.problems
        is_expected = payload.verb == "refused" and problem.code == payload.expected
        return None if is_expected else f"refused: {problem.code} at {problem.path}: {problem.message}"
    if payload.verb == "means" and equivalent(found, parse(payload.expected)):
        return None
    return f"read as {render(found)}"


def is_said(expr: Expr, vendor: str, result: Plan) -> bool:
    """Return whether *result* expresses all of *expr* natively, as *vendor*'s own parser reads it."""
    if result.by_ids is not None:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PayloadWarning)
        parts = [get_vendor(vendor).parse(native) for native in result.native]
    return equivalent(any_of(parts), expr)


def find_said_back_problem(vendor: str, expr: Expr) -> str | None:
    """Return why *expr*, which was read from a payload of *vendor*, is not said to it natively; None if it is.

    What comes to every device without saying so is never broadcast, and what comes to nobody is not sent.
    """
    if expr != Everyone() and (equivalent(expr, Everyone()) or equivalent(expr, Nobody())):
        return None
    result = plan(expr, vendor)
    if is_said(expr, vendor, result):
        return None
    return f"{render(expr)}: {'; '.join(f'{problem.code}: {problem.message}' for problem in result.reasons)}"


def find_translation_problem(payload: RealPayload, expr: Expr, targets: Sequence[str]) -> str | None:
    """Return the first of *targets* for which *expr* is neither said natively nor refused with reasons."""
    for target in targets:
        result = plan(expr, target)
        if result.by_ids is None and not is_said(expr, target, result):
            return f"{target}: {render(expr)} is said as {result.native}"
        if result.by_ids is not None and not result.reasons:
            return f"{target}: no reason why {render(expr)} is not said"
    return None


def is_list_of_pushes(payload: RealPayload) -> bool:
    """Return whether *payload* is several pushes, which may overlap: they are read as a union and not said back."""
    return isinstance(load_json(payload.text), list)


def other_vendors(vendor: str) -> list[str]:
    """Return the other vendors that can be written for."""
    return [name for name in vendor_names(can="emit") if name != vendor]
