"""Methods of an index that compare audiences: profiles of one, and overlaps of several."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from audience.argument_types import check_methods
from audience.cluster.cluster import Cluster
from audience.index.query.insight.overlap import Overlap
from audience.index.query.insight.overlapping import name_segments, overlap_segments
from audience.index.query.insight.profile import Profile
from audience.index.query.insight.profiling import profile_devices
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import read_as_of
from audience.language.ast import Expr
from audience.language.parser import to_expr


@check_methods()
class IndexInsight:
    """Methods of an index that compare audiences."""

    snapshot: Snapshot

    def profile(
        self,
        expr: Expr | str,
        against: Expr | str | None = None,
        *,
        attributes: Sequence[str] | None = None,
        values: int | None = None,
        as_of: datetime | str | None = None,
        timezone: str | None = None,
        allow_gaps: bool = False,
        cluster: Cluster | None = None,
    ) -> Profile:
        """Return what distinguishes the devices of *expr*: each attribute's values, compared with all devices.

        Counts are exact. Attributes and values come in the order of what they reveal about who is in the audience;
        numbers, days and moments are histograms, and events are days.

        Args:
            expr: Expression or text.
            against: Audience to compare with. None is everybody.
            attributes: Names of attributes and events. None is all.
            values: How many values of an attribute are listed, 10 by default.
            as_of: Moment of the question, as for `count`.
            timezone: Time zone of the question, as for `count`.
            allow_gaps: Whether days of events may be missing, as for `count`.
            cluster: Processes that count, as for `count`.

        Raises:
            ExpressionError: An expression is invalid or refers to something that the index does not have, or the index
                has no attribute or event of a name.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2", "t3"], "city": ["x", "x", "y"], "age": [31, 17, 18]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> profile = index.profile("age < 30")
        >>> profile.count, [(each.value, each.count, each.base_count) for each in profile["city"].values]
        (2, [('y', 1, 1), ('x', 1, 2)])
        """
        if values is not None and values < 1:
            raise ValueError(f"values: expected 1 or more, got {values}")
        if isinstance(attributes, str):
            raise TypeError(f"attributes: expected a list of names, got {attributes!r:.60}")
        snapshot = self.snapshot  # another thread may refresh the index
        asked = read_as_of(as_of, timezone, snapshot.timezone, allow_gaps)
        base = None if against is None else to_expr(against)
        return profile_devices(to_expr(expr), base, snapshot, asked, attributes, values, cluster)

    def overlap(
        self,
        exprs: Mapping[str, Expr | str] | Sequence[Expr | str],
        *,
        as_of: datetime | str | None = None,
        timezone: str | None = None,
        allow_gaps: bool = False,
        cluster: Cluster | None = None,
    ) -> Overlap:
        """Return how many devices each two of several audiences share, and each combination of up to ten.

        Args:
            exprs: Expressions or texts by name, at most 50; without names, each is called by its text.
            as_of: Moment of the question, as for `count`.
            timezone: Time zone of the question, as for `count`.
            allow_gaps: Whether days of events may be missing, as for `count`.
            cluster: Processes that count, as for `count`.

        Raises:
            ExpressionError: An expression is invalid or refers to something that the index does not have.
            PlanError: There are no expressions, more than 50, or two of one name.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2", "t3"], "tags": [["male", "vip"], ["male"], []]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> overlap = index.overlap({"men": "male", "vips": "vip"})
        >>> overlap.pair("men", "vips").both, overlap.none
        (1, 1)
        >>> [(each.names, each.count) for each in overlap.combinations]
        [(('men',), 1), (('men', 'vips'), 1)]
        """
        snapshot = self.snapshot  # another thread may refresh the index
        asked = read_as_of(as_of, timezone, snapshot.timezone, allow_gaps)
        return overlap_segments(name_segments(exprs), snapshot, asked, cluster)
