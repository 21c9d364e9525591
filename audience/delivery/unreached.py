"""Devices of a run that its message does not reach, because it or the application is for other platforms."""

from audience.delivery.prepare import PreparedRun
from audience.errors import Problem
from audience.language.platforms import canonical_platform
from audience.messages import PLATFORMS
from audience.requests.platform_counts import unreached_problems


def list_unreached(run: PreparedRun) -> list[Problem]:
    """Return which devices are on platforms that the message or the application is not for, if the index knows."""
    counts = run.requests.platforms or ()
    application = _find_application_platform(run)
    return [
        *unreached_problems(counts, run.message.platforms or run.delivery.default_platforms, "message"),
        *unreached_problems(counts, () if application is None else (application,), "application"),
    ]


def _find_application_platform(run: PreparedRun) -> str | None:
    """Return the only platform of the application; None if it may have several."""
    named = canonical_platform(run.credentials.keys.get("platform", ""))
    return named if named in PLATFORMS else None
