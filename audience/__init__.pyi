"""The public names: `__init__.py` loads each from its module on first use."""

from .algebra.equivalence import (
    equivalent as equivalent,
)
from .algebra.equivalence import (
    witness as witness,
)
from .algebra.simplification import (
    simplify as simplify,
)
from .cluster.dask_cluster import (
    Certificates as Certificates,
)
from .cluster.dask_cluster import (
    connect_cluster as connect_cluster,
)
from .cluster.dask_cluster import (
    local_cluster as local_cluster,
)
from .errors import (
    AudienceError as AudienceError,
)
from .errors import (
    CatalogError as CatalogError,
)
from .errors import (
    ClusterError as ClusterError,
)
from .errors import (
    ComplexityError as ComplexityError,
)
from .errors import (
    ConfigError as ConfigError,
)
from .errors import (
    DamagedError as DamagedError,
)
from .errors import (
    DeliveryError as DeliveryError,
)
from .errors import (
    ExpressionError as ExpressionError,
)
from .errors import (
    InvalidIndexError as InvalidIndexError,
)
from .errors import (
    LedgerError as LedgerError,
)
from .errors import (
    LockedError as LockedError,
)
from .errors import (
    MessageError as MessageError,
)
from .errors import (
    OutputError as OutputError,
)
from .errors import (
    PayloadError as PayloadError,
)
from .errors import (
    PayloadWarning as PayloadWarning,
)
from .errors import (
    PlanError as PlanError,
)
from .errors import (
    Problem as Problem,
)
from .errors import (
    ProofError as ProofError,
)
from .errors import (
    TableError as TableError,
)
from .index.device_index import (
    DeviceIndex as DeviceIndex,
)
from .index.query.device_set import (
    DeviceSet as DeviceSet,
)
from .language.ast import (
    And as And,
)
from .language.ast import (
    Compare as Compare,
)
from .language.ast import (
    Everyone as Everyone,
)
from .language.ast import (
    Expr as Expr,
)
from .language.ast import (
    Has as Has,
)
from .language.ast import (
    Ids as Ids,
)
from .language.ast import (
    Nobody as Nobody,
)
from .language.ast import (
    Not as Not,
)
from .language.ast import (
    Or as Or,
)
from .language.ast import (
    Reference as Reference,
)
from .language.ast import (
    Sample as Sample,
)
from .language.ast import (
    Segment as Segment,
)
from .language.ast import (
    Split as Split,
)
from .language.ast import (
    Tag as Tag,
)
from .language.ast import (
    Within as Within,
)
from .language.ast import (
    all_of as all_of,
)
from .language.ast import (
    any_of as any_of,
)
from .language.parser import (
    parse as parse,
)
from .language.printer import (
    render as render,
)
from .messages import (
    Message as Message,
)
from .messages import (
    parse_message as parse_message,
)
from .planning.catalog.catalog import (
    Catalog as Catalog,
)
from .planning.catalog.check import (
    load_catalog as load_catalog,
)
from .planning.linter import (
    lint as lint,
)
from .planning.planner import (
    plan as plan,
)
from .planning.planner import (
    translate as translate,
)
from .planning.plans import (
    Plan as Plan,
)
from .requests.batching import (
    Batches as Batches,
)
from .requests.batching import (
    batch_ids as batch_ids,
)
from .requests.division import (
    Division as Division,
)
from .requests.division import (
    divide_by as divide_by,
)
from .vendors import (
    get_vendor as get_vendor,
)
from .vendors import (
    vendor_names as vendor_names,
)
from .vendors.spec import (
    Unsupported as Unsupported,
)
from .vendors.spec import (
    Vendor as Vendor,
)
from .vendors.spec import (
    VendorLimit as VendorLimit,
)

__version__: str
from .language.ast import (
    Aggregate as Aggregate,
)
from .language.ast import (
    Anniversary as Anniversary,
)
from .language.ast import (
    Between as Between,
)
from .language.ast import (
    Did as Did,
)
from .language.ast import (
    EventFilter as EventFilter,
)
from .language.ast import (
    EventMoment as EventMoment,
)
from .language.ast import (
    Except as Except,
)
from .language.ast import (
    IdFile as IdFile,
)
from .language.ast import (
    Limit as Limit,
)
from .language.ast import (
    Matches as Matches,
)
from .language.ast import (
    Relative as Relative,
)
from .language.ast import (
    Threshold as Threshold,
)
from .language.ast import (
    Top as Top,
)
from .language.binding import (
    bind as bind,
)
from .language.windows import (
    Comparison as Comparison,
)
from .language.windows import (
    Interval as Interval,
)
from .language.windows import (
    Period as Period,
)
from .language.windows import (
    RelativeTime as RelativeTime,
)
