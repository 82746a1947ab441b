"""Standard error as the output of the event log: written without waiting, so that a reader who stops stops no mail.

A pager, Ctrl-S in a terminal or a journal that hangs can leave standard error full for any time.  So lines that cannot
be written wait here, 1 MiB at most; lines beyond that are dropped and counted, and the count is written as soon as
there is room.  A reader that has gone loses the lines, and a full disk delays them.

The mode of the open file is not changed, because the shell and other processes share it.  How a write is kept from
waiting depends on what standard error is: a file never waits for a reader; a socket takes a flag with each write; a
pipe or a terminal is opened once more, without blocking, through ``/dev/fd``; where that is not permitted, a thread
writes, and only the thread waits.
"""

from __future__ import annotations

import asyncio
import atexit
import errno
import os
import select
import socket
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

__all__ = ["LogOutput", "LogRecord"]

#: Octets of lines that may wait.
_MOST_WAITING: Final = 1 << 20
_MOST_LINES: Final = 1000  # lines that are gathered before they are written
#: Seconds in which lines are gathered.  Written at the end of each turn of the event loop, the log took 5 % of the
#: processor time of a message under load.
_GATHER: Final = 0.005
#: Octets that a pipe takes in one piece, so that lines of several processes are not mixed (PIPE_BUF).
_PIECE: Final = min(4096, select.PIPE_BUF)
#: Seconds before waiting lines are tried again: first, and at most.
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
#: Errors of an output whose reader has gone for good.
_GONE: Final = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF, errno.ENXIO, errno.EIO)


#: An event that is made into a line later: when it was (seconds since 1970), its name, and its fields.
LogRecord = tuple[float, str, dict[str, Any]]


