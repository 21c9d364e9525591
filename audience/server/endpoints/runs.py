"""Endpoints about runs: emit requests, send them, follow, resume and cancel them."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import Field
from typing_extensions import TypedDict

from audience.counts import format_count
from audience.delivery.campaign_runs import cancel_all, count_run_devices, has_runs, withdraw_all
from audience.delivery.run_names import name_emission
from audience.delivery.runs import OnDoubt
from audience.delivery.sender.worker import SendOptions
from audience.errors import Problem
from audience.index.device_index import DeviceIndex
from audience.json_forms.run_overviews import RunForm, RunsForm, ServedDryRunForm
from audience.messages import parse_message
from audience.requests.campaign import run_folders
from audience.requests.division import divide_by
from audience.requests.reader import read_manifest_index, read_manifest_summary
from audience.server.bodies import Body, ExprBody, read_question
from audience.server.calls import Answer, Call, Endpoint
from audience.server.endpoints.plans import load_served_catalog
from audience.server.problems import HttpError
from audience.server.runs.drafts import DRAFT_MESSAGE_FILE, RunDraft, read_draft, write_draft_message
from audience.server.runs.emission import Emission, emit_run, remove_draft
from audience.server.runs.folders import find_run_folder, hide_paths, require_new_name, require_runs_folder
from audience.server.runs.processes import hold_run, start_process
from audience.server.runs.vendor_access import list_vendor_options, load_vendor_credentials
from audience.server.runs.views import list_runs, show_run
from audience.server.settings import ServeSettings

MESSAGE_DESCRIPTION = "Message, as `audience send --message` takes it."


class EmitBody(ExprBody):
    """Body of an emission."""

    name: str = Field(description="Name of the run, which becomes its folder.", examples=["spring-sale"])
    vendor: str = Field(description="Name of the vendor.", examples=["tpns"])
    message: dict[str, Any] = Field(
        description=MESSAGE_DESCRIPTION, examples=[{"title": "Spring sale", "body": "From today"}]
    )
    language_of: str | None = Field(
        default=None, description="Attribute with the languages of devices, by which the audience is divided."
    )
    timezone_of: str | None = Field(
        default=None, description="Attribute with the time zones of devices, by which the audience is divided."
    )
    timezone_default: str | None = Field(
        default=None, description="Time zone of devices whose own is not known.", examples=["Asia/Shanghai"]
    )
    method: str | None = Field(default=None, description="Send method for ids; the cheapest by default.")
    without_policies: list[str] = Field(default=[], description="Names of policies that do not apply.")
    replace: bool = Field(default=False, description="Replace a run of this name that the service has not sent.")


class SendBody(Body):
    """Body of a send."""

    devices: int = Field(ge=0, description="Number of devices that the run messages, typed by whoever sends it.")
    broadcast: bool = Field(
        default=False, description="Allow a native request that reaches every device that the vendor knows."
    )
    record: bool = Field(
        default=False, description="Record in its index whom the run reaches, as the event `delivered`."
    )
    message: dict[str, Any] | None = Field(
        default=None, description=f"{MESSAGE_DESCRIPTION} Only for requests that the service has not emitted."
    )
    method: str | None = Field(
        default=None, description="Send method for ids. Only for requests that the service has not emitted."
    )


class ResumeBody(Body):
    """Body of a resumption."""

    on_doubt: OnDoubt = Field(
        default="report",
        description="Batches in doubt: report them, skip them, or retry them, which may deliver twice.",
    )


class CancelBody(Body):
    """Body of a cancellation."""


class EmittedForm(TypedDict):
    """Requests that were emitted.

    Attributes:
        run: Name of the run.
        dry_run: What sending it would do.
        snapshot: Number of the snapshot from which its devices come.
    """

    run: str
    dry_run: ServedDryRunForm
    snapshot: int


class RemovedForm(TypedDict):
    """Requests that were removed.

    Attributes:
        run: Name of the run.
    """

    run: str


def show_runs(call: Call) -> RunsForm:
    """List the runs of the service, also those of the command line, the one that changed last first."""
    return {"runs": list_runs(require_runs_folder(call.settings))}


def show_one_run(call: Call) -> RunForm:
    """Return the status of a run: batches and ids by state, pace, time left, and what failed with what to do.

    It has numbers only, and neither ids nor texts of replies.
    """
    folder = find_run_folder(call.path["run"], call.settings)
    with hide_paths(folder):
        return show_run(folder, call.settings.indexes)


def emit(call: Call) -> Answer:
    """Write the requests of an audience for a vendor, and return a dry run: nothing is sent.

    The message is checked as `audience send --dry-run` checks it. Policies of the index apply. The variants of the
    message divide the audience, and so do languages and time zones if their attributes are named.
    """
    index, body = _find_newest(call), call.body
    folder = require_runs_folder(call.settings) / require_new_name(body.name)
    if folder.exists() and not body.replace:
        hint = "choose another name; or replace: true for a run that was not sent"
        raise HttpError(409, Problem("exists", f"there is a run {body.name!r}", path="body.name", hint=hint))
    question = read_question(body, index.snapshot)
    message = parse_message(body.message)
    emission = Emission(
        expr=question.expr,
        asked=question.asked,
        vendor=body.vendor,
        message=message,
        division=divide_by(
            message,
            language_of=body.language_of,
            timezone_of=body.timezone_of,
            timezone_default=body.timezone_default,
        ),
        method=body.method,
        without_policies=body.without_policies,
        catalog=load_served_catalog(call),
        index_name=call.path["index"],
        by=call.caller.name,
        replaces=body.replace,
    )
    with hide_paths(folder):
        emitted = emit_run(emission, index, folder, call.settings)
    _find_newest(call)  # which may have recorded the emission, for the next one
    form: EmittedForm = {"run": body.name, "dry_run": emitted.dry_run, "snapshot": emitted.snapshot}
    return Answer(form, 201, {"Location": f"/v1/runs/{quote(body.name)}"})


def send(call: Call) -> Answer:
    """Start to send a run, in a process of its own that goes on if the service ends.

    The number of devices must be that of the run. A run is sent once; `GET /v1/runs/{run}` shows how far it is. What
    has a later moment stays `scheduled` when the process ends: the service does not wait for it. `audience run wait` on
    its machine does, or resume the run at that time.
    """
    folder, body = find_run_folder(call.path["run"], call.settings), call.body
    with hide_paths(folder), hold_run(folder) as lock:
        _require_unsent(folder)
        draft = read_draft(folder)
        _require_confirmed(folder, draft, body)
        for run_folder in run_folders(folder):
            vendor, _ = read_manifest_summary(run_folder)
            load_vendor_credentials(vendor, call.settings)  # raises now what the process would end with
        method = _choose_message(folder, draft, body)
        arguments = [f"--message={(folder / DRAFT_MESSAGE_FILE).absolute()}", f"--expect={body.devices}"]
        arguments += [f"--method={method}"] if method is not None else []
        arguments += ["--broadcast"] if body.broadcast else []
        arguments += [*list_vendor_options(call.settings), *_list_record_options(folder, body.record)]
        arguments += _list_log_options(call.settings)
        start_process("send", arguments, folder, call.caller.name, lock)
        return Answer(show_run(folder, call.settings.indexes), 202)


def resume(call: Call) -> Answer:
    """Start to send the rest of a run, in a process of its own."""
    folder, body = find_run_folder(call.path["run"], call.settings), call.body
    with hide_paths(folder), hold_run(folder) as lock:
        _require_begun(folder)
        arguments = [f"--on-doubt={body.on_doubt}", *list_vendor_options(call.settings)]
        arguments += [*_list_record_options(folder, False), *_list_log_options(call.settings)]
        start_process("resume", arguments, folder, call.caller.name, lock)
        return Answer(show_run(folder, call.settings.indexes), 202)


def cancel(call: Call) -> RunForm:
    """Cancel a run: no other batch is sent, and what vendors deliver later is withdrawn there. It cannot be resumed.

    Calls in flight finish first. `scheduled.at_vendor` of each part counts what could not be withdrawn.
    """
    folder = find_run_folder(call.path["run"], call.settings)
    with hide_paths(folder):
        _require_begun(folder)
        cancel_all(folder)
        withdraw_all(folder, lambda vendor: load_vendor_credentials(vendor, call.settings), SendOptions())
        return show_run(folder, call.settings.indexes)


def remove(call: Call) -> RemovedForm:
    """Remove a run that the service has emitted and nobody has sent."""
    folder = find_run_folder(call.path["run"], call.settings)
    draft = read_draft(folder)
    index_name = "" if draft is None else draft.index
    with hide_paths(folder):
        remove_draft(folder, call.indexes.get(index_name))
    if call.served is not None and index_name in call.indexes:
        call.served.refresh(index_name)
    return {"run": folder.name}


def _find_newest(call: Call) -> DeviceIndex:
    """Return the index of the path at its newest snapshot, so that what was recorded a moment ago counts."""
    index = call.index  # raises HttpError if there is none
    return index if call.served is None else call.served.refresh(call.path["index"])


def _require_unsent(folder: Path) -> None:
    if has_runs(folder):
        hint = "resume it to send the rest; to send again, emit another run"
        raise HttpError(409, Problem("begun", f"{folder.name} was sent already", hint=hint))


def _require_begun(folder: Path) -> None:
    if not has_runs(folder):
        message = f"nothing was sent of {folder.name} yet"
        raise HttpError(409, Problem("no-run", message, hint="send it, or remove it with DELETE"))


def _require_confirmed(folder: Path, draft: RunDraft | None, body: SendBody) -> None:
    """Raise HttpError if the caller has not said how many devices the run reaches, or that it is a broadcast."""
    devices = count_run_devices(folder)
    if body.devices != devices:
        message = f"expected the number of devices of the run, got {body.devices:,}"
        hint = f"{folder.name} has {format_count(devices, 'device')}; nothing was sent"
        raise HttpError(409, Problem("other-size", message, path="body.devices", hint=hint))
    if draft is not None and draft.dry_run["broadcast"] and not body.broadcast:
        message = f"{folder.name} reaches every device that {draft.dry_run['vendor']} knows"
        hint = "send it with broadcast: true if that is intended; nothing was sent"
        raise HttpError(409, Problem("broadcast", message, path="body.broadcast", hint=hint))


def _choose_message(folder: Path, draft: RunDraft | None, body: SendBody) -> str | None:
    """Return the send method; keep the message of a run that the service has not emitted.

    Raises:
        HttpError: The run has a message already, or none.
    """
    if draft is None and body.message is not None:
        write_draft_message(parse_message(body.message), folder)
        return body.method
    if draft is None:
        message = f"{folder.name} was not emitted by this service, which knows no message for it"
        raise HttpError(400, Problem("no-message", message, path="body.message", hint="send the message with it"))
    if body.message is not None or body.method is not None:
        message = f"{folder.name} is sent with the message and the method that it was emitted with"
        hint = "emit it again with replace: true to change them"
        raise HttpError(400, Problem("kept-message", message, path="body.message", hint=hint))
    return draft.method


def _list_log_options(settings: ServeSettings) -> list[str]:
    """Return the options with which the process logs to the file of the service."""
    return [] if settings.log is None else [f"--log={settings.log}"]


def _list_record_options(folder: Path, wanted: bool) -> list[str]:
    """Return the options with which the process records whom it reaches, if that is wanted or was begun."""
    is_recorded = any(name_emission(run_folder) for run_folder in run_folders(folder))
    if not wanted and not is_recorded:
        return []
    indexes = {read_manifest_index(run_folder) for run_folder in run_folders(folder)} - {None}
    if len(indexes) != 1:
        message = f"{folder.name} does not say which index it was emitted from"
        raise HttpError(409, Problem("no-record", message, path="body.record", hint="send it without record"))
    return [f"--record={indexes.pop()}"]


ENDPOINTS = (
    Endpoint("GET", "/v1/runs", show_runs, RunsForm, "count"),
    Endpoint("GET", "/v1/runs/{run}", show_one_run, RunForm, "count"),
    Endpoint("DELETE", "/v1/runs/{run}", remove, RemovedForm, "write"),
    Endpoint("POST", "/v1/indexes/{index}/runs", emit, EmittedForm, "write", EmitBody, statuses=(201,)),
    Endpoint("POST", "/v1/runs/{run}/send", send, RunForm, "send", SendBody, statuses=(202,)),
    Endpoint("POST", "/v1/runs/{run}/resume", resume, RunForm, "send", ResumeBody, statuses=(202,)),
    Endpoint("POST", "/v1/runs/{run}/cancel", cancel, RunForm, "send", CancelBody),
)
