"""Map samples and splits to ranges of buckets.

A seed gives each device a bucket, a pseudo-random number in [0, 1).

    sample(10%)              [0, 1/10)
    split(a:45%, b:45%)      a: [0, 9/20)   b: [9/20, 9/10)   no variant: [9/10, 1)
"""

from fractions import Fraction

from audience.language.ast import Sample, Split


def bucket_range(expr: Sample | Split) -> tuple[Fraction, Fraction]:
    """Return the half-open bucket interval of a sample or split within [0, 1).

    >>> from audience.language.parser import parse
    >>> [str(end) for end in bucket_range(parse("sample(10%, summer)"))]
    ['0', '1/10']
    >>> [str(end) for end in bucket_range(parse("split(a:45%, b:45%, summer) = b"))]
    ['9/20', '9/10']
    """
    if isinstance(expr, Sample):
        return Fraction(0), _percent_to_fraction(expr.percent)
    bounds = [Fraction(0)]
    for _, percent in expr.variants:
        bounds.append(bounds[-1] + _percent_to_fraction(percent))
    if expr.variant is None:
        return bounds[0], bounds[-1]
    position = [name for name, _ in expr.variants].index(expr.variant)
    return bounds[position], bounds[position + 1]


def _percent_to_fraction(percent: str) -> Fraction:
    return Fraction(percent) / 100
