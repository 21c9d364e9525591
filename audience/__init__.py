"""Who should get the push: one expression, resolved with bitmaps, said exactly in every vendor's words."""

from audience.late import late

TYPE_CHECKING = False  # as of `typing`, which takes longer to load than all that stands here
if TYPE_CHECKING:  # the names of HOMES, for those who read types
    from audience.algebra.equivalence import equivalent, witness
    from audience.algebra.simplify import simplify
    from audience.errors import (
        AudienceError,
        BudgetError,
        CatalogError,
        DamagedError,
        DeliveryError,
        ExpressionError,
        IndexFolderError,
        LedgerError,
        LockedError,
        MessageError,
        OutputError,
        PayloadError,
        PayloadWarning,
        PlanError,
        Problem,
        ProofError,
        TableError,
    )
    from audience.index.device_index import DeviceIndex
    from audience.index.query.device_set import Crowd
    from audience.language.ast import (
        And,
        Compare,
        Everyone,
        Expr,
        Ids,
        Nobody,
        Not,
        Or,
        Sample,
        Segment,
        Split,
        Tag,
        Within,
        all_of,
        any_of,
    )
    from audience.language.parser import parse
    from audience.language.printer import render
    from audience.messages import Message, message
    from audience.planning.catalog.catalog import Catalog
    from audience.planning.catalog.check import load_catalog
    from audience.planning.linter import lint
    from audience.planning.planner import Plan, plan, translate
    from audience.requests.batching import Batches, batches
    from audience.vendors import vendor, vendors
    from audience.vendors.spec import Limit, Unsaid, Vendor

__version__ = "0.1.0"

__all__ = [
    "And",
    "AudienceError",
    "Batches",
    "BudgetError",
    "Catalog",
    "CatalogError",
    "Compare",
    "Crowd",
    "DamagedError",
    "DeliveryError",
    "DeviceIndex",
    "Everyone",
    "Expr",
    "ExpressionError",
    "Ids",
    "IndexFolderError",
    "LedgerError",
    "Limit",
    "LockedError",
    "Message",
    "MessageError",
    "Nobody",
    "Not",
    "Or",
    "OutputError",
    "PayloadError",
    "PayloadWarning",
    "Plan",
    "PlanError",
    "Problem",
    "ProofError",
    "Sample",
    "Segment",
    "Split",
    "TableError",
    "Tag",
    "Unsaid",
    "Vendor",
    "Within",
    "all_of",
    "any_of",
    "batches",
    "equivalent",
    "lint",
    "load_catalog",
    "message",
    "parse",
    "plan",
    "render",
    "simplify",
    "translate",
    "vendor",
    "vendors",
    "witness",
]

HOMES = {  # loaded when they are asked for: all of them take a second
    "audience.algebra.equivalence": "equivalent witness",
    "audience.algebra.simplify": "simplify",
    "audience.requests.batching": "Batches batches",
    "audience.planning.catalog.catalog": "Catalog",
    "audience.planning.catalog.check": "load_catalog",
    "audience.errors": (
        "AudienceError BudgetError CatalogError DamagedError DeliveryError ExpressionError IndexFolderError "
        "LedgerError LockedError MessageError OutputError PayloadError PayloadWarning PlanError Problem "
        "ProofError TableError"
    ),
    "audience.index.query.device_set": "Crowd",
    "audience.index.device_index": "DeviceIndex",
    "audience.language.ast": (
        "And Compare Everyone Expr Ids Nobody Not Or Sample Segment Split Tag Within all_of any_of"
    ),
    "audience.language.parser": "parse",
    "audience.language.printer": "render",
    "audience.planning.linter": "lint",
    "audience.messages": "Message message",
    "audience.planning.planner": "Plan plan translate",
    "audience.vendors": "vendor vendors",
    "audience.vendors.spec": "Limit Unsaid Vendor",
}
late(__name__, HOMES)
