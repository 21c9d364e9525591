"""Set and drop the policies of an index. They belong to no snapshot, so that no restore changes them."""

import re
from collections.abc import Sequence

from audience.errors import ExpressionError, PlanError, Problem
from audience.index.changes.segments import require_distinct_paths
from audience.index.query.validate import validate_and_expand
from audience.index.records.forgotten import POLICY_NAME as FORGOTTEN_POLICY
from audience.index.records.policies import (
    iter_policy_records,
    list_policy_records,
    read_policies,
)
from audience.index.records.policy import Policy, named_error, unknown_policy_problem
from audience.index.records.record_files import load_record_list, replace_record_files
from audience.index.storage.published import Storage
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.write_lock import lock_for_update
from audience.language.as_of import read_as_of
from audience.language.id_files import list_id_files, require_unchanged_files

NAME_PATTERN = re.compile(r"\w[\w.-]*")


def set_policy(storage: Storage, policy: Policy, wait: float) -> None:
    """Add *policy*, or replace the one of its name.

    Raises:
        PlanError: Its name is invalid.
        ExpressionError: It refers to something that the index does not have.
        LockedError: Another process changes the index.
    """
    _require_name(policy.name)
    if policy.expr is not None:
        require_unchanged_files(policy.expr)
        require_distinct_paths(list(list_id_files(policy.expr)))
    with lock_for_update(storage, "policy set", wait) as manifest:
        if policy.expr is not None:
            _validate(policy, Snapshot(storage, manifest))
        _write_policies(storage, [*{**read_policies(storage), policy.name: policy}.values()])


def drop_policy(storage: Storage, name: str, wait: float) -> None:
    """Remove the policy *name*.

    Raises:
        PlanError: There is no such policy.
        LockedError: Another process changes the index.
    """
    _require_name(name)
    with lock_for_update(storage, "policy drop", wait):
        policies = read_policies(storage)
        if name not in policies:
            raise PlanError(unknown_policy_problem(name, list(policies)))
        _write_policies(storage, [policy for policy in policies.values() if policy.name != name])


def _write_policies(storage: Storage, policies: Sequence[Policy]) -> None:
    replaced = list_policy_records(load_record_list(storage))
    replace_record_files(storage, iter_policy_records(policies) if policies else (), removed=replaced)


def _require_name(name: str) -> None:
    if not NAME_PATTERN.fullmatch(name):
        hint = "use letters, digits, _, - and ., for example weekly-cap"
        raise PlanError(Problem("bad-policy", f"{name!r:.60} is not a name of a policy", hint=hint))
    if name == FORGOTTEN_POLICY:
        hint = f"`audience forget` keeps it; a plan overrides it with --without-policy {name}"
        raise PlanError(Problem("bad-policy", f"the policy {name} is that of forgotten ids", hint=hint))


def _validate(policy: Policy, snapshot: Snapshot) -> None:
    """Raise ExpressionError, naming the policy, if the index cannot answer it, whatever days of events it lacks now."""
    try:
        validate_and_expand(policy.fitting, snapshot, read_as_of(None, None, snapshot.timezone, allow_gaps=True))
    except ExpressionError as error:
        raise named_error(policy.name, error) from None
