"""The runs of a folder: one, or where it is a campaign's, one for each vendor, as if they were one.

sending.json    what was checked before a campaign's first call: the message, and of each vendor the plan and the way
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from audience._fs.atomic import put
from audience.delivery import prepare, runs
from audience.delivery.ledger.connection import begun
from audience.delivery.ledger.status import Status, nothing
from audience.delivery.ledger.workers import alone
from audience.delivery.prepare import Prepared
from audience.delivery.runs import OnDoubt
from audience.delivery.safety_limits import Allowed, too_many
from audience.delivery.sender.worker import Effort, worked
from audience.errors import DeliveryError, Problem
from audience.messages import Message, message
from audience.progress import Progress, silent
from audience.requests.campaign import CAMPAIGN, campaign_vendors
from audience.requests.reader import means_somebody, message_json, size
from audience.vendors.delivery_spec import Application
from audience.vendors.spec import Vendor

Applications: TypeAlias = Callable[[Vendor], Application]  # asked for all vendors before anything is sent

SENDING = "sending.json"
Ready: TypeAlias = list[tuple[Prepared, Application]]


def folders(folder: Path) -> list[Path]:
    """The run folders in *folder*, or itself; those of a campaign in its order."""
    if not (folder / CAMPAIGN).is_file():
        return [folder]
    return [folder / name for name in campaign_vendors(folder)]


def devices(folder: Path) -> int:
    """How many devices are meant, by all runs of *folder*."""
    return sum(size(each)[1] for each in folders(folder))


def prepare_all(
    folder: Path,
    said: Message,
    applications: Applications,
    allowed: Allowed,
    *,
    way: str | None = None,
    progress: Progress = silent,
) -> Ready:
    """What would be sent from *folder*, all of it checked; those that tell nobody are left out.

    Raises DeliveryError or MessageError where any of it may not be sent.
    """
    problems = [*too_many(devices(folder), allowed)]
    if problems:
        raise DeliveryError(*problems)
    within = allowed if folders(folder) == [folder] else replace(allowed, expect=None, max_devices=devices(folder))
    known = [(each, applications(size(each)[0])) for each in folders(folder) if means_somebody(each)]
    found = [
        (prepare.prepared(each, said, application, within, way=way, progress=progress), application)
        for each, application in known
    ]
    return [(each, application) for each, application in found if each.requests.native or each.requests.ids]


def send_all(folder: Path, said: Message, ready: Ready, effort: Effort) -> dict[str, Status]:
    """Begin and send what is *ready*, one vendor after the other; the status of each."""
    if (folder / CAMPAIGN).is_file() and ready:
        _begin_all(folder, said, ready)
    else:
        for each, application in ready:
            prepare.begin(each, application)
    return {each.requests.to.name: worked(each, application, effort) for each, application in ready}


def _begin_all(folder: Path, said: Message, ready: Ready) -> None:
    """Begin all runs of a campaign, and nobody else any of them meanwhile: who goes on begins what was not begun."""
    with alone(folder):
        for one in folders(folder):
            prepare.refuse_begun(one)
        put(folder / SENDING, _sending(said, ready))
        for each, application in ready:
            prepare.begin(each, application)


def resume_all(
    folder: Path, applications: Applications, on_doubt: OnDoubt, effort: Effort, *, moved: bool = False
) -> dict[str, Status]:
    """Go on with all runs of *folder*, and begin those that were left when `send_all` died; the status of each.

    A copy is refused before anything is begun; the user may say that all of it has *moved*.
    """
    run_folders = folders(folder)
    for each in _begun(folder):
        runs.at_home(each, moved=moved)
    known = [(each, size(each)[0].name, applications(size(each)[0])) for each in run_folders]
    if any(_is_left(each) for each in run_folders):
        with alone(folder):
            for each, name, application in known:
                if _is_left(each):
                    prepare.begin(_as_checked(folder, each, name, application), application)
    return {
        name: runs.resume(each, application, on_doubt=on_doubt, effort=effort) if begun(each) else nothing(name)
        for each, name, application in known
    }


def _is_left(each: Path) -> bool:
    """Whether a run was to be begun, and was not."""
    return not begun(each) and size(each)[1] > 0


def status_all(folder: Path) -> dict[str, Status]:
    """How far each run of *folder* is; DeliveryError where none was begun."""
    return {size(each)[0].name: runs.status(each) for each in _begun(folder)}


def copies(folder: Path) -> list[Problem]:
    """Warnings of runs of *folder* that are copies; DeliveryError where none was begun."""
    return [problem for each in _begun(folder) for problem in runs.copied(each)]


def cancel_all(folder: Path) -> dict[str, Status]:
    """Cancel each run of *folder* that was begun; DeliveryError where none was, or where one is a copy."""
    for each in _begun(folder):
        runs.refuse_copy(each)
    return {size(each)[0].name: runs.cancel(each) for each in _begun(folder)}


def _sending(said: Message, ready: Ready) -> bytes:
    runs = {each.requests.to.name: {"plan": each.requests.digest, "way": each.way.name} for each, _ in ready}
    return json.dumps({"message": json.loads(message_json(said)), "runs": runs}).encode()


def _as_checked(folder: Path, each: Path, name: str, application: Application) -> Prepared:
    """What *name* was to be sent when the campaign in *folder* was begun; DeliveryError where that is not known."""
    try:
        said: dict[str, Any] = json.loads((folder / SENDING).read_bytes())
        plan, way = said["runs"][name]["plan"], said["runs"][name]["way"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = f"audience send {each}"
        raise DeliveryError(Problem("not-begun", f"{each}: this was not to be sent yet", hint=hint)) from error
    within = Allowed(max_devices=size(each)[1], broadcast=True)
    found = prepare.prepared(each, message(said["message"]), application, within, way=way)
    if found.requests.digest != plan:
        hint = "what was begun can be gone on with by itself"
        raise DeliveryError(Problem("other-plan", f"{each}: this is not the plan that was checked", hint=hint))
    return found


def _begun(folder: Path) -> list[Path]:
    found = [each for each in folders(folder) if begun(each)]
    if not found:
        raise DeliveryError(Problem("no-run", f"{folder}: nothing was sent from here", hint="audience send"))
    return found
