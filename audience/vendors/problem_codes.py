"""Problem codes that only one vendor has, from the file `problem_codes.toml` in its folder.

Codes of the house are documented in `docs/problem_codes.toml`, and the console has their Chinese sentences in its
bundle. Those of a vendor come with the vendor: the pages of the docs and the service read them from its file.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from audience.errors import PlanError, Problem
from audience.vendors.spec import Vendor

FIELDS = ("cause", "remedy", "chinese")


@dataclass(frozen=True, slots=True)
class ProblemCode:
    """Problem code of a vendor, with what people read of it.

    Attributes:
        code: The code.
        area: Heading of the docs' page under which it is listed.
        cause: What is wrong, or what is assumed.
        remedy: What to do.
        chinese: Sentence that the console shows in Chinese.
    """

    code: str
    area: str
    cause: str
    remedy: str
    chinese: str


def list_codes(vendor: Vendor) -> tuple[ProblemCode, ...]:
    """Return the codes that only *vendor* has, in the order of its file.

    >>> from audience import get_vendor
    >>> [each.code for each in list_codes(get_vendor("xiaomi"))], list_codes(get_vendor("pinpoint"))
    (['one-operator'], ())
    """
    return () if vendor.problem_codes is None else load_problem_codes(vendor.problem_codes)


@cache
def load_problem_codes(file: Path) -> tuple[ProblemCode, ...]:
    """Load the codes in the file of a vendor: `code = [cause, remedy, chinese]` below `["AREA"]`.

    Raises PlanError if the file cannot be read, or is not written so.

    >>> load_problem_codes(Path(__file__).parent / "xiaomi" / "problem_codes.toml")[0].remedy
    'None needed: the audience is split or sent by ids.'
    """
    try:
        return tuple(_read_entries(tomllib.loads(file.read_text("utf-8"))))
    except (OSError, ValueError) as error:
        hint = "write each code as code = [cause, what to do, sentence in Chinese]"
        message = f"cannot read the problem codes of {file}: {error}"
        raise PlanError(Problem("broken-vendor", message, hint=hint)) from error


def _read_entries(areas: dict[str, Any]) -> Iterator[ProblemCode]:
    for area, codes in areas.items():
        if not isinstance(codes, dict):
            raise ValueError(f"{area} is not below an area")
        for code, texts in codes.items():
            if not isinstance(texts, list) or len(texts) != len(FIELDS) or not all(isinstance(t, str) for t in texts):
                raise ValueError(f"{code} is not a list of {', '.join(FIELDS)}")
            yield ProblemCode(code, area, *texts)
