"""Signals of the daemon: those that stop it, the one that reloads it, and those that it ignores and logs.

SIGTERM, SIGINT and SIGQUIT stop the daemon in order.  SIGHUP has it read its configuration again (``reloading``).  The
exception is the SIGHUP of a terminal that has gone: a daemon that was started on it stops in order.  SIGUSR1,
SIGUSR2, SIGALRM and other signals whose default would end the process at once are ignored and logged as well.  A signal
that was ignored when the process started stays ignored (``nohup``).

Handlers are Python's own, not those of the event loop, so that they run while a handler of the operator's own blocks
the loop.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Final

__all__ = ["STOPPING", "Terminal", "handled", "meaning", "reset", "signal_name"]

#: Signals that stop the daemon in order.
STOPPING: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGQUIT") if hasattr(signal, name))
_OTHER_NAMES = ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR")
_OTHERS: Final = tuple(getattr(signal, name) for name in _OTHER_NAMES if hasattr(signal, name))


class Terminal:
    """The terminal on which the process was started, if there is one."""

    def __init__(self) -> None:
        self._descriptors = [each for each in (0, 1, 2) if os.isatty(each)]

    def gone(self) -> bool:
        """Whether there was a terminal and it has been closed."""
        return bool(self._descriptors) and not any(map(os.isatty, self._descriptors))


def signal_name(number: int) -> str:
    """The name of a signal: ``SIGHUP``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def meaning(number: int) -> str:
    """The sentence that the log has about a signal that does not stop the daemon."""
    if signal_name(number) == "SIGHUP":
        return "the configuration is read again"
    return "ignored: the daemon has no use for this signal"


@contextlib.contextmanager
def handled(stopping: Callable[[int], object], other: Callable[[int], object]) -> Iterator[None]:
    """Call ``stopping`` and ``other`` with the number of each signal that arrives.

    Both run in the main thread between any two instructions of Python.
    """
    before = {}
    for numbers, act in ((STOPPING, stopping), (_OTHERS, other)):
        for number in numbers:
            old = signal.getsignal(number)
            if number not in (signal.SIGTERM, signal.SIGINT) and old == signal.SIG_IGN:
                continue
            before[number] = old
            signal.signal(number, _calling(act))
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)


def _calling(act: Callable[[int], object]) -> Callable[[int, object], None]:
    def called(number: int, frame: object) -> None:
        act(number)

    return called


def reset() -> None:
    """Give every signal that ``handled`` handles its default action, in a child process that is no daemon."""
    signal.set_wakeup_fd(-1)
    for number in (*STOPPING, *_OTHERS):
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
