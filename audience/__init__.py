"""Who should get the push: one expression, resolved with bitmaps, said exactly in every vendor's words."""

from audience.late import late

TYPE_CHECKING = False  # as of `typing`, which takes longer to load than all that stands here
if TYPE_CHECKING:  # the names of HOMES, for those who read types
    from audience.algebra.equivalence import equivalent, witness
    from audience.algebra.simplify import simplify
    from audience.batches import Batches, batches
    from audience.catalog.attributes import Catalog
    from audience.catalog.check import load_catalog
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
    from audience.index.crowd import Crowd
    from audience.index.device_index import DeviceIndex
    from audience.language.expr import (
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
    from audience.language.parse import parse
    from audience.language.render import render
    from audience.lint import lint
    from audience.message import Message, message
    from audience.plan import Plan, plan, translate
    from audience.vendors import vendor, vendors
    from audience.vendors.base import Limit, Unsaid, Vendor

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
    "audience.batches": "Batches batches",
    "audience.catalog.attributes": "Catalog",
    "audience.catalog.check": "load_catalog",
    "audience.errors": (
        "AudienceError BudgetError CatalogError DamagedError DeliveryError ExpressionError IndexFolderError "
        "LedgerError LockedError MessageError OutputError PayloadError PayloadWarning PlanError Problem "
        "ProofError TableError"
    ),
    "audience.index.crowd": "Crowd",
    "audience.index.device_index": "DeviceIndex",
    "audience.language.expr": (
        "And Compare Everyone Expr Ids Nobody Not Or Sample Segment Split Tag Within all_of any_of"
    ),
    "audience.language.parse": "parse",
    "audience.language.render": "render",
    "audience.lint": "lint",
    "audience.message": "Message message",
    "audience.plan": "Plan plan translate",
    "audience.vendors": "vendor vendors",
    "audience.vendors.base": "Limit Unsaid Vendor",
}
late(__name__, HOMES)
