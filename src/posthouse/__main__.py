"""``python -m posthouse`` and the console script: runs the command line, or says what is missing to run it."""

from __future__ import annotations

import gc
import io
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    # Imports make tens of thousands of objects and hardly any garbage; collecting it dozens of times takes 1/20 of the
    # time of a short command.  A command that keeps running restores the threshold (``cli.context.run``).
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
            stream.reconfigure(errors="replace")  # characters that the terminal cannot show become "?"
    code = run()
    gc.freeze()  # a short command ends sooner without a garbage collection at exit
    sys.exit(code)


if __name__ == "__main__":
    main()
