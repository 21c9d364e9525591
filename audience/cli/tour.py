"""Tour of the commands on generated devices."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from audience.testing.devices import generate_devices, generate_updates

LINE_WIDTH = 80
EXPR = "male AND (province:guangdong OR province:hunan) AND NOT version:1.0.2"
SPLIT_EXPR = "@south AND split(a:45%, b:45%, summer)"
PAYLOAD = '{"to": {"tag": ["Shenzhen", "Guangzhou"], "tag_and": ["members"]}}'
CATALOG_TOML = """\
[tag]
at = ["tpns"]

[province]
builtin = ["tpns"]

[version]
builtin = ["tpns"]
"""
MESSAGE = '{"title": "Hello", "body": "from the demo"}'
CREDENTIALS_TOML = '[engagelab]\napp_key = "demo"\nmaster_secret = "any"\n'

# Title and command of each step. COUNT and URL are replaced.
TOUR_STEPS: tuple[tuple[str, list[str]], ...] = (
    ("Build an index of COUNT generated devices.", ["index", "build", "devices.parquet", "-o", "devices.index"]),
    ("Count an audience.", ["count", "devices.index", EXPR]),
    (
        "Explain a count, and compare vendors. Nothing says which have the tag.",
        ["explain", "devices.index", "male", "--vendors"],
    ),
    (
        "A catalog says that TPNS has them: one native request.",
        ["plan", "devices.index", EXPR, "--vendor", "tpns", "--catalog", "catalog.toml"],
    ),
    (
        "Translate for Umeng. Without an index, the vendor is assumed to have the tags.",
        ["translate", "--to", "umeng", "male AND (province:guangdong OR province:hunan)"],
    ),
    (
        "EngageLab cannot compare ages: write requests with 1,000 ids each.",
        ["emit", "devices.index", "age < 30", "--vendor", "engagelab", "-o", "requests"],
    ),
    (
        "Send a message to them. A sandbox on this machine answers as EngageLab.",
        "send requests --message message.json --max-devices COUNT --host URL --credentials keys.toml".split(),
    ),
    ("Translate between vendors.", ["translate", "--from", "engagelab", "--to", "emas", PAYLOAD]),
    ("Save the audience as a segment.", ["segment", "save", "devices.index", "south", EXPR]),
    ("Split it to test two texts.", ["explain", "devices.index", SPLIT_EXPR]),
    ("Update the index: 20 devices have a new version.", ["index", "update", "devices.index", "changes.parquet"]),
    ("List the snapshots; each can be restored.", ["index", "history", "devices.index"]),
)


def run_tour(
    run_command: Callable[[list[str]], None],
    open_sandbox: Callable[[pl.DataFrame], AbstractContextManager[str]],
    report: Callable[[str], None],
    count: int,
    as_json: bool,
) -> None:
    """Run every step of the tour in a temporary folder.

    Args:
        run_command: Runs a command of the program.
        open_sandbox: Starts a sandbox that knows the devices of a table, and yields its URL.
        report: Prints the title and the command of a step.
        count: Number of devices to generate.
        as_json: Run the commands with `--json`, and print nothing else.
    """
    table = generate_devices(count)
    with TemporaryDirectory(prefix="audience-demo-") as folder, open_sandbox(table) as url, chdir(folder):
        _write_files(table)
        values = {"COUNT": str(count), "URL": url}
        for title, words in TOUR_STEPS:
            arguments = [values.get(word, word) for word in words]
            if as_json:
                run_command([*arguments, "--json"])
            else:
                report(f"\n# {title.replace('COUNT', f'{count:,}')}\n{format_command(arguments)}")
                run_command(arguments)


def _write_files(table: pl.DataFrame) -> None:
    """Write the files that the commands read to the current folder."""
    table.write_parquet("devices.parquet")
    generate_updates(table).write_parquet("changes.parquet")
    Path("message.json").write_text(MESSAGE, "utf-8")
    Path("catalog.toml").write_text(CATALOG_TOML, "utf-8")
    keys = Path("keys.toml")
    keys.touch(mode=0o600)
    keys.write_text(CREDENTIALS_TOML, "utf-8")


def format_command(arguments: Sequence[str]) -> str:
    """Return a command as it is typed in a shell, continued on a new line where it is long.

    >>> print(format_command(["count", "devices.index", "a AND b"]))
    $ audience count devices.index 'a AND b'
    """
    lines = ["$ audience"]
    for words in _group_option_values(arguments):
        text = " ".join(f"'{word}'" if " " in word else word for word in words)
        if len(lines[-1]) + len(text) + len("  \\") > LINE_WIDTH:
            lines[-1] += " \\"
            lines.append(f"   {text}")
        else:
            lines[-1] += f" {text}"
    return "\n".join(lines)


def _group_option_values(arguments: Sequence[str]) -> list[list[str]]:
    """Return the arguments with each option and its value in one group."""
    groups: list[list[str]] = []
    for argument in arguments:
        if groups and groups[-1][-1].startswith("-") and not argument.startswith("-"):
            groups[-1].append(argument)
        else:
            groups.append([argument])
    return groups
