"""Lines of the activity log about the batches of a run."""

from audience.activity_log import log_activity
from audience.delivery.ledger.transitions import Batch, StateAfterCall
from audience.delivery.sender.context import SendContext
from audience.delivery.sender.outcomes import Outcome
from audience.errors import Problem
from audience.vendors.delivery_spec import DeliverySpec

MIN_LOGGED_WAIT_SECONDS = 1.0  # of a call for the rate limit of its vendor


def log_sent(context: SendContext, batch: Batch) -> None:
    """Log that a call is about to be made."""
    log_activity("batch-sent", **_describe(context, batch))


def log_outcome(context: SendContext, outcome: Outcome, state: StateAfterCall) -> None:
    """Log what became of a call: the *state* that its batch has reached."""
    batch, problem = outcome.transition.batch, outcome.transition.problem
    fields = {**_describe(context, batch), **describe_problem(problem, context.prepared.delivery)}
    invalid = len(outcome.transition.invalid_ids) or None
    match state:
        case _ if outcome.next_step == "repeat":
            log_activity("batch-retry", **fields, seconds=outcome.retry_after)
        case "accepted":
            log_activity("batch-accepted", **_describe(context, batch), invalid=invalid)
        case "rejected":
            log_activity("batch-rejected", **fields, invalid=invalid)
        case "in_doubt":
            log_activity("batch-in-doubt", **fields)


def log_wait(context: SendContext, batch: Batch, seconds: float) -> None:
    """Log that a call has waited for the rate limit, if that took long."""
    if seconds > MIN_LOGGED_WAIT_SECONDS:
        fields = _describe(context, batch)
        del fields["ids"]
        log_activity("rate-limit-wait", **fields, seconds=round(seconds, 3))


def describe_problem(problem: Problem | None, delivery: DeliverySpec) -> dict[str, str | int | None]:
    """Return the code of *problem* and that of the vendor, whose texts may hold anything.

    >>> from audience.testing.fake_vendor import make_delivery
    >>> describe_problem(Problem("fatal", "HTTP 401 'no such key k1'"), make_delivery())
    {'code': 'fatal', 'vendor_code': 'HTTP 401'}
    """
    if problem is None:
        return {}
    words = problem.message.split(" ", 2)
    known = {code.code for code in delivery.error_codes}
    is_status = words[0] == "HTTP" and len(words) > 1 and words[1].isdigit()
    vendor_code = f"HTTP {int(words[1])}" if is_status else words[0] if words[0] in known else None
    return {"code": problem.code, "vendor_code": vendor_code}


def _describe(context: SendContext, batch: Batch) -> dict[str, str | int | None]:
    ids = None if batch.native is not None else batch.stop - batch.first - len(batch.invalid_positions)
    return {"run": context.run.id, "vendor": context.run.vendor, "batch": batch.number, "ids": ids}
