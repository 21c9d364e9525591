"""Entry point of the command line: `audience`, or `python -m audience`."""

import os

from audience.cli.garbage import pause_collection, skip_last_collections
from audience.cli.interrupts import exit_on_sigint


def main() -> None:
    """Run the command line and exit."""
    exit_on_sigint()
    pause_collection()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy starts threads for matrices, which there are none of
    from audience.cli.app import run  # imported here: it loads slowly enough for a Ctrl-C

    try:
        run()
    finally:
        skip_last_collections()


if __name__ == "__main__":
    main()
