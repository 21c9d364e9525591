"""Facts as lines of text: `left => right`, comments after #, blank lines ignored."""

from pathlib import Path

import pytest

from audience import vendors

HERE = Path(__file__).parent
ARROW = " => "


def facts(file: Path) -> list[tuple[str, str, str]]:
    """Each fact of *file*: its verb, what stands before the arrow, and what stands behind it."""
    found = []
    for line in file.read_text("utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            verb, _, rest = line.partition(" ")
            left, _, right = rest.partition(ARROW)
            found.append((verb, left.strip(), right.strip()))
    return found


def files(folder: str) -> list[Path]:
    """The files of facts in *folder*, and those of the vendors that other packages have brought along."""
    brought = (HERE / "third_party").glob(f"*/{folder}/*.txt")
    return sorted((HERE / folder).glob("*.txt")) + [file for file in brought if file.stem in vendors()]


def cases(folder: str, *verbs: str) -> list[object]:
    """The facts with one of *verbs* in the files of *folder*, as parameters: file name, before, behind the arrow."""
    return [
        pytest.param(file.stem, left, right, id=f"{file.stem}: {left[:60]}")
        for file in files(folder)
        for verb, left, right in facts(file)
        if verb in verbs
    ]
