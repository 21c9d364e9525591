"""Views of runs: JSON forms of the folders below the folder of the service."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import time

from audience.counts import format_count
from audience.delivery.campaign_runs import CAMPAIGN_RUN_FILE
from audience.delivery.ledger.connection import LEDGER_FILE
from audience.delivery.ledger.status import sum_counts
from audience.delivery.run_overview import VendorRun, join_states, list_run_names, load_vendor_runs
from audience.delivery.sqlite_file import wal_path
from audience.errors import AudienceError, ExpressionError, Problem
from audience.json_forms.problems import ProblemForm, problem_json
from audience.json_forms.run_overviews import (
    RunActionForm,
    RunForm,
    RunSummaryForm,
    ServedRunState,
    vendor_run_json,
)
from audience.json_forms.runs import state_counts_json
from audience.language.ast import Atom, Expr, Ids, map_operands
from audience.language.parser import parse
from audience.language.printer import render
from audience.requests.campaign import CAMPAIGN_FILE, run_folders
from audience.requests.reader import MESSAGE_FILE, read_manifest_question, read_manifest_syncs
from audience.requests.writer import MANIFEST_FILE
from audience.server.runs.drafts import DRAFT_FILE, DRAFT_MESSAGE_FILE, read_draft, read_known_message
from audience.server.runs.folders import hide_paths
from audience.server.runs.processes import LOG_FILE, Action, has_process, read_last_action

DIED = Problem("died", "the process that was to send it ended before it began", hint="send it again")
CHANGING_FILES = (LEDGER_FILE, LOG_FILE, DRAFT_FILE, MANIFEST_FILE, CAMPAIGN_FILE, CAMPAIGN_RUN_FILE)


def list_runs(folder: Path) -> list[RunSummaryForm]:
    """Return the runs in *folder*, the one that changed last first."""
    forms = [_summarize_safely(folder / name) for name in list_run_names(folder)]
    return sorted(forms, key=lambda form: form["changed"], reverse=True)


def show_run(folder: Path, indexes: Mapping[str, Path]) -> RunForm:
    """Return all that is known of the run in *folder*.

    Args:
        folder: Its folder.
        indexes: Folders of the indexes of the service by name.

    Raises:
        AudienceError: A file of it is damaged.
    """
    runs, draft, action = load_vendor_runs(folder), read_draft(folder), read_last_action(folder)
    names = (f"{MESSAGE_FILE}", *(f"{run.vendor.name}/{MESSAGE_FILE}" for run in runs), DRAFT_MESSAGE_FILE)
    questions = [_hide_ids(read_manifest_question(each)) for each in run_folders(folder)]
    now = time()
    return {
        **_summarize(folder, runs, action),
        "index": draft.index if draft is not None and draft.index in indexes else None,
        "message": read_known_message(folder, names),
        "runs": {
            run.vendor.name: vendor_run_json(run, asked, read_manifest_syncs(each), now)
            for run, asked, each in zip(runs, questions, run_folders(folder), strict=True)
        },
        "dry_run": None if draft is None else draft.dry_run,
        "emitted_by": None if draft is None else draft.emitted_by,
        "last_action": None if action is None else _action_json(action, runs),
    }


def _summarize_safely(folder: Path) -> RunSummaryForm:
    """Return the form of a run in a list; that of a damaged one says why."""
    try:
        with hide_paths(folder):
            return _summarize(folder, load_vendor_runs(folder), read_last_action(folder))
    except AudienceError as error:
        return {**_summarize(folder, [], None), "state": "damaged", "problem": problem_json(error.problems[0])}


def _summarize(folder: Path, runs: list[VendorRun], action: Action | None) -> RunSummaryForm:
    state = _find_state(folder, runs, action)
    statuses = [run.status for run in runs if run.status is not None]
    vendors = [run.vendor.name for run in runs]
    totals = [run.total for run in runs if run.total is not None]
    return {
        "name": folder.name,
        "state": state,
        "vendor": vendors[0] if len(vendors) == 1 else None,
        "vendors": vendors,
        "devices": sum(run.devices for run in runs),
        "accepted": sum(status.id_counts["accepted"] for status in statuses),
        "in_doubt": sum(status.id_counts["in_doubt"] for status in statuses),
        "rejected": sum(status.id_counts["rejected"] + sum(status.invalid_id_counts.values()) for status in statuses),
        "waiting": sum(status.id_counts["todo"] + status.id_counts["sent"] for status in statuses),
        "batches": state_counts_json(sum_counts(status.batch_counts for status in statuses)) if statuses else None,
        "settled": sum(run.settled for run in runs),
        "total": sum(totals) if totals else None,
        "changed": _find_changed(folder, runs),
        "problem": _find_problem(state, runs, action),
    }


def _find_state(folder: Path, runs: list[VendorRun], action: Action | None) -> ServedRunState:
    """Return the state of a folder: the state of its runs, or of the process that is about to begin them."""
    state = join_states([run.state for run in runs])
    if has_process(folder):
        return "sending" if state == "sending" else "starting"
    if state == "emitted" and action is not None and all(run.status is None for run in runs):
        return "failed"
    return state


def _find_problem(state: ServedRunState, runs: list[VendorRun], action: Action | None) -> ProblemForm | None:
    if state == "failed" and action is not None:
        return problem_json(action.problems[0] if action.problems else DIED)
    stops = [run.stop for run in runs if run.stop is not None]
    return problem_json(stops[0]) if state == "stopped" and stops else None


def _action_json(action: Action, runs: list[VendorRun]) -> RunActionForm:
    """Return the last action; once a run has begun, its status has the problems, without texts of replies."""
    has_begun = any(run.status is not None for run in runs)
    problems = () if has_begun else action.problems
    return {
        "action": action.name,
        "at": action.at,
        "by": action.by,
        "problems": [problem_json(problem) for problem in problems],
    }


def _find_changed(folder: Path, runs: list[VendorRun]) -> str:
    """Return when a file that changes as a run goes on was written last."""
    folders = [folder, *(folder / run.vendor.name for run in runs)]
    files = [each / name for each in folders for name in CHANGING_FILES]
    files += [wal_path(each / LEDGER_FILE) for each in folders]
    changed = max((_find_write_time(file) for file in files), default=0.0) or folder.stat().st_mtime
    return datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds")


def _find_write_time(file: Path) -> float:
    """Return when *file* was written, 0 if it is not there: another process may have removed it."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _hide_ids(question: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return a question with the number of ids in place of each list of them."""
    return {name: text if text is None else _hide_ids_of(text) for name, text in question.items()}


def _hide_ids_of(text: str) -> str:
    try:
        expr = parse(text, folder=None)
    except ExpressionError:  # not an expression, or one with a file of ids, which it names and does not list
        return text
    return render(map_operands(expr, _hide_listed_ids))


def _hide_listed_ids(atom: Atom) -> Expr:
    return Ids(atom.kind, (f"… {format_count(len(atom.values), 'id')}",)) if isinstance(atom, Ids) else atom
