"""Commands that add, list and drop keys of the service."""

import os
import sys
from pathlib import Path
from typing import Annotated

from audience.cli.declarations import Argument, Option
from audience.cli.output.widgets import format_table
from audience.cli.output.writer import Output
from audience.server.keys import add_key, drop_key, read_keys

KEYS_FILE = "audience/keys.json"

KeysOption = Annotated[
    Path | None,
    Option(
        "--keys",
        metavar="FILE",
        help="File of keys.",
        show_default="audience/keys.json in the folder of settings",
    ),
]
KeyNameArgument = Annotated[str, Argument(metavar="NAME", help="Name of the key.")]


def run_keys_add(
    output: Output,
    name: KeyNameArgument,
    *,
    scope: Annotated[
        list[str],
        Option("--scope", metavar="SCOPE", help="What it permits: count, ids, write or send. Repeatable."),
    ],
    keys: KeysOption = None,
) -> None:
    """Make a key for the service and print its token, which is kept nowhere."""
    path = find_key_file(keys)
    token = add_key(path, name, scope)
    output.print_result({"name": name, "token": token, "file": str(path)}, token)
    if not output.as_json:
        sys.stderr.write(f"key {name} added to {path}; its token is not shown again\n")


def run_keys_list(output: Output, *, keys: KeysOption = None) -> None:
    """List the keys with their scopes."""
    known = read_keys(find_key_file(keys))
    facts = [{"name": key.name, "scopes": list(key.scopes), "created": key.created} for key in known]
    rows = [(key.name, ", ".join(key.scopes), key.created) for key in known]
    output.print_result(facts, lambda: format_table(("key", "scopes", "created"), rows) if rows else "no keys")


def run_keys_drop(output: Output, name: KeyNameArgument, *, keys: KeysOption = None) -> None:
    """Drop a key; running services refuse it within a second."""
    path = find_key_file(keys)
    drop_key(path, name)
    output.print_result({"name": name, "file": str(path)}, f"key {name} dropped from {path}")


def find_key_file(path: Path | None) -> Path:
    """Return the file of keys: *path*, or the one in the folder of settings of the user."""
    if path is not None:
        return path
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / KEYS_FILE
