"""Where on the line from 0 to 1 the devices of a share lie: each has a place there, for each seed another."""

from fractions import Fraction

from audience.language.ast import Sample, Split


def bucket_range(expr: Sample | Split) -> tuple[Fraction, Fraction]:
    """From where to before where on [0, 1) the devices that *expr* means have their places.

    >>> from audience.language.parser import parse
    >>> [str(end) for end in bucket_range(parse("sample(10%, summer)"))]
    ['0', '1/10']
    >>> [str(end) for end in bucket_range(parse("split(a:45%, b:45%, summer) = b"))]
    ['9/20', '9/10']
    """
    if isinstance(expr, Sample):
        return Fraction(0), _percent_to_fraction(expr.percent)
    ends = [Fraction(0)]
    for _, share in expr.variants:
        ends.append(ends[-1] + _percent_to_fraction(share))
    if expr.variant is None:
        return ends[0], ends[-1]
    at = [name for name, _ in expr.variants].index(expr.variant)
    return ends[at], ends[at + 1]


def _percent_to_fraction(percent: str) -> Fraction:
    return Fraction(percent) / 100
