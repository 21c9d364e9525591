"""Plans under policies: by ids, of the devices that fit."""

from dataclasses import replace

from audience.language.ast import Nobody
from audience.language.binding import bind
from audience.planning.catalog.references import expand_references
from audience.planning.plans import Plan, PlanRequest
from audience.planning.policies import UNDER_POLICY, PolicyChoice, restrict_audience


def plan_under_policies(request: PlanRequest, choice: PolicyChoice) -> Plan:
    """Return a plan by ids of the devices of *request* that fit the policies of *choice*.

    Raises:
        ExpressionError: The index cannot answer a policy, or the audience.
    """
    assert request.index is not None  # policies are those of an index
    asked = request.as_of
    audience = bind(expand_references(request.simplified, request.catalog), asked.moment, asked.zone)
    restricted = restrict_audience(audience, choice, request.index, asked)
    planned = request.plan_nothing()
    if restricted.expr != Nobody():
        planned = replace(request.plan_by_ids((UNDER_POLICY,)), by_ids=restricted.expr)
    return replace(planned, policies=restricted.policies, removed=restricted.removed)
