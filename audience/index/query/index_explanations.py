"""Explain an index's answers: methods that break a count down, and that say what may come next in a text."""

from datetime import datetime

from audience.argument_types import check_methods
from audience.errors import Problem
from audience.index.query.completion import complete_with_index
from audience.index.query.completion_counts import count_within
from audience.index.query.explain import Explanation, explain_expr
from audience.index.query.leave_one_out import LeaveOneOut, count_without_each
from audience.index.query.physical_explanation import PhysicalExplanation, explain_physical
from audience.index.query.questions import read_question
from audience.index.query.snapshot_counts import SnapshotCount, count_in_snapshots
from audience.index.query.snapshot_diff import Diff, diff_snapshots
from audience.index.query.unmatched import find_unmatched
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import read_as_of
from audience.language.ast import Expr
from audience.language.completion import Completion
from audience.language.parser import to_expr


@check_methods()
class IndexExplanations:
    """Methods of an index that explain a count, or help to write an expression."""

    snapshot: Snapshot

    def explain(
        self,
        expr: Expr | str,
        *,
        as_of: datetime | str | None = None,
        timezone: str | None = None,
        allow_gaps: bool = False,
    ) -> Explanation:
        """Return the tree of *expr* with a count at every node, and in an AND the devices left after each operand.

        Arguments are as for `count`.

        Raises:
            ExpressionError: *expr* is invalid or refers to something that the index does not have.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> [(line.text, line.device_count, line.remaining) for line in index.explain("male AND vip")]
        [('AND', 1, None), ('male', 2, 2), ('vip', 1, 1)]
        """
        snapshot = self.snapshot  # another thread may refresh the index
        return explain_expr(to_expr(expr), snapshot, read_question(as_of, timezone, allow_gaps, snapshot))

    def explain_physical(
        self,
        expr: Expr | str,
        *,
        asked: int = 1,
        as_of: datetime | str | None = None,
        timezone: str | None = None,
        allow_gaps: bool = False,
    ) -> PhysicalExplanation:
        """Count *expr* and return how: which way each node took in which shards, and what the others would have cost.

        Nothing that later questions are answered from is changed: they are evaluated as if this had not been asked. A
        copy of all that the snapshot keeps is asked instead, by the code that counts, which notes its choices there.
        Printed, the explanation is a text of 80 columns.

        Args:
            expr: Expression or text.
            asked: How often the expression is counted, on the same copy; shown is the last time. 1 is what `count`
                would do now. After about five times everything is kept that is worth it.
            as_of: Moment of the question, as for `count`.
            timezone: Time zone of the question, as for `count`.
            allow_gaps: Whether days of events may be missing, as for `count`.

        Raises:
            ExpressionError: *expr* is invalid or refers to something that the index does not have.
            ValueError: *asked* is not from 1 to 100.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> explanation = index.explain_physical("male AND vip", asked=2)
        >>> explanation.device_count, [(line.text, [way.name for way in line.ways]) for line in explanation.lines]
        (1, [('AND', ['at once']), ('male', []), ('vip', [])])
        >>> explanation.lines[1].form.rows
        2
        """
        snapshot = self.snapshot  # another thread may refresh the index
        question = read_question(as_of, timezone, allow_gaps, snapshot)
        return explain_physical(to_expr(expr), snapshot, question, asked=asked)

    def leave_one_out(
        self,
        expr: Expr | str,
        *,
        as_of: datetime | str | None = None,
        timezone: str | None = None,
        allow_gaps: bool = False,
    ) -> LeaveOneOut:
        """Return *expr* without each of its conditions, with exact counts: what each condition costs.

        Left out are operands of AND and OR, the right side of EXCEPT, terms of a threshold that can do without, and
        the limit of the whole: at most 100 of them, the outermost first. Their paths are those of the lines of
        `explain`. Arguments are as for `count`.

        Raises:
            ExpressionError: *expr* is invalid or refers to something that the index does not have.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> without = index.leave_one_out("male AND vip")
        >>> without.device_count, [(each.path, each.expr.value, each.device_count) for each in without.left_out]
        (1, [((0,), 'vip', 1), ((1,), 'male', 2)])
        """
        snapshot = self.snapshot  # another thread may refresh the index
        return count_without_each(to_expr(expr), snapshot, read_question(as_of, timezone, allow_gaps, snapshot))

    def find_unmatched(
        self,
        expr: Expr | str,
        *,
        as_of: datetime | str | None = None,
        timezone: str | None = None,
        allow_gaps: bool = False,
    ) -> list[Problem]:
        """Return a problem for each tag and id list of *expr* that no device has; often these are typos.

        Arguments are as for `count`.

        Raises:
            ExpressionError: *expr* is invalid or refers to something that the index does not have.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1"], "tags": [["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> [(problem.message, problem.hint) for problem in index.find_unmatched("mael")]
        [("no device has 'mael'", 'did you mean male?')]
        """
        snapshot = self.snapshot  # another thread may refresh the index
        return find_unmatched(to_expr(expr), snapshot, read_question(as_of, timezone, allow_gaps, snapshot))

    def complete(
        self,
        text: str,
        position: int | None = None,
        within: bool = False,
        *,
        as_of: datetime | str | None = None,
        timezone: str | None = None,
        allow_gaps: bool = False,
    ) -> list[Completion]:
        """Return what may come next in *text*: names, values, segments and keywords, the most frequent values first.

        Args:
            text: Expression, complete or not.
            position: Position in *text*, its end by default. The word there is replaced by a completion.
            within: Also count values, tags, segments and events among the devices about which the condition at the
                position decides: those of all that it is joined with by AND or EXCEPT. Lists of ids in files are not
                read; `within` of the completions stays None then, and where *text* cannot be answered.
            as_of: Moment of the question, as for `count`.
            timezone: Time zone of the question, as for `count`.
            allow_gaps: Whether days of events may be missing, as for `count`.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "city": ["guangzhou", "shenzhen"]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> [(completion.text, completion.devices) for completion in index.complete("city:gua")]
        [('guangzhou', 1)]
        >>> completions = index.complete("NOT city:shenzhen AND city:", within=True)
        >>> [(each.text, each.devices, each.within) for each in completions]
        [('guangzhou', 1, 1), ('shenzhen', 1, 0)]
        """
        snapshot, at = self.snapshot, len(text) if position is None else position
        completions = complete_with_index(text, at, snapshot)
        if not within:
            return completions
        return count_within(completions, text, at, snapshot, read_question(as_of, timezone, allow_gaps, snapshot))

    def count_over_snapshots(
        self,
        expr: Expr | str,
        *,
        last: int | None = None,
        as_of: datetime | str | None = None,
        timezone: str | None = None,
        allow_gaps: bool = False,
    ) -> list[SnapshotCount]:
        """Return the number of devices that match *expr* in each kept snapshot, oldest first.

        A segment is what it is in the snapshot that is open, in all of them. A snapshot that cannot answer has a
        problem in place of a count.

        Args:
            expr: Expression or text.
            last: Number of snapshots that are asked, the newest ones; None is all.
            as_of: Moment of the question, as for `count`. None is the moment when each snapshot was published.
            timezone: Time zone of the question, as for `count`.
            allow_gaps: Whether days of events may be missing, as for `count`.

        Raises:
            ExpressionError: *expr* is invalid or refers to something that the index does not have now.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> _ = index.tag(["t2"], add="vip")
        >>> [(count.number, count.device_count) for count in index.count_over_snapshots("vip")]
        [(1, 1), (2, 2)]
        """
        if last is not None and last < 1:
            raise ValueError(f"last: expected 1 or more, got {last}")
        return count_in_snapshots(
            to_expr(expr), self.snapshot, last=last, as_of=as_of, timezone=timezone, allow_gaps=allow_gaps
        )

    def diff(
        self,
        expr: Expr | str,
        from_: int,
        to: int,
        *,
        as_of: datetime | str | None = None,
        timezone: str | None = None,
        allow_gaps: bool = False,
    ) -> Diff:
        """Compare the devices of *expr* in two kept snapshots: which came, went and stayed.

        Both are asked at one moment. A segment is what it is in the snapshot that is open. A device that was removed
        and added again is another device.

        Args:
            expr: Expression or text.
            from_: Number of the first snapshot, as in `history`.
            to: Number of the second snapshot.
            as_of: Moment of the question, as for `count`.
            timezone: Time zone of the question, as for `count`.
            allow_gaps: Whether days of events may be missing, as for `count`.

        Raises:
            InvalidIndexError: A snapshot is not kept.
            ExpressionError: A snapshot cannot answer *expr*.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["vip"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> _ = index.tag(["t2"], add="vip")
        >>> diff = index.diff("vip", 1, 2)
        >>> list(diff.came), list(diff.went), list(diff.stayed)
        (['t2'], [], ['t1'])
        """
        snapshot = self.snapshot
        asked = read_as_of(as_of, timezone, snapshot.timezone, allow_gaps)
        return diff_snapshots(to_expr(expr), snapshot, from_, to, asked)
