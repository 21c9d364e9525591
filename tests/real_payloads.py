"""Payloads from public code, documents and threads: what each means, and what becomes of it here.

They are the lines of payloads/VENDOR.txt, each below the `#` line that names its source:

    means PAYLOAD => EXPRESSION    what the vendor's documents say that a payload selects
    refused PAYLOAD => CODE        a payload that must not be read, and the code of the problem
    open means PAYLOAD => …        one that is not read so yet; `open refused PAYLOAD => …` likewise
"""

import warnings
from collections.abc import Iterable, Sequence
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
    Tag,
    any_of,
    equivalent,
    get_vendor,
    parse,
    render,
    translate,
    vendor_names,
)
from audience.algebra.constraints import AttributeConstraints
from audience.algebra.equivalence import find_partition_violation
from audience.language.as_of import read_as_of
from audience.language.ast import atoms, map_atoms
from audience.language.attribute_names import UNTYPED
from audience.language.binding import bind
from audience.vendors.payload_reader import load_json
from audience.vendors.spec import Vendor

FOLDER = TESTS_FOLDER / "payloads"
AS_OF = read_as_of("2026-11-28T09:00", "Asia/Shanghai")  # when all that is read and said is asked
KEYS_OF_LISTS = ("PushTask", "msg_list")


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


def read_payload(vendor: str, text: str) -> tuple[Expr, bool]:
    """Parse a payload of *vendor*; return also whether there was a warning that its documents do not allow it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PayloadWarning)
        expr = get_vendor(vendor).parse(load_json(text))
    return expr, any(issubclass(warning.category, PayloadWarning) for warning in caught)


def ask(expr: Expr) -> Expr:
    """Return *expr* as of the moment and in the time zone of all payloads."""
    return bind(expr, AS_OF.moment, AS_OF.zone)


def find_difference(payload: RealPayload) -> str | None:
    """Return how the reading of *payload* differs from what is expected; None if it does not."""
    try:
        found, _ = read_payload(payload.vendor, payload.text)
    except PayloadError as error:
        [problem, *_] = error.problems
        is_expected = payload.verb == "refused" and problem.code == payload.expected
        return None if is_expected else f"refused: {problem.code} at {problem.path}: {problem.message}"
    if payload.verb == "means" and equivalent(found, parse(payload.expected)):
        return None
    return f"read as {render(found)}"


def translate_payload(vendor: str, text: str, target: str) -> Plan:
    """Translate a payload of *vendor* into requests to *target*."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PayloadWarning)
        return translate(load_json(text), vendor, target, as_of=AS_OF.moment, timezone=AS_OF.zone.key)


def is_emitted(expr: Expr, result: Plan) -> bool:
    """Return whether *result* expresses all of *expr* natively, as the vendor's own parser reads it."""
    if result.by_ids is not None:
        return False
    vendor = get_vendor(result.vendor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PayloadWarning)
        parts = [vendor.parse(native) for native in result.native]
    return means_the_same(any_of(parts), expr, vendor)


def means_the_same(lhs: Expr, rhs: Expr, vendor: Vendor) -> bool:
    """Return whether *lhs* and *rhs* are the same devices as *vendor* sees them: maybe with one value of each key."""
    lhs, rhs = (map_atoms(ask(expr), vendor.view) for expr in (lhs, rhs))
    types = {atom.type for atom in (*atoms(lhs), *atoms(rhs)) if isinstance(atom, Tag)} - {UNTYPED}
    single_values = AttributeConstraints(exclusive=frozenset(types if vendor.has_single_values else ()))
    return find_partition_violation(lhs, [rhs], single_values) is None


def find_emission_problem(vendor: str, text: str) -> str | None:
    """Return why the meaning of the payload *text* is not emitted natively to *vendor*; None if it is, or is exempt.

    What comes to every device without saying so is never broadcast, and what comes to nobody is not sent. What was read
    with a warning may be refused by the vendor, and then here as well, with the reasons.
    """
    expr, is_warned = read_payload(vendor, text)
    result = translate_payload(vendor, text, vendor)
    if is_emitted(expr, result) or (is_warned and result.reasons):
        return None
    if means_the_same(expr, Nobody(), get_vendor(vendor)) or (expr != Everyone() and equivalent(expr, Everyone())):
        return None
    return f"{render(expr)}: {'; '.join(f'{problem.code}: {problem.message}' for problem in result.reasons)}"


def find_translation_problem(expr: Expr, results: Iterable[Plan]) -> str | None:
    """Return how the first of *results* is wrong that neither says *expr* natively nor refuses to with reasons."""
    for result in results:
        if result.by_ids is None and not is_emitted(expr, result):
            return f"{result.vendor}: {render(expr)} is said as {result.native}"
        if result.by_ids is not None and not result.reasons:
            return f"{result.vendor}: no reason why {render(expr)} is not said"
    return None


def is_list_of_pushes(text: str) -> bool:
    """Return whether the payload *text* is several pushes, which may overlap: they are read as a union."""
    payload = load_json(text)
    if isinstance(payload, list) or {"tokens", "fids"} <= set(payload):  # a multicast of FCM
        return True
    return any(key.startswith(KEYS_OF_LISTS) for key in payload)


def other_vendors(vendor: str) -> list[str]:
    """Return the other vendors that can be written for."""
    return [name for name in vendor_names(can="emit") if name != vendor]


@dataclass(frozen=True)
class Tally:
    """What became of the real payloads of one vendor."""

    payloads: int
    well_read: int
    refused: int
    well_translated: int
    native_elsewhere: int
    emitted_again: int


def tally_payloads(payloads: Iterable[RealPayload]) -> dict[str, Tally]:
    """Count what becomes of *payloads*, by their vendors in alphabetical order."""
    by_vendor: dict[str, list[RealPayload]] = {}
    for payload in payloads:
        by_vendor.setdefault(payload.vendor, []).append(payload)
    return {vendor: _tally(vendor, group) for vendor, group in sorted(by_vendor.items())}


def _tally(vendor: str, payloads: Sequence[RealPayload]) -> Tally:
    """Count what becomes of *payloads* of *vendor*. A payload that is rightly refused is translated by its refusal."""
    well_read = [payload for payload in payloads if find_difference(payload) is None]
    exprs = {payload: read_payload(vendor, payload.text)[0] for payload in well_read if payload.verb == "means"}
    refused = len(well_read) - len(exprs)
    translated = native = emitted_again = 0
    for payload, expr in exprs.items():
        results = [translate_payload(vendor, payload.text, target) for target in other_vendors(vendor)]
        translated += find_translation_problem(expr, results) is None
        native += any(is_emitted(expr, result) for result in results)
        if vendor in vendor_names(can="emit") and not is_list_of_pushes(payload.text):
            emitted_again += is_emitted(expr, translate_payload(vendor, payload.text, vendor))
    return Tally(len(payloads), len(well_read), refused, refused + translated, native, emitted_again)
