"""The transactions of one connection in their order (RFC 2920).

``Pipeline`` is the part of a channel without I/O: it gives each reply to the transaction that it is for, and writes the
envelope of the next transaction behind the content of the one before, so that a connection that always has mail needs
one round trip for each message (RFC 2920 §3.1 lets any command follow the end of content).  ``AsyncChannel`` adds an
event loop, ``BlockingChannel`` a socket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, cast

from posthouse.client.deadline import Deadline
from posthouse.client.features import Features
from posthouse.client.model import CommandStep, Timeouts, WrongDoor
from posthouse.client.transaction import Channel, Transaction
from posthouse.core import (
    AsyncContent,
    Broken,
    Closed,
    Content,
    LocalError,
    NetworkError,
    NotTls,
    PosthouseError,
    RemoteError,
    Reply,
    TimedOut,
    TlsFailed,
)
from posthouse.core._mypyc import mypyc_attr
from posthouse.net import Clock, Endpoint
from posthouse.protocol import Capabilities, Command, Limits, Sender, Sent, State, Tap, Transcript

if TYPE_CHECKING:
    from posthouse.net.tls_engine import TlsInfo

__all__ = ["Pipeline", "expire", "say"]

_NEVER: Final = -1.0
_ENDED: Final = State.CLOSED
_NO_CAPABILITIES: Final = Capabilities()
_NO_FEATURES: Final = Features.of(_NO_CAPABILITIES, False)
_AT_REST: Final = (State.READY, State.SENDER, State.RECIPIENTS)


@mypyc_attr(allow_interpreted_subclasses=True)
class Pipeline(Channel):
    """A ``Channel`` without its I/O: the line of transactions, and the replies to other commands."""

    def __init__(
        self,
        *,
        clock: Clock,
        name: str = "",
        lmtp: bool = False,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        transcript: Transcript | None = None,
        tap: Tap | None = None,
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self.sender = Sender(lmtp=lmtp, limits=limits, transcript=transcript, tap=tap)
        self.messages = 0
        #: When the connection was opened, on the monotonic clock.
        self.opened = 0.0
        self.cautious = False
        self.paused = False
        self.fault: PosthouseError | None = None
        self.peer = name
        #: The host's name, or its address if it was given none.
        self.host = name
        #: The address that the connection goes to.
        self.address = Endpoint("")
        #: What was agreed on, once TLS is up.
        self.tls: TlsInfo | None = None
        self._clock = clock
        self._line: deque[Transaction] = deque()  # replies are for the first; the second may have begun
        self._features = _NO_FEATURES
        self._features_of = _NO_CAPABILITIES
        self._answers: deque[Reply] = deque()  # to commands outside of transactions
        self._deadline = _NEVER  # of the time limit that is running, on the monotonic clock
        self._seconds = 0.0
        self._what = ""
        self._tolerant = False  # the time limit that is running ends a wait, and not the session

    @property
    def local_host(self) -> str:
        """The IP address of this end; "" if it has none."""
        return ""

    @property
    def clock(self) -> Clock:
        """The clock for all time limits."""
        return self._clock

    @property
    def answered(self) -> bool:
        """Whether a reply to a command outside of transactions waits to be read."""
        return bool(self._answers)

    # -- for channels with I/O ---------------------------------------------------------------------------------

    def _wake(self) -> None:
        """A reply to a command is here, the line is empty, or the connection has ended."""

    def _give_turn(self) -> None:
        """The first transaction wants another turn."""

    def _open(self, address: Endpoint) -> None:
        """The connection is open."""
        self.opened = self._clock.monotonic()
        self.address = address
        name = self.peer
        self.host = name or address.host
        if not name or name == address.host or not address.port:
            self.peer = str(address)
        else:
            self.peer = f"{name}[{address.host}]:{address.port}"

    # -- octets from the peer ----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Give each reply to the transaction that it is for, or to the command outside of transactions."""
        if self.fault is not None:
            return
        answers: list[tuple[Command | Sent | None, Reply]] = []
        error = None
        try:
            goes_on = self.sender.receive(data, answers)
        except RemoteError as found:
            # Before the replies: nothing is written to this peer any more.
            error = self.fault = _shown(found, self.sender)
        line = self._line
        place, count = 0, len(answers)
        while place < count:
            if line:
                place = line[0].replies_received(answers, place)
            else:
                self._answers.append(answers[place][1])
                place += 1
        if error is not None:
            self._fail(error)
            self.abort()
        elif not goes_on:
            self._over()
        elif line:
            if line[0].wants_turn:
                self._give_turn()
        elif self._answers:
            self._wake()

    def eof_received(self) -> None:
        """The peer sends no more, so the replies that are still awaited cannot come."""
        self._fail(Broken("the peer closed the connection"))

    def pause_writing(self) -> None:
        """The peer does not read as fast as this side writes."""
        self.paused = True

    def resume_writing(self) -> None:
        """The peer reads again."""
        self.paused = False
        if self._line:
            first = self._line[0]
            first.resume()
            if first.wants_turn:
                self._give_turn()

    def disconnected(self, error: Exception | None) -> None:
        """The connection has ended."""
        if isinstance(error, PosthouseError):
            self._fail(error)
        else:
            self._fail(Broken("the connection was lost"))

    def _fail(self, error: PosthouseError) -> None:
        if self.fault is None:
            self.fault = error
        self._over()

    def _over(self) -> None:
        """No more replies will come."""
        had_line = bool(self._line)
        while self._line:
            self._line.popleft().connection_lost()
        self._wake()
        if had_line and self.fault is not None:
            self.abort()

    def _timed_out(self) -> None:
        if self._tolerant:
            self._tolerant = False
            self._wake()
            return
        self._fail(TimedOut(f"no answer to {self._what} within {self._seconds:g} seconds"))

    def _tls_begins(self, implicit: bool) -> None:
        """The next octets to the peer begin a TLS handshake: nothing that it has sent before may be left.  Raises the
        error that ended the connection, ``RemoteError`` for what stands behind the reply to STARTTLS, ``WrongDoor``."""
        sender = self.sender
        if implicit and not sender.untouched:
            raise self._begins_in_clear()
        if self.fault is not None:
            raise self.fault
        if not implicit:
            if self._answers or sender.state is _ENDED:
                raise RemoteError("the peer sent another reply behind the one to STARTTLS")
            sender.tls_started()

    def _handshake_error(self, implicit: bool) -> PosthouseError:
        """The error of a handshake that has failed: ``TlsFailed``, whatever ended the connection, or ``WrongDoor``."""
        fault = self.fault
        error: PosthouseError
        if isinstance(fault, NotTls):
            agreed = NotTls(f"{self.host} agreed to STARTTLS and then sent something else than TLS")
            error = self._begins_in_clear() if implicit else agreed
        elif isinstance(fault, NetworkError) and not isinstance(fault, TlsFailed):
            error = TlsFailed(f"the TLS handshake with {self.host} failed: {fault}")
        else:
            return fault or Closed("the session is over")
        error.__cause__ = fault
        return error

    def _begins_in_clear(self) -> WrongDoor:
        host, port = _in_url(self.host), self.address.port
        return WrongDoor(
            f"port {port} of {self.host} does not speak TLS from the first octet; if it offers STARTTLS, the URL is "
            f"smtp+starttls://{host}:{port}"
        )

    def speaks_tls(self) -> WrongDoor:
        """The error of a session in clear at a port that speaks TLS from the first octet."""
        host, port = _in_url(self.host), self.address.port
        return WrongDoor(
            f"port {port} of {self.host} sent no greeting, because it speaks TLS from the first octet: the URL is "
            f"smtps://{host}" + ("" if port == 465 else f":{port}")
        )

    # -- the line of transactions ------------------------------------------------------------------------------

    @property
    def features(self) -> Features:
        capabilities = self.sender.capabilities
        if capabilities is not self._features_of:
            self._features_of = capabilities
            self._features = Features.of(capabilities, self.tls is not None)
        return self._features

    @property
    def idle(self) -> bool:
        """Whether no transaction is under way."""
        return not self._line

    @property
    def usable(self) -> bool:
        """Whether another transaction can begin, now or when those that are under way have ended."""
        if self.fault is not None or self.sender.state is _ENDED:
            return False
        return bool(self._line) or (not self.sender.outstanding and self.sender.state in _AT_REST)

    def enter(self, transaction: Transaction) -> None:
        """Append a transaction to the line.  It begins at once, or behind the content of the one before it, or when
        that has ended."""
        if self.fault is not None or self.sender.state is _ENDED:
            transaction.connection_lost()
            return
        line = self._line
        line.append(transaction)
        place = len(line)
        if place == 1:
            self._advance()
        elif place == 2:
            self.write(self.following())

    def following(self) -> bytes:
        line = self._line
        while len(line) > 1:
            following = line[1]
            if following.begun or not self.sender.may_pipeline:
                return b""
            try:
                return following.begin()
            except Exception as error:
                self._turn_away(following, error)
        return b""

    def leave(self, transaction: Transaction) -> None:
        line = self._line
        if line[0] is transaction:
            line.popleft()
        else:
            line.remove(transaction)
        self._deadline = _NEVER
        if line:
            if self.sender.state is not _ENDED:
                self._advance()
        else:
            self._wake()

    def withdraw(self, transaction: Transaction) -> None:
        """The caller does not want the outcomes any more.  A transaction that has begun can only be stopped by ending
        the connection; that waits until the transaction in front of it has ended."""
        if transaction not in self._line:
            return
        if not transaction.begun:
            self._line.remove(transaction)
        elif transaction is self._line[0]:
            self.abort()
        else:
            transaction.withdrawn = True

    def _advance(self) -> None:
        """Another transaction is the first in line, or none is."""
        self._deadline = _NEVER
        line = self._line
        while line and self.fault is None:
            first = line[0]
            if first.withdrawn:
                self.abort()
                return
            if not first.begun:
                try:
                    wire = first.begin()
                except Exception as error:
                    self._turn_away(first, error)
                    continue
                self.write(wire)
            if len(line) > 1 and not line[1].begun and (following := self.following()):
                self.write(following)
            self.expect(first.seconds, first.what)
            return

    def _turn_away(self, transaction: Transaction, error: Exception) -> None:
        self._line.remove(transaction)
        self.cautious = self.cautious or transaction.cautious  # nothing was sent that would have had a reply
        transaction.fail(error)

    def expect(self, seconds: float, what: str) -> None:
        self._seconds, self._what = seconds, what
        self._deadline = self._clock.monotonic() + seconds

    def read(self, content: Content | AsyncContent, at_most: int, transaction: Transaction) -> Iterator[bytes]:
        if hasattr(content, "chunks"):  # ``isinstance`` of a protocol takes longer than a short message does
            return filter(None, cast(Content, content).chunks(at_most))
        raise LocalError("this content can be read in an event loop only")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def expire(channel: Pipeline, deadline: Deadline) -> None:
    """End the connection because a call has not ended in time; its messages end with what is known of them."""
    channel._fail(deadline.error(f"the answer to {channel._what}" if channel._what else "the connection"))
    channel.abort()


def say(channel: Pipeline, command: Command) -> CommandStep:
    """The step of one command.  Raises ``LocalError`` while a message is under way, or the error that ended the
    connection."""
    if channel.fault is not None:
        raise channel.fault
    if not channel.idle:
        raise LocalError("a message is under way; await it before a command of your own")
    return CommandStep(channel.sender.send(command), channel.timeouts.command, command.verb)


def _shown(error: RemoteError, sender: Sender) -> RemoteError:
    """The error without what the peer has sent, which may repeat the secrets of a login."""
    return RemoteError("the peer sent what is no reply to AUTH") if sender.hidden else error
