"""The command line from its first moment on: `audience`, or python -m audience."""

from audience.cli.interrupts import exit_on_sigint


def main() -> None:
    """Run the command line and exit."""
    exit_on_sigint()
    from audience.cli.app import run  # here, as loading it takes long enough for Ctrl-C

    run()


if __name__ == "__main__":
    main()
