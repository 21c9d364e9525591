"""Output of a command, written as text or as JSON."""

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import orjson

from audience.errors import Problem
from audience.progress import Progress

NOTHING_TO_SEND = Problem("nobody", "the audience is empty: nothing to send")


@dataclass(frozen=True, slots=True)
class Output:
    """Standard output and standard error of one command, as text or as JSON.

    Results go to standard output. Errors, warnings, notes, assumptions and the progress bar go to standard error.
    """

    as_json: bool = False

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> "Output":
        """Return the output that the *arguments* of the command line ask for.

        >>> Output.from_arguments(["parse", "a", "--json"]), Output.from_arguments(["parse", "--", "--json"])
        (Output(as_json=True), Output(as_json=False))
        """
        options = arguments[: arguments.index("--")] if "--" in arguments else arguments
        return cls(as_json="--json" in options)

    def print_result(self, value: Any, text: str | Callable[[], str]) -> None:
        """Print *value* as one line of JSON, or *text*, which may be a function that formats it."""
        if self.as_json:
            sys.stdout.write(orjson.dumps(value).decode() + "\n")
        else:
            sys.stdout.write((text if isinstance(text, str) else text()) + "\n")

    def print_summary(self, value: Any, text: str) -> None:
        """Print what was done to standard error, as standard output has the result."""
        sys.stderr.write((orjson.dumps(value).decode() if self.as_json else text) + "\n")

    def print_errors(self, problems: Iterable[Problem]) -> None:
        """Print the problems that made the command fail."""
        if self.as_json:
            _write_json_line("errors", problems)
        else:
            sys.stderr.write("\n".join(map(str, problems)) + "\n")

    def print_warnings(self, problems: Iterable[Problem]) -> None:
        """Print problems that do not stop the command."""
        self._print_labelled("warnings", [(f"warning: {problem}", problem) for problem in problems])

    def print_notes(self, problems: Iterable[Problem]) -> None:
        """Print what a running command waits for or does."""
        self._print_labelled("notes", [(f"note: {problem}", problem) for problem in problems])

    def print_assumptions(self, assumptions: Iterable[Problem]) -> None:
        """Print what native requests take for granted."""
        self._print_labelled("assumptions", [(f"assumed: {each.message}", each) for each in assumptions])

    def show_progress(self) -> AbstractContextManager[Progress]:
        """Return a context manager that yields a progress callback; the bar appears on a terminal only."""
        from audience.cli.output.widgets import progress_bar  # imports rich, which many commands do not need

        return progress_bar()

    def _print_labelled(self, key: str, lines: Sequence[tuple[str, Problem]]) -> None:
        if lines and self.as_json:
            _write_json_line(key, [problem for _, problem in lines])
        elif lines:
            sys.stderr.write("".join(f"{line}\n" for line, _ in lines))


def _write_json_line(key: str, problems: Iterable[Problem]) -> None:
    from audience.json_forms.problems import problem_json  # its types take 3 ms to import

    sys.stderr.write(orjson.dumps({key: [problem_json(problem) for problem in problems]}).decode() + "\n")
