"""``python -m posthouse`` and the console script: prepares the process, runs the command line, exits with its code.

Descriptors 0 to 2 that are closed are opened on ``/dev/null`` before anything else, because a socket or a file of the
spool would get their numbers.  Standard output and standard error are then replaced by streams whose writes never fail,
so that a full disk or a reader who has gone cannot end a command in the middle of its work.  The first failure is
remembered; ``cli.main`` makes an exit code of it where the output was what the command was for.

A link to the console script that is called sendmail, mailq or newaliases is that program.

Ctrl-C at any moment, also during the imports, ends the process with 130 and without a traceback.  An error outside of
``cli.main`` is one sentence and an exit code of the command line's own too.
"""

from __future__ import annotations

import gc
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing ``typing`` takes longer than all else here, and Ctrl-C would find it
    from typing import Any

__all__ = ["OutputDescriptor", "SENDMAIL_NAMES", "main"]

#: Names by which other programs start this one, where the console script is linked to them.
SENDMAIL_NAMES = ("sendmail", "mailq", "newaliases")


class OutputDescriptor(io.FileIO):
    """Standard output or standard error: ``failure`` is the first error of a write; the octets are then dropped."""

    failure: OSError | None = None

    def write(self, octets: Any, /) -> int:
        """Write; waits where the descriptor does not block and is full."""
        size = memoryview(octets).nbytes
        try:
            while (taken := super().write(octets)) is None:
                import select

                select.select([], [self.fileno()], [])
        except OSError as error:
            if self.failure is None:
                self.failure = error
            return size
        return taken


def _open_standard_descriptors() -> None:
    """Open those of 0, 1 and 2 that are closed on ``/dev/null``."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:  # a lower number is free only if a thread closed it meanwhile
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            raw = io.FileIO(number, "w" if number else "r", closefd=False)
            buffer = io.BufferedWriter(raw) if number else io.BufferedReader(raw)
            setattr(sys, name, io.TextIOWrapper(buffer, encoding="utf-8", errors="replace"))


def _keep_writable(name: str) -> None:
    """Replace ``sys.stdout`` or ``sys.stderr`` by a stream whose writes never fail.

    Characters that the terminal cannot show become "?".
    """
    stream = getattr(sys, name)
    if not isinstance(stream, io.TextIOWrapper) or stream.fileno() not in (1, 2):
        return
    buffer = io.BufferedWriter(OutputDescriptor(stream.fileno(), "w", closefd=False))
    made = io.TextIOWrapper(
        buffer,
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    setattr(sys, name, made)
    setattr(sys, f"__{name}__", made)


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        code = _run()
        import signal

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # the interpreter's end would print a traceback
    except KeyboardInterrupt:
        os._exit(130)
    except Exception as error:  # before or behind ``cli.main``, which raises none: a module that cannot be read ...
        code = _failed(error)
    gc.freeze()  # a short command ends sooner without a garbage collection at exit
    sys.exit(code)


def _failed(error: Exception) -> int:
    """Say what has failed, in one sentence, and return the exit code: never the interpreter's own 1."""
    if os.environ.get("POSTHOUSE_DEBUG"):
        import traceback

        traceback.print_exception(error)
    remedy = "see POSTHOUSE_DEBUG=1 posthouse, and install Posthouse again if its files were changed meanwhile"
    said = " ".join(str(error).split())
    if sys.stderr is not None:
        sys.stderr.write(f"posthouse: it could not start or end ({type(error).__name__}: {said}); {remedy}\n")
    return 74 if isinstance(error, OSError) else 70


def _run() -> int:
    _open_standard_descriptors()
    _keep_writable("stdout")
    _keep_writable("stderr")
    # Imports make tens of thousands of objects and hardly any garbage; collecting it dozens of times takes 1/20 of the
    # time of a short command.  A command that keeps running restores the threshold (``cli.context.run``).
    gc.set_threshold(50_000)
    try:
        from posthouse.cli import main as run
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.stderr.write(
            "posthouse: the command line needs click; install it from the project's directory: "
            "pip install '.[daemon]'\n"
        )
        return 69
    called = os.path.basename(sys.argv[0])
    return run([called, *sys.argv[1:]]) if called in SENDMAIL_NAMES else run()


if __name__ == "__main__":
    main()
