"""``python -m posthouse`` and the console script: the command line, or a sentence about what it needs."""

from __future__ import annotations

import gc
import io
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    # Importing makes tens of thousands of objects and hardly any garbage: looking for it dozens of times meanwhile is a
    # twentieth of a short command.  A command that stays goes back to the usual (``cli.context.run``).
    gc.set_threshold(50_000)
    try:
        from posthouse.cli import main as run
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.stderr.write("posthouse: the command line needs click; install it with: pip install 'posthouse[daemon]'\n")
        sys.exit(69)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a sign gets a question mark
    code = run()
    gc.freeze()  # what is left dies with the process: not looked through for garbage, a short command ends sooner
    sys.exit(code)


if __name__ == "__main__":
    main()
