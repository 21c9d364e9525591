"""References to what only one vendor knows: explain why nobody else can evaluate them."""

from audience.errors import Problem
from audience.language.ast import Reference
from audience.language.printer import quote_name, render


def reference_problem(reference: Reference) -> Problem:
    """Return the problem of a reference that is used where its vendor is not, with the line that gives it a meaning.

    >>> print(reference_problem(Reference("onesignal", "segment", "Active Users")).hint)
    give it a meaning in the catalog: [references.onesignal] "Active Users" = "EXPRESSION"
    """
    message = f"only {reference.vendor} can find the devices of {render(reference)}"
    key = quote_name(reference.value)
    key = key if key.startswith('"') else f'"{key}"'
    hint = f'give it a meaning in the catalog: [references.{reference.vendor}] {key} = "EXPRESSION"'
    return Problem("only-at-vendor", message, reference.span, hint=hint)
