"""Errors, and the problems they carry.

AudienceError            base of all errors; carries one or more Problems
├── ExpressionError      text or an expression that is invalid
├── PayloadError         a vendor payload that is invalid, with its path ($.tag_rules[0])
├── TableError           a table of devices that cannot be indexed
├── InvalidIndexError    a folder that is not an index
│   ├── DamagedError     an index whose files are not what was written
│   └── LockedError      an index that another process is changing
├── OutputError          a path that cannot be written to
├── ConfigError          a project file, audience.toml, that is invalid
├── CatalogError         a catalog that is invalid or contradicts itself
├── MessageError         a message that is invalid or that a vendor would reject
├── DeliveryError        a send that must not start, or that stopped
│   └── LedgerError      a ledger that cannot be read or written
├── PlanError            a plan that cannot be carried out
├── ComplexityError      an expression too large for a normal form or a proof
├── ServiceError         a service that cannot start, or a call that it refuses
├── ClusterError         a cluster that cannot be used
│   └── LostClusterError a cluster that was lost while it worked
└── ProofError           an internal error: a payload with another meaning than its expression
"""

from dataclasses import dataclass

from audience.span import Span, format_caret_line


class PayloadWarning(UserWarning):
    """Payload that was parsed, but that the vendor's documentation does not allow."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: a stable *code*, a message, where it is, and a hint what to do.

    >>> print(Problem("no-name", "TPNS has no name for the type 'city'", hint="map it in a catalog"))
    no-name: TPNS has no name for the type 'city'
       = hint: map it in a catalog

    The path `$` is the whole payload and is not printed.

    >>> print(Problem("no-list", "not a list", path="$.tag_rules"), Problem("empty", "empty", path="$"), sep="; ")
    no-list: not a list at $.tag_rules; empty: empty

    Attributes:
        code: Stable name of the kind of problem.
        message: What was expected and what was found.
        span: Position in the text of an expression.
        path: JSON path in a payload, message or manifest.
        hint: Instruction that solves the problem.
    """

    code: str
    message: str
    span: Span | None = None
    path: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        location = f" at {self.path}" if self.path not in (None, "$") else ""
        lines = [f"{self.code}: {self.message}{location}"]
        if self.span:
            lines.append(format_caret_line(self.span))
        if self.hint:
            lines.append(f"   = hint: {self.hint}")
        return "\n".join(lines)


class AudienceError(Exception):
    """Base class of all errors, with all *problems* that were found."""

    def __init__(self, *problems: Problem):
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))

    @property
    def code(self) -> str:
        """Code of the first problem."""
        return self.problems[0].code


class ExpressionError(AudienceError):
    """Text or an expression that is invalid."""


class PayloadError(AudienceError):
    """Vendor payload that is invalid."""


class TableError(AudienceError):
    """Table of devices that cannot be indexed."""


class InvalidIndexError(AudienceError):
    """Folder that is not an index."""


class DamagedError(InvalidIndexError):
    """Index whose files are not what was written."""


class LockedError(InvalidIndexError):
    """Index that another process is changing."""


class OutputError(AudienceError):
    """Path that cannot be written to."""


class ConfigError(AudienceError):
    """Project file that is invalid."""


class CatalogError(AudienceError):
    """Catalog that is invalid or contradicts itself."""


class PlanError(AudienceError):
    """Plan that cannot be carried out."""


class ComplexityError(AudienceError):
    """Expression too large for a normal form or a proof."""


class ProofError(AudienceError):
    """Internal error: a payload with another meaning than its expression."""


class MessageError(AudienceError):
    """Message that is invalid or that a vendor would reject."""


class DeliveryError(AudienceError):
    """Send that must not start, or that stopped."""


class LedgerError(DeliveryError):
    """Ledger that cannot be read or written."""


class ServiceError(AudienceError):
    """Service that cannot start, or a call that it refuses."""


class ClusterError(AudienceError):
    """Cluster that cannot be used."""


class LostClusterError(ClusterError):
    """Cluster that was lost while it worked."""