class LogOutput:
    """Lines of the event log, written to standard error within 5 ms; outside an event loop, at once.

    ``dropped`` writes the line that says how many lines were dropped, ``line_of`` that of a record.
    """

    def __init__(self, dropped: Callable[[int], str], line_of: Callable[[LogRecord], str]) -> None:
        self._dropped_line = dropped
        self._line_of = line_of
        self._lines: list[str | LogRecord] = []
        self._waiting: deque[tuple[bytes, int]] = deque()  # octets, and how many lines they are
        self._octets = 0
        self._dropped = 0
        self._pause = _FIRST_PAUSE
        self._timer: asyncio.TimerHandle | None = None
        self._outlet: _Outlet | None = None
        self._written_at_exit = False

    def __call__(self, line: str) -> None:
        self.later(line)

    def later(self, line: str | LogRecord) -> None:
        """One line, or the record that becomes one when it is written; nobody may change its fields."""
        self._lines.append(line)
        if len(self._lines) == 1:
            self._begun()
        elif len(self._lines) >= _MOST_LINES:
            self.write()

    def all(self, lines: Sequence[str]) -> None:
        """Several lines."""
        before = len(self._lines)
        self._lines += lines
        if len(self._lines) >= _MOST_LINES:
            self.write()
        elif not before and lines:
            self._begun()

    def _begun(self) -> None:
        try:
            asyncio.get_running_loop().call_later(_GATHER, self.write)
        except RuntimeError:
            self.write()
            return
        if not self._written_at_exit:  # the event loop may end before the time is over
            self._written_at_exit = True
            atexit.register(self.write)

    def write(self) -> None:
        """Write what can be written now; the rest waits."""
        if not (self._lines or self._waiting):
            return
        outlet = self._outlet
        if outlet is None:
            outlet = self._outlet = _outlet()
        if self._lines:
            gathered, self._lines = self._lines, []
            self._take([each if isinstance(each, str) else self._line_of(each) for each in gathered], outlet)
        while self._waiting:
            piece, count = self._waiting[0]
            try:
                taken = outlet.write(piece)
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno not in _GONE:
                    break  # a full disk may have room later
                taken = len(piece)
            if taken < len(piece):
                self._waiting[0] = piece[taken:], count
                self._octets -= taken
                break
            self._waiting.popleft()
            self._octets -= len(piece)
            self._pause = _FIRST_PAUSE
            if not self._waiting and self._dropped:
                number, self._dropped = self._dropped, 0
                self._take([self._dropped_line(number)], outlet)
        if self._waiting and self._timer is None:
            self._try_later()

    def _take(self, lines: Sequence[str], outlet: _Outlet) -> None:
        """Add lines to those that wait, in pieces that are written as a whole; or drop them."""
        whole = outlet.encoded("\n".join(lines) + "\n")
        if len(lines) == 1 or len(whole) <= outlet.piece:
            self._add(whole, len(lines), len(whole))
            return
        octets = len(whole)
        piece = b""
        count = 0
        for line in lines:
            more = outlet.encoded(line + "\n")
            if count and len(piece) + len(more) > outlet.piece:
                self._add(piece, count, octets)
                piece, count = b"", 0
            piece += more
            count += 1
        self._add(piece, count, octets)

    def _add(self, piece: bytes, count: int, burst: int) -> None:
        """Let lines wait; ``burst`` octets, all of one turn, may do so even if they are more than the limit."""
        if self._dropped or self._octets + len(piece) > max(_MOST_WAITING, burst):
            self._dropped += count  # and all later ones until those that wait are written
            return
        self._waiting.append((piece, count))
        self._octets += len(piece)

    def _try_later(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # the next line tries
        self._timer = loop.call_later(self._pause, self._retry)
        self._pause = min(_LONGEST_PAUSE, self._pause * 2.0)

    def _retry(self) -> None:
        self._timer = None
        self.write()


class _Outlet:
    """What standard error is; ``piece`` octets are written at one time.  ``write`` returns how many were taken, 0 if it
    would have to wait."""

    def __init__(self, encoding: str, piece: int) -> None:
        self._encoding = encoding
        self.piece = piece

    def encoded(self, text: str) -> bytes:
        return text.encode(self._encoding, "backslashreplace")

    def write(self, piece: bytes) -> int:
        raise NotImplementedError


class _StreamOutlet(_Outlet):
    """``sys.stderr``, where a program has replaced it by an object of its own."""

    def write(self, piece: bytes) -> int:
        if sys.stderr is not None:
            sys.stderr.write(piece.decode(self._encoding))
            sys.stderr.flush()
        return len(piece)


class _DescriptorOutlet(_Outlet):
    """A file, or a pipe or terminal that was opened without blocking."""

    def __init__(self, encoding: str, piece: int, descriptor: int) -> None:
        super().__init__(encoding, piece)
        self._descriptor = descriptor

    def write(self, piece: bytes) -> int:
        try:
            return os.write(self._descriptor, piece)
        except BlockingIOError:
            return 0


class _SocketOutlet(_Outlet):
    """A socket, as systemd's journal gives one."""

    def __init__(self, encoding: str, piece: int) -> None:
        super().__init__(encoding, piece)
        self._socket = socket.socket(fileno=os.dup(2))

    def write(self, piece: bytes) -> int:
        try:
            return self._socket.send(piece, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0


class _ThreadOutlet(_Outlet):
    """A terminal or pipe that cannot be opened again: a thread writes one piece at a time."""

    def __init__(self, encoding: str, piece: int) -> None:
        super().__init__(encoding, piece)
        self._given = threading.Semaphore(0)
        self._piece = b""
        self._error: OSError | None = None
        self._started = False

    def write(self, piece: bytes) -> int:
        if self._piece:
            return 0
        error, self._error = self._error, None
        if error is not None:
            raise error
        if not self._started:
            try:
                threading.Thread(target=self._run, name="posthouse-log", daemon=True).start()
            except RuntimeError:  # no thread can be started now
                return 0
            self._started = True
        self._piece = piece
        self._given.release()
        return len(piece)

    def _run(self) -> None:
        while True:
            self._given.acquire()
            rest = self._piece
            try:
                while rest:
                    written = os.write(2, rest)
                    rest = rest[written:]
            except OSError as error:
                self._error = error
            self._piece = b""


def _outlet() -> _Outlet:
    """Standard error as it is now."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    try:
        if sys.stderr is None or sys.stderr.fileno() != 2:
            return _StreamOutlet(encoding, _MOST_WAITING)
        mode = os.fstat(2).st_mode
    except (OSError, ValueError, AttributeError):  # a stream without a descriptor
        return _StreamOutlet(encoding, _MOST_WAITING)
    if stat.S_ISSOCK(mode):
        return _SocketOutlet(encoding, _PIECE)
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        return _DescriptorOutlet(encoding, _MOST_WAITING, 2)
    try:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        again = os.open("/dev/fd/2", flags)
    except OSError:
        return _ThreadOutlet(encoding, _PIECE)
    if os.get_blocking(again):  # a system on which /dev/fd/2 is the open file itself
        os.close(again)
        return _ThreadOutlet(encoding, _PIECE)
    return _DescriptorOutlet(encoding, _PIECE, again)
