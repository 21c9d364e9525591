"""Policies of an index: caps, which a device must fit, and suppression lists, whose ids get nothing.

    policies.json             the policies by name, in the order in which they were set first
    policies/NAME/0.json      ids of a suppression list, or of a file that a cap names

They are records: no restore or build changes them, and each plan reads them as they are then.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from audience.errors import InvalidIndexError, Problem
from audience.index.records.policy import Policy
from audience.index.records.record_files import RecordContent, RecordList, load_record_list, read_listed_file
from audience.index.storage.published import Storage
from audience.language.ast import IdFile
from audience.language.id_files import list_id_files
from audience.language.parser import parse_saved
from audience.language.printer import render

POLICIES_FILE = "policies.json"
POLICIES_VERSION = 1


def read_policies(storage: Storage) -> dict[str, Policy]:
    """Return the policies of an index by name.

    Raises:
        DamagedError: A file is missing or not what was written.
        InvalidIndexError: Another version has written it.
    """
    records = load_record_list(storage)
    return {} if POLICIES_FILE not in records.files else _read_listed_policies(storage, records)


def _read_listed_policies(storage: Storage, records: RecordList) -> dict[str, Policy]:
    body = orjson.loads(read_listed_file(storage, records.files[POLICIES_FILE]))
    if body["version"] != POLICIES_VERSION:
        message = f"the policies of {storage.location} were written by another version of audience"
        raise InvalidIndexError(Problem("other-format", message, hint="use the version that has written them"))
    policies = {}
    for fields in body["policies"]:
        files = [_read_id_file(storage, records, entry) for entry in fields["files"]]
        expr = None if fields["text"] is None else parse_saved(fields["text"], files)
        policies[fields["name"]] = Policy(fields["name"], fields["kind"], expr)
    return policies


def _read_id_file(storage: Storage, records: RecordList, entry: Mapping[str, Any]) -> IdFile:
    ids = tuple(orjson.loads(read_listed_file(storage, records.files[entry["record"]])))
    return IdFile(entry["path"], entry["digest"], ids, is_list=entry["is_list"])


def policies_digest(storage: Storage) -> str:
    """Return a digest of the policies that is another one after each change of them; empty if there are none."""
    files = load_record_list(storage).files
    return files[POLICIES_FILE].checksum if POLICIES_FILE in files else ""


def list_policy_records(records: RecordList) -> list[str]:
    """Return the names of all records of policies."""
    return [name for name in records.files if name == POLICIES_FILE or name.startswith("policies/")]


def iter_policy_records(policies: Sequence[Policy]) -> Iterator[RecordContent]:
    """Yield the records that hold *policies*, the lists of ids first."""
    entries = []
    for policy in policies:
        files = [] if policy.expr is None else list(list_id_files(policy.expr))
        names = [f"policies/{policy.name}/{number}.json" for number in range(len(files))]
        for name, file in zip(names, files, strict=True):
            yield RecordContent(name, orjson.dumps(file.ids))
        entries.append(
            {
                "name": policy.name,
                "kind": policy.kind,
                "text": None if policy.expr is None else render(policy.expr),
                "files": [
                    {"record": name, "path": file.path, "digest": file.digest, "is_list": file.is_list}
                    for name, file in zip(names, files, strict=True)
                ],
            }
        )
    body = {"version": POLICIES_VERSION, "policies": entries}
    yield RecordContent(POLICIES_FILE, orjson.dumps(body, option=orjson.OPT_INDENT_2))
