"""Public names of the package; `__init__.py` imports each on first use."""

from .deliveries import (
    load_deliveries as load_deliveries,
)
from .ledger.status import (
    FailedBatch as FailedBatch,
)
from .ledger.status import (
    Status as Status,
)
from .policy_options import (
    PolicyOptions as PolicyOptions,
)
from .recorded_runs import (
    RecordedRuns as RecordedRuns,
)
from .recorded_runs import (
    record_emitted as record_emitted,
)
from .recorded_runs import (
    record_runs as record_runs,
)
from .runs import (
    cancel as cancel,
)
from .runs import (
    resume as resume,
)
from .runs import (
    send as send,
)
from .runs import (
    status as status,
)
from .safety_limits import (
    SafetyLimits as SafetyLimits,
)
from .sender.worker import (
    SendOptions as SendOptions,
)
from .transport.retry import (
    RetryPolicy as RetryPolicy,
)
