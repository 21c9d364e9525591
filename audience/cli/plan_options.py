"""Options of plans, which all commands that plan share."""

from dataclasses import dataclass
from typing import Annotated

from audience.cli.declarations import Option
from audience.cli.options import (
    CapOption,
    CatalogOption,
    QuestionOptions,
    VendorHasOption,
    WithoutPolicyOption,
    load_optional_catalog,
)
from audience.language.as_of import AsOf, AsOfArguments
from audience.planning.catalog.catalog import Catalog
from audience.planning.planner import MAX_REQUESTS
from audience.planning.vouching import VendorHas, parse_vendor_has


class PlanArguments(AsOfArguments):
    """Keyword arguments for `plan` and `plan_campaign`."""

    catalog: Catalog | None
    max_requests: int
    strict: bool
    vendor_has: VendorHas


class IndexPlanArguments(PlanArguments):
    """Keyword arguments for `plan` and `plan_campaign` with an index."""

    caps: list[str]
    without_policies: list[str]


@dataclass(frozen=True, slots=True)
class PlanOptions(QuestionOptions):
    """Options for how an audience is planned, and for when and where it is asked."""

    catalog: CatalogOption = None
    max_requests: Annotated[
        int, Option("--max-requests", min=1, metavar="N", help="Maximum number of native requests.")
    ] = MAX_REQUESTS
    strict: Annotated[bool, Option("--strict", help="Send ids where a native request would rest on an assumption.")] = (
        False
    )
    vendor_has: VendorHasOption = None

    def to_arguments(self, asked: AsOf) -> PlanArguments:
        """Return the keyword arguments for a plan that is *asked* then and there; read the catalog."""
        return {
            "catalog": load_optional_catalog(self.catalog),
            "max_requests": self.max_requests,
            "strict": self.strict,
            "vendor_has": parse_vendor_has(self.vendor_has),
            **asked.to_arguments(),
        }


@dataclass(frozen=True, slots=True)
class IndexPlanOptions(PlanOptions):
    """Options of plans with an index, whose policies apply."""

    cap: CapOption = None
    without_policy: WithoutPolicyOption = None

    def to_index_arguments(self, asked: AsOf) -> IndexPlanArguments:
        """Return the keyword arguments for a plan with an index that is *asked* then and there; read the catalog."""
        policies = {"caps": self.cap or [], "without_policies": self.without_policy or []}
        return {**self.to_arguments(asked), **policies}  # type: ignore[typeddict-item]
