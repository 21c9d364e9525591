"""Sessions that check, document and measure the project: `nox --list` prints them, `nox -s lint` runs one.

The sessions use the environment that nox is installed in, which CONTRIBUTING.md sets up. Arguments after `--` go to
the tool of the session.
"""

import subprocess
import sys
from datetime import UTC, datetime

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests"]

PARALLEL = ("-n", "auto", "--dist", "worksteal")
PROOFS = ("benchmarks.plan", "benchmarks.translate_pairs", "benchmarks.delivery")  # they assert what they measure


def run_module(session: nox.Session, module: str, *arguments: str, env: dict[str, str] | None = None) -> None:
    """Run *module* with the interpreter that nox runs in."""
    session.run(sys.executable, "-m", module, *arguments, env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, docstrings and formatting with ruff."""
    run_module(session, "ruff", "check", *session.posargs)
    run_module(session, "ruff", "format", "--check", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy: the package strictly, the tests and benchmarks loosely."""
    run_module(session, "mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests."""
    run_module(session, "pytest", *PARALLEL, *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests and report which lines they execute, subprocesses included."""
    run_module(session, "pytest", *PARALLEL, "--cov", "--cov-report=term-missing:skip-covered", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site in site/."""
    session.run(sys.executable, "docs/build_pages.py")
    run_module(session, "zensical", "build", "--strict", *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Run one benchmark, as in `nox -s benchmarks -- evaluate --devices 1000000`; it prints Markdown."""
    if not session.posargs:
        session.error("name a module of benchmarks/: nox -s benchmarks -- plan")
    name, *arguments = session.posargs
    run_module(session, f"benchmarks.{name}", *arguments)


@nox.session
def long(session: nox.Session) -> None:
    """Run every law with 500 examples or more and every proof in full size. Takes hours."""
    run_module(session, "pytest", *PARALLEL, "--timeout=7200", *session.posargs, env={"HYPOTHESIS_PROFILE": "long"})
    for proof in PROOFS:
        run_module(session, proof)
    run_module(session, "benchmarks.cluster", "--devices", "5e7")  # asserts that all files are those of one process
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    session.log(f"For benchmarks/RESULTS.md: passed on {datetime.now(UTC):%Y-%m-%d} at commit {commit.stdout.strip()}")
