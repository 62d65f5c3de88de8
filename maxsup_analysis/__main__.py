"""The command: `maxsup-analyze`, and `python -m maxsup_analysis`."""

import signal


def main() -> None:
    """Run the command line; a signal while it is imported, when nothing has begun, ends the process without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from maxsup_analysis import cli

    cli.main()


if __name__ == "__main__":
    main()
