"""Entry point of the command line: `audience`, or `python -m audience`."""

from audience.cli.interrupts import exit_on_sigint


def main() -> None:
    """Run the command line and exit."""
    exit_on_sigint()
    from audience.cli.app import run  # imported here: it loads slowly enough for a Ctrl-C

    run()


if __name__ == "__main__":
    main()
