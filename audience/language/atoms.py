"""Nodes that describe devices directly: tags, lists of ids, comparisons, patterns, days, samples and limits."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from audience.errors import ExpressionError, Problem
from audience.language import validation
from audience.language.attribute_names import UNTYPED
from audience.language.junctions import (
    AtomNode,
    depth_field,
    require_count,
    require_operator,
    set_depth,
    span_field,
    written_field,
)
from audience.language.platforms import PLATFORM_TYPE, canonical_platform
from audience.language.validation import require_nonempty, type_error
from audience.language.windows import MAX_AMOUNT, Comparison, Window
from audience.span import Span

if TYPE_CHECKING:
    from audience.language.ast import Expr

MAX_WITHIN_DAYS = MAX_AMOUNT


MAX_LIMIT = 10**12  # devices
MAX_SHOWN_IDS = 100  # in the text of a node for programmers


IdKind: TypeAlias = str  # the name of an id column, or one of these kinds, which vendors have too


ID_KINDS: tuple[IdKind, ...] = ("registration_id", "alias", "account", "live_activity_id")


CompareOp: TypeAlias = Literal["<", "<=", ">=", ">"]


COMPARE_OPS: tuple[CompareOp, ...] = ("<", "<=", ">=", ">")
MIRRORED_OPS: Mapping[CompareOp, CompareOp] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


LowOp: TypeAlias = Literal["<", "<="]


LOW_OPS: tuple[LowOp, ...] = ("<", "<=")


TopOrder: TypeAlias = Literal["top", "bottom"]


TOP_ORDERS: tuple[TopOrder, ...] = ("top", "bottom")


MONTH_DAY = re.compile(r"(?!02-3|(?:0[469]|11)-31)(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])")  # of a leap year


@dataclass(frozen=True, slots=True)
class Tag(AtomNode):
    """Devices that have the tag *type*:*value*. An untyped tag such as `male` has the type `tag`.

    A platform has one name, however it is spelled.

    >>> Tag("province", "guangdong") & ~Tag("tag", "male")
    And(terms=(Tag(type='province', value='guangdong'), Not(term=Tag(type='tag', value='male'))))
    >>> Tag("platform", "HARMONY")
    Tag(type='platform', value='harmonyos')
    """

    type: str
    value: str
    span: Span | None = span_field()
    written: "Relative | None" = written_field()

    def __post_init__(self) -> None:
        require_nonempty("tag type", self.type, self.span)
        require_nonempty("tag value", self.value, self.span)
        if self.type == PLATFORM_TYPE:
            object.__setattr__(self, "value", canonical_platform(self.value))


@dataclass(frozen=True, slots=True)
class IdFile:
    """File from which ids were read.

    Attributes:
        path: Path, as it is written.
        digest: Checksum of the content.
        ids: Distinct ids in the order of the file.
        location: Absolute path, where the content can be compared again; empty if it cannot.
        state: What the file system said of the file when it was read.
        is_list: Whether the ids were saved as a segment of their own, not by an expression that names the file.
    """

    path: str
    digest: str
    ids: tuple[str, ...] = field(compare=False, repr=False)
    location: str = field(default="", compare=False, repr=False)
    state: tuple[int, ...] = field(default=(), compare=False, repr=False)
    is_list: bool = field(default=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Ids(AtomNode):
    """Devices listed by id: any of *values*, all ids of one *kind*.

    Args:
        kind: Kind of id, or the name of an id column of an index.
        values: All ids, including those of *files*.
        files: Files from which ids were read.
    """

    kind: IdKind
    values: tuple[str, ...]
    files: tuple[IdFile, ...] = ()
    span: Span | None = span_field()

    def __post_init__(self) -> None:
        require_nonempty("kind of id", self.kind, self.span)
        if not isinstance(self.values, tuple):
            raise type_error("ids", "a tuple of strings", self.values)
        if not self.values:
            raise ExpressionError(Problem("empty-list", f"{self.kind}() lists no id", self.span, hint="use nobody"))
        for value in self.values:
            if not isinstance(value, str) or not value:
                require_nonempty("id", value, self.span)

    def __repr__(self) -> str:
        """Return the constructor with a long list cut short."""
        shown = repr(self.values) if len(self.values) <= MAX_SHOWN_IDS else f"<{len(self.values):,} ids>"
        files = f", files={self.files!r}" if self.files else ""
        return f"Ids(kind={self.kind!r}, values={shown}{files})"

    def written_values(self) -> tuple[str, ...]:
        """Return the ids that are in none of the files.

        >>> file = IdFile("staff.txt", "5d41402abc4b2a76b9719d911017c592", ("d1", "d2"))
        >>> Ids("device_id", ("d3", "d1", "d2"), (file,)).written_values()
        ('d3',)
        """
        match self.files:
            case ():
                return self.values
            case (file,) if self.values[len(self.values) - len(file.ids) :] == file.ids:
                return self.values[: len(self.values) - len(file.ids)]
        in_files = {identifier for file in self.files for identifier in file.ids}
        return tuple(value for value in self.values if value not in in_files)


@dataclass(frozen=True, slots=True)
class Compare(AtomNode):
    """Devices with a value of the ordered attribute *type* on the *operator* side of *value*."""

    type: str
    operator: CompareOp
    value: str
    span: Span | None = span_field()
    written: "Relative | None" = written_field()

    def __post_init__(self) -> None:
        require_operator(self.operator, COMPARE_OPS, self.span)
        require_nonempty("tag type", self.type, self.span)
        require_nonempty("value", self.value, self.span)


@dataclass(frozen=True, slots=True)
class Within(AtomNode):
    """Devices with a date of the attribute *type* in the *days* days that end with *day* (inclusive)."""

    type: str
    days: int
    day: str
    span: Span | None = span_field()
    written: "Relative | None" = written_field()

    def __post_init__(self) -> None:
        if not isinstance(self.days, int) or not 1 <= self.days <= MAX_WITHIN_DAYS:
            raise ExpressionError(
                Problem(
                    "bad-days", f"invalid number of days {self.days!r}", self.span, hint=f"use 1 to {MAX_WITHIN_DAYS}"
                )
            )
        require_nonempty("tag type", self.type, self.span)
        require_nonempty("day", self.day, self.span)


@dataclass(frozen=True, slots=True)
class Between(AtomNode):
    """Devices with one value of the ordered attribute *type* between *low* and *high*.

    For an attribute of several values that is more than two comparisons: 10 and 100 are not between 18 and 25.

    >>> Between("age", "18", "25").low_operator
    '<='
    """

    type: str
    low: str
    high: str
    low_operator: LowOp = "<="
    high_operator: LowOp = "<="
    span: Span | None = span_field()
    written: "Relative | None" = written_field()

    def __post_init__(self) -> None:
        require_operator(self.low_operator, LOW_OPS, self.span)
        require_operator(self.high_operator, LOW_OPS, self.span)
        require_nonempty("attribute", self.type, self.span)
        require_nonempty("value", self.low, self.span)
        require_nonempty("value", self.high, self.span)


@dataclass(frozen=True, slots=True)
class Matches(AtomNode):
    r"""Devices with a value of the text attribute *type* that fits *pattern*.

    Args:
        type: Attribute.
        pattern: Text in which `*` matches any text and `?` one character; `\*`, `\?` and `\\` are literal.
        ignores_case: Whether case is ignored.

    >>> Matches("city", "gua*")
    Matches(type='city', pattern='gua*', ignores_case=False)
    """

    type: str
    pattern: str
    ignores_case: bool = False
    span: Span | None = span_field()

    def __post_init__(self) -> None:
        require_nonempty("attribute", self.type, self.span)
        require_nonempty("pattern", self.pattern, self.span)
        validation.require_pattern(self.pattern, self.type, self.span)


@dataclass(frozen=True, slots=True)
class Relative(AtomNode):
    """Devices with a day or moment of the attribute *type* in a *window* that depends on when the question is asked.

    `bind` replaces it by an absolute atom.

    >>> from audience.language.windows import Period
    >>> Relative("active", Period(7, "day")).window.amount
    7
    """

    type: str
    window: Window
    span: Span | None = span_field()

    def __post_init__(self) -> None:
        require_nonempty("attribute", self.type, self.span)
        if not isinstance(self.window, Window):
            raise type_error("window", "a comparison, an interval or a period", self.window)


@dataclass(frozen=True, slots=True)
class Anniversary(AtomNode):
    """Devices with a day of the attribute *type* whose month and day are in *window*.

    It is absolute if the window is one month and day, such as `Comparison("=", "02-29")`.

    >>> Anniversary("birthday", Comparison("=", "11-28")).is_absolute
    True
    """

    type: str
    window: Window
    span: Span | None = span_field()
    written: "Anniversary | None" = written_field()

    def __post_init__(self) -> None:
        require_nonempty("attribute", self.type, self.span)
        if not isinstance(self.window, Window):
            raise type_error("window", "a comparison, an interval or a period", self.window)
        if isinstance(self.window, Comparison) and self.window.operator != "=":
            hint = "compare it with = or within: anniversary(birthday) = today"
            message = "a month and day come every year, so none is before or after another"
            raise ExpressionError(Problem("no-order", message, self.span, hint=hint))

    @property
    def is_absolute(self) -> bool:
        """Return whether the window is one month and day."""
        window = self.window
        return (
            isinstance(window, Comparison) and isinstance(window.time, str) and bool(MONTH_DAY.fullmatch(window.time))
        )


Condition: TypeAlias = Compare | Within | Between | Matches | Anniversary  # of the values of one attribute


@dataclass(frozen=True, slots=True)
class Has(AtomNode):
    """Devices with any value of the attribute *type*.

    Every tag, comparison and range of days of an attribute implies it.

    >>> Has("email") & ~Tag("city", "Rome")
    And(terms=(Has(type='email'), Not(term=Tag(type='city', value='Rome'))))
    """

    type: str
    span: Span | None = span_field()

    def __post_init__(self) -> None:
        require_nonempty("attribute", self.type, self.span)


@dataclass(frozen=True, slots=True)
class Reference(AtomNode):
    """Devices that only one vendor can find: by a segment of its console, an uploaded file, a value that it computes.

    Nothing is known about them but what a catalog says, so a proof takes a reference as an unknown.

    Args:
        vendor: Name of the vendor.
        kind: What is referred to, in the vendor's words, such as `segment`.
        value: Its name at the vendor, or the part of a payload that describes it, as compact JSON.

    >>> Reference("onesignal", "segment", "Active Users").kind
    'segment'
    """

    vendor: str
    kind: str
    value: str
    span: Span | None = span_field()

    def __post_init__(self) -> None:
        require_nonempty("vendor", self.vendor, self.span)
        require_nonempty("kind of reference", self.kind, self.span)
        require_nonempty("reference", self.value, self.span)


@dataclass(frozen=True, slots=True)
class Segment(AtomNode):
    """Devices of the expression that an index has saved as *name*."""

    name: str
    span: Span | None = span_field()

    def __post_init__(self) -> None:
        require_nonempty("segment name", self.name, self.span)


@dataclass(frozen=True, slots=True)
class Sample(AtomNode):
    """Pseudo-random sample of all devices.

    Args:
        percent: Size of the sample, above 0 and at most 100, as a decimal string.
        seed: Selects the devices. A larger sample with the same seed contains a smaller one.

    >>> Sample("10.0", "summer")
    Sample(percent='10', seed='summer')
    """

    percent: str
    seed: str
    span: Span | None = span_field()

    def __post_init__(self) -> None:
        object.__setattr__(self, "percent", validation.normalize_percent(self.percent, self.span))
        require_nonempty("seed", self.seed, self.span)


@dataclass(frozen=True, slots=True)
class Split(AtomNode):
    """Devices of one variant of an A/B split, or of any variant.

    Args:
        variants: Name and percent of each variant. Variants are disjoint.
        seed: Selects the devices of each variant.
        variant: Name of the variant that is selected. None selects the union of all variants.

    >>> Split((("a", "45"), ("b", "45")), "summer", variant="b").variant
    'b'
    """

    variants: tuple[tuple[str, str], ...]
    seed: str
    variant: str | None = None
    span: Span | None = span_field()

    def __post_init__(self) -> None:
        object.__setattr__(self, "variants", validation.normalize_variants(self.variants, self.span))
        require_nonempty("seed", self.seed, self.span)
        if self.variant is not None:
            validation.require_variant(self.variant, self.variants, self.span)


@dataclass(frozen=True, slots=True)
class Limit(AtomNode):
    """Pseudo-random selection of a number of devices of *term*.

    Args:
        term: Audience that is limited.
        count: Number of devices; all, if there are fewer.
        seed: Selects the devices. A larger limit with the same seed contains a smaller one.

    >>> Limit(bare("vip"), 1_000, "summer").count
    1000
    """

    term: "Expr"
    count: int
    seed: str
    span: Span | None = span_field()
    depth: int = depth_field()

    def __post_init__(self) -> None:
        require_count(self.count, 1, MAX_LIMIT, self.span)
        require_nonempty("seed", self.seed, self.span)
        set_depth(self, (self.term,))


@dataclass(frozen=True, slots=True)
class Top(AtomNode):
    """Devices of *term* with the largest values of an attribute, or the smallest.

    Args:
        term: Audience that is limited.
        count: Number of devices; all that have a value, if there are fewer.
        by: Ordered attribute.
        order: `top` selects the largest values, `bottom` the smallest.

    >>> Top(bare("vip"), 1_000, "spend").order
    'top'
    """

    term: "Expr"
    count: int
    by: str
    order: TopOrder = "top"
    span: Span | None = span_field()
    depth: int = depth_field()

    def __post_init__(self) -> None:
        require_count(self.count, 1, MAX_LIMIT, self.span)
        require_nonempty("attribute", self.by, self.span)
        require_operator(self.order, TOP_ORDERS, self.span)
        set_depth(self, (self.term,))


def bare(name: str) -> Tag:
    """Return the untyped tag *name*."""
    return Tag(UNTYPED, name)
