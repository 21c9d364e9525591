"""What can go wrong, as values.

AudienceError            everything below; carries one or more Problems
├── ExpressionError      a text or an expression that cannot be read or built
├── PayloadError         a vendor's payload that cannot be read, with its path ($.tag_rules[0])
├── TableError           a table of devices that cannot be indexed
├── IndexFolderError     a folder that is not an index
│   ├── DamagedError     an index whose bytes are not those that were written
│   └── LockedError      an index that somebody else is changing
├── OutputError          a place that cannot be written to
├── CatalogError         a catalog that cannot be read, or that contradicts itself
├── MessageError         a message that cannot be read, or that a vendor would refuse
├── DeliveryError        a send that may not begin, or that stopped
│   └── LedgerError      a ledger that cannot be read or written
├── PlanError            a plan that cannot be carried out as asked
├── BudgetError          an expression too large for a normal form or for a proof
└── ProofError           an internal error: a payload that does not mean what was said
"""

from dataclasses import dataclass

from audience.span import Span, format_caret_line


class PayloadWarning(UserWarning):
    """A payload was read, but it holds something the vendor's page would not let stand."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: a stable *code*, what was found, where, and what to do.

    >>> print(Problem("no-name", "TPNS has no name for the type 'city'", hint="map it in a catalog"))
    no-name: TPNS has no name for the type 'city'
       = hint: map it in a catalog

    The path `$` is the whole, and no place in it.

    >>> print(Problem("no-list", "it is none", path="$.tag_rules"), Problem("empty", "it is", path="$"), sep="; ")
    no-list: it is none at $.tag_rules; empty: it is
    """

    code: str
    message: str
    span: Span | None = None
    path: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        place = f" at {self.path}" if self.path not in (None, "$") else ""
        lines = [f"{self.code}: {self.message}{place}"]
        if self.span:
            lines.append(format_caret_line(self.span))
        if self.hint:
            lines.append(f"   = hint: {self.hint}")
        return "\n".join(lines)


class AudienceError(Exception):
    """Base of all errors; *problems* says everything that was found."""

    def __init__(self, *problems: Problem):
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))

    @property
    def code(self) -> str:
        """The code of the first problem."""
        return self.problems[0].code


class ExpressionError(AudienceError):
    """A text or an expression that cannot be read or built."""


class PayloadError(AudienceError):
    """A vendor's payload that cannot be read."""


class TableError(AudienceError):
    """A table of devices that cannot be indexed."""


class InvalidIndexError(AudienceError):
    """A folder that is not an index."""


class DamagedError(InvalidIndexError):
    """An index whose bytes are not those that were written."""


class LockedError(InvalidIndexError):
    """An index that somebody else is changing."""


class OutputError(AudienceError):
    """A place that cannot be written to."""


class CatalogError(AudienceError):
    """A catalog that cannot be read, or that contradicts itself."""


class PlanError(AudienceError):
    """A plan that cannot be carried out as asked."""


class ComplexityError(AudienceError):
    """An expression too large for a normal form or for a proof."""


class ProofError(AudienceError):
    """An internal error: a payload that does not mean what was said."""


class MessageError(AudienceError):
    """A message that cannot be read, or that a vendor would refuse."""


class DeliveryError(AudienceError):
    """A send that may not begin, or that stopped."""


class LedgerError(DeliveryError):
    """A ledger that cannot be read or written."""
