"""Facts as lines of text: `left => right`, comments after #, blank lines ignored."""

from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from audience import vendor_names

TESTS_FOLDER = Path(__file__).parent
SEPARATOR = " => "


def read_facts(file: Path) -> list[tuple[str, str, str]]:
    """Each fact of *file*: its verb, what stands before the arrow, and what stands behind it."""
    found = []
    for line in file.read_text("utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            verb, _, rest = line.partition(" ")
            left, _, right = rest.partition(SEPARATOR)
            found.append((verb, left.strip(), right.strip()))
    return found


def find_fact_files(folder: str) -> list[Path]:
    """The files of facts in *folder*, and those of the vendors that other packages have brought along."""
    brought = (TESTS_FOLDER / "third_party").glob(f"*/{folder}/*.txt")
    return sorted((TESTS_FOLDER / folder).glob("*.txt")) + [file for file in brought if file.stem in vendor_names()]


def load_cases(folder: str, *verbs: str) -> list[ParameterSet]:
    """The facts with one of *verbs* in the files of *folder*, as parameters: file name, before, behind the arrow."""
    return [
        pytest.param(file.stem, left, right, id=f"{file.stem}: {left[:60]}")
        for file in find_fact_files(folder)
        for verb, left, right in read_facts(file)
        if verb in verbs
    ]
