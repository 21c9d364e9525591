"""Measurements, each module a question."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # whose callers know the ids and the keys of each vendor
