"""The table of what becomes of the payloads of public code, which the tests have with their sources and meanings."""

import sys
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path

from markdown_text import code, markdown_table

from audience.vendors import vendor_names

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from real_payloads import Tally, load_real_payloads, tally_payloads

TITLES = ("vendor", "payloads", "well read", "refused", "well translated", "native elsewhere", "said back")
WORDS = """\
What becomes of the payloads that the tests have from SDKs, applications, documents and threads in public repositories.

- *Well read*: the payload is read with that meaning. A payload that the vendor would not accept, or whose meaning no
  document states, is well read if it is *refused* with the reason.
- *Well translated*: for each of the other vendors that can be written for, there are requests that mean the same when
  they are parsed back, or every reason why there are none. A refused payload is translated by its refusal.
- *Native elsewhere*: at least one other vendor has native requests with the same meaning. What only one vendor
  understands, such as a segment of its console, is native at no other.
- *Said back*: the vendor's own requests mean the same. A list of several pushes, and what the vendor would refuse, is
  not.

"""


def payloads_section() -> str:
    """Return the section about payloads of public code."""
    return "## Real payloads\n\n" + WORDS + payloads_table(tally_payloads(load_real_payloads()))


def payloads_table(tallies: Mapping[str, Tally]) -> str:
    """Return the table of all vendors, and of their sums."""
    written = vendor_names(can="emit")
    rows = [(code(name), *map(str, astuple(tally))) for name, tally in tallies.items()]
    rows = [row if name in written else (*row[:-1], "read only") for name, row in zip(tallies, rows, strict=True)]
    sums = map(sum, zip(*map(astuple, tallies.values()), strict=True))
    return markdown_table(TITLES, [*rows, ("all", *map(str, sums))])
