"""SMTP on standard input and output (``sendmail -bs``), with the maildrop behind it.

Pine, old versions of mutt and inetd speak to a local sendmail so.  The session is the server's, and lenient.  Every
message is answered 250 when it is on stable storage in the maildrop, whether or not a daemon runs.

Scripts write LF where SMTP has CRLF.  A client whose first line ends with LF alone means a line's end by every LF; what
it sends is changed before the session sees it, and is no other client's, so nothing can be smuggled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import threading
import time
from collections.abc import Sequence
from typing import Final

from posthouse.core import Envelope, LocalError, Recipient, Remark, Reply, StorageError, StorageFull, Verdict
from posthouse.net import Endpoint, Handler, SocketNetwork, SystemClock
from posthouse.net.no_handler import Nobody
from posthouse.protocol import Limits
from posthouse.protocol.commands import Greet, Mail, Rcpt
from posthouse.protocol.leniency import LENIENT
from posthouse.server import Peer, Server
from posthouse.service.maildrop.completion import Author, complete, read_lines
from posthouse.service.maildrop.form import MOST_RECIPIENTS
from posthouse.service.maildrop.held_message import (
    HeldMessage,
    TooLarge,
    fresh_date,
    fresh_message_id,
    local_domain,
    submit,
)
from posthouse.service.maildrop.maildrop import Maildrop, Terms

__all__ = ["MaildropIntake", "MaildropPolicy", "StdioStream", "speak"]

#: Octets of a message where the daemon has not said what it takes.
_MESSAGE_AT_MOST: Final = 1 << 30
_READ: Final = 65_536
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_OK: Final = Reply(250, "2.1.0", "Ok")


class StdioStream:
    """``net.Stream`` over two descriptors that are read and written with blocking calls, the reads in a thread."""

    def __init__(self, handler: Handler, loop: asyncio.AbstractEventLoop, read: int = 0, write: int = 1) -> None:
        self.peer = Endpoint("")
        self.local = Endpoint("")
        self.ended = asyncio.Event()
        self._handler = handler
        self._loop = loop
        self._read, self._write = read, write
        self._writes_lf: bool | None = None  # not known before the first line has ended
        self._last = b""
        self._may_read = threading.Event()
        self._may_read.set()
        self._open = True

    def start(self) -> None:
        """Tell the handler that the channel is open, and begin to read."""
        self._handler.connected(self)
        threading.Thread(target=self._reading, daemon=True, name="posthouse-stdin").start()

    def _reading(self) -> None:
        while self._open:
            self._may_read.wait()
            try:
                data = os.read(self._read, _READ)
            except OSError:
                data = b""
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(self._arrived, data)
            if not data:
                return

    def _arrived(self, data: bytes) -> None:
        if not self._open:
            return
        if data:
            self._handler.data_received(self._with_crlf(data))
        else:
            self._handler.eof_received()

    def _with_crlf(self, data: bytes) -> bytes:
        """The octets, with CRLF for each LF of a client that writes LF."""
        before, self._last = self._last, data[-1:]
        end = data.find(b"\n")
        if self._writes_lf is None and end >= 0:
            self._writes_lf = (before + data)[: end + len(before)][-1:] != b"\r"
        if not self._writes_lf:
            return data
        return _BARE_LF.sub(b"\r\n", before + data)[len(before) :] if before == b"\r" else _BARE_LF.sub(b"\r\n", data)

    def write(self, data: bytes) -> None:
        """Write at once; a reader that has gone ends the channel."""
        rest = memoryview(data)
        while rest and self._open:
            try:
                rest = rest[os.write(self._write, rest) :]
            except OSError:
                self.close()

    def pause_reading(self) -> None:
        """Read no more."""
        self._may_read.clear()

    def resume_reading(self) -> None:
        """Read on."""
        self._may_read.set()

    def close(self) -> None:
        """End the channel."""
        if self._open:
            self._open = False
            self._may_read.set()
            self._loop.call_soon(self._finish)

    def close_gently(self, seconds: float = 5.0, octets: int = 16_777_216) -> None:
        """End the channel; nothing that was written can be lost."""
        self.close()

    def abort(self) -> None:
        """End the channel."""
        self.close()

    def set_handler(self, handler: Handler) -> None:
        """Replace the handler."""
        self._handler = handler

    def _finish(self) -> None:
        handler, self._handler = self._handler, Nobody()
        handler.disconnected(None)
        self.ended.set()


class MaildropPolicy:
    """Policy of the session: every sender and recipient is taken, because the daemon judges them."""

    def __init__(self, maildrop: Maildrop, domain: str) -> None:
        self._maildrop = maildrop
        self._domain = domain

    def connected(self) -> Verdict:
        """220."""
        return Verdict(Reply(220, "", f"{self._domain} ready"))

    def greeted(self, greet: Greet) -> Verdict:
        """250."""
        return Verdict(Reply(250, "", self._domain))

    def mail(self, mail: Mail) -> Verdict:
        """250."""
        return Verdict(_OK)

    def rcpt(self, envelope: Envelope, rcpt: Rcpt, accepted: Sequence[Recipient]) -> Verdict:
        """250."""
        return Verdict(Reply(250, "2.1.5", "Ok"))

    def verify(self, text: str) -> Verdict:
        """252."""
        return Verdict(Reply(252, "2.5.0", "Send a message to find out"))

    def expand(self, text: str) -> Verdict:
        """502."""
        return Verdict(Reply(502, "5.5.1", "Lists are not shown here"))

    def help(self, topic: str) -> Verdict:
        """214."""
        return Verdict(Reply(214, "2.0.0", "Messages are left for the daemon of this machine"))

    def intake(self, envelope: Envelope) -> MaildropIntake:
        """An intake into the maildrop."""
        return MaildropIntake(self._maildrop, envelope, self._domain)

    def refused(self, what: str, reply: Reply) -> None:
        """The client has read it."""

    def disconnected(self) -> None:
        """There is nothing to end."""


class MaildropIntake:
    """Intake of one message: into a temporary file, and then into the maildrop."""

    def __init__(self, maildrop: Maildrop, envelope: Envelope, domain: str) -> None:
        self._maildrop = maildrop
        self._envelope = envelope
        self._domain = domain
        self._message = HeldMessage()
        self._fault: StorageError | None = None

    def write(self, chunk: bytes) -> None:
        """Take the next octets."""
        if self._fault is None:
            try:
                self._message.fill([chunk])
            except StorageError as error:
                self._fault = error

    def remarked(self, remarks: tuple[Remark, ...]) -> None:
        """What was tolerated is not kept."""

    async def commit(self) -> tuple[Verdict, ...]:
        """250 and the id when the message is in the maildrop."""
        verdict = await asyncio.to_thread(self._committed)
        return (verdict,)

    def _committed(self) -> Verdict:
        try:
            if self._fault is not None:
                raise self._fault
            return self._left()
        except TooLarge as error:
            return Verdict(Reply(552, "5.3.4", "Message too large"), str(error))
        except StorageFull as error:
            return Verdict(Reply(452, "4.3.1", "No room for this message now; try again later"), str(error))
        except StorageError as error:
            return Verdict(Reply(451, "4.3.0", "Cannot store this message now; try again later"), str(error))
        except LocalError as error:
            return Verdict(Reply(554, "5.6.0", str(error)), str(error))
        finally:
            self._message.close()

    def _left(self) -> Verdict:
        now, domain = time.time(), self._domain
        with HeldMessage() as ready:
            completed = complete(
                read_lines(self._message, dot_ends=False),
                Author("", self._envelope.sender),
                domain,
                date=fresh_date(now),
                message_id=fresh_message_id(now, domain),
            )
            ready.fill([completed.headers])
            ready.fill(completed.body, self._maildrop.terms().max_message_size)
            left = submit(self._maildrop, self._envelope, ready, message_id=completed.message_id)
        return Verdict(Reply(250, "2.0.0", f"Ok: queued as {left.id}"), "stored")

    def abort(self) -> None:
        """Forget the message."""
        self._message.close()


def speak(maildrop: Maildrop, *, read: int = 0, write: int = 1) -> int:
    """Run one session on the descriptors; 0 when it has ended."""
    return asyncio.run(_speak(maildrop, maildrop.terms(), read, write))


async def _speak(maildrop: Maildrop, terms: Terms, read: int, write: int) -> int:
    domain = local_domain(terms.hostname)

    def policy(peer: Peer) -> MaildropPolicy:
        return MaildropPolicy(maildrop, domain)

    size = terms.max_message_size or _MESSAGE_AT_MOST
    server = Server(
        policy,
        network=SocketNetwork(),
        clock=SystemClock(),
        hostname=domain,
        limits=Limits(recipients=MOST_RECIPIENTS, message=size, chunk=size),
        leniency=lambda peer: LENIENT._replace(domain=domain),
    )
    stream = StdioStream(server.session(), asyncio.get_running_loop(), read, write)
    stream.start()
    await stream.ended.wait()
    await server.drain(0.0)
    return 0
