"""Policies of an index, as methods: they apply to each plan from then on, and belong to no snapshot."""

from collections.abc import Iterable, Mapping

from audience.argument_types import check_methods
from audience.errors import PlanError, Problem
from audience.index.changes.forgetting import ForgottenInIndex, forget_ids
from audience.index.changes.index_changes import IndexChanges
from audience.index.changes.policies import drop_policy, set_policy
from audience.index.records.forgotten import make_policy, read_forgotten
from audience.index.records.policies import read_policies
from audience.index.records.policy import Policy
from audience.language.ast import Expr
from audience.language.id_files import list_ids
from audience.language.parser import to_expr
from audience.progress import Progress, ignore_progress


@check_methods()
class IndexPolicies(IndexChanges):
    """Methods of an index about its policies, and about persons to forget."""

    @property
    def policies(self) -> Mapping[str, Policy]:
        """Return the policies by name, as they are now.

        Raises:
            DamagedError: A file of the policies is not what was written.
        """
        snapshot = self.snapshot
        policies = read_policies(snapshot.storage)
        forgotten = make_policy(read_forgotten(snapshot.storage), snapshot.shards, snapshot.id_columns)
        return policies if forgotten is None else {**policies, forgotten.name: forgotten}

    def set_policy(
        self,
        name: str,
        *,
        cap: Expr | str | None = None,
        suppress: Iterable[str] | None = None,
        column: str = "registration_id",
        wait: float = 0,
    ) -> None:
        """Set a policy: plans reach only devices that fit *cap*, or none of the ids in *suppress*.

        `restore`, `build` with `replace`, `remove` and `vacuum` do not change policies.

        Args:
            name: Name of the policy; one of that name is replaced.
            cap: What a device must fit. Relative times are those of each plan.
            suppress: Ids that get nothing, also if no device has them yet.
            column: Id column that they are of; device ids of any column by default.
            wait: Seconds to wait for another writer.

        Raises:
            PlanError: The name is invalid, or there is a cap and a list, or neither.
            ExpressionError: The policy refers to something that the index does not have.
            LockedError: Another process changes the index.

        >>> import audience, polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2", "t3"], "tags": [["male", "opted_out"], ["male"], ["male"]]})
        >>> index = audience.DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.set_policy("consent", cap="NOT opted_out")
        >>> index.set_policy("complaints", suppress=["t3"])
        >>> plan = audience.plan("male", "engagelab", index)
        >>> [(policy.name, policy.removed) for policy in plan.policies], [*plan.requests()]
        ([('consent', 1), ('complaints', 1)], [{'to': {'registration_id': ['t2']}}])
        """
        if (cap is None) == (suppress is None):
            message = "expected a cap or a list of ids to suppress" + ("" if cap is None else ", not both")
            raise PlanError(Problem("bad-policy", message, hint="set two policies, each with a name of its own"))
        if cap is not None:
            policy = Policy(name, "cap", to_expr(cap))
        else:
            values = tuple([suppress] if isinstance(suppress, str) else suppress or ())
            policy = Policy(name, "suppress", list_ids(name, values, column) if values else None)
        set_policy(self.snapshot.storage, policy, wait)

    def drop_policy(self, name: str, *, wait: float = 0) -> None:
        """Remove a policy.

        Args:
            name: Name of the policy.
            wait: Seconds to wait for another writer.

        Raises:
            PlanError: There is no such policy.
            LockedError: Another process changes the index.
        """
        drop_policy(self.snapshot.storage, name, wait)

    def forget(
        self,
        ids: Iterable[str],
        *,
        column: str | None = None,
        dry_run: bool = False,
        wait: float = 0,
        progress: Progress = ignore_progress,
    ) -> ForgottenInIndex:
        """Remove the devices with one of *ids* and every trace of them, as a new snapshot, and move to it.

        Older snapshots that have an id are dropped. A salted hash of the ids is kept: plans send nothing to devices
        that have them again.

        Args:
            ids: Ids of the persons to forget.
            column: Id column that the ids are of, as expressions name it; None is any.
            dry_run: Only return what would be removed.
            wait: Seconds to wait for another writer.
            progress: Progress callback.

        Raises:
            TableError: An id is empty.
            ExpressionError: The index has no such column.
            LockedError: Another process changes the index.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "alias": ["u1", "u1"]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.forget(["u1"], column="alias").devices, len(index)
        (2, 0)
        """
        wanted = [ids] if isinstance(ids, str) else list(ids)
        found = forget_ids(self.snapshot, wanted, column, dry_run=dry_run, wait=wait, progress=progress)
        self.refresh()
        return found
