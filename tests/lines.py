"""Facts as lines of text: `left => right`, comments after #, blank lines ignored."""

from pathlib import Path

import pytest

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


def cases(folder: str, *verbs: str) -> list[object]:
    """The facts with one of *verbs* in the files of *folder*, as parameters: file name, before, behind the arrow."""
    return [
        pytest.param(file.stem, left, right, id=f"{file.stem}: {left[:60]}")
        for file in sorted((HERE / folder).glob("*.txt"))
        for verb, left, right in facts(file)
        if verb in verbs
    ]
