"""One session of the receiving SMTP: the engine, a policy, and a channel, joined by one loop.

Everything happens in the turn of the event loop in which the octets arrived: octets → events → verdicts → replies, and
one write for all replies of a pipelined group.  Only when a policy or an intake answers with an awaitable (content is
committed, the DNS is asked) does the session wait; the session goes on from there when the awaitable is done.  There is
no task per session and none per command.

A session handles at most 100 events when octets arrive, fewer while others wait; then it *rests* until its turn comes
(``turn_queue``), so that other sessions go first.  A session that sends much rests too.  The rest is longer for a
client that repeats what brings no message (``conduct``).  If its turn comes in the next turn of the loop, its replies
wait for those that follow.  Replies are written when 16 KiB of them are waiting, before more are made, so that a client
that does not read its replies costs no more memory than that and what the stream queues.

A waiting session stops reading when octets arrive.  Most clients send nothing before the reply is there, and stopping
and starting costs two system calls.  While content arrives more is sure to come, so there reading stops at once.

Over budget: the loop, its pauses, its change to TLS and its end read and write the same fields of one session.

The session runs the loop and ends it: time-outs, an orderly goodbye.  MAIL, RCPT, DATA, BDAT and the content are the
``transaction``'s, the other commands those of ``session_commands``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol, cast

from posthouse.core import Reply, TlsFailed, Verdict
from posthouse.core._mypyc import mypyc_attr
from posthouse.net import Stream
from posthouse.net.tls import TlsStream
from posthouse.net.tls_engine import TlsInfo
from posthouse.protocol import (
    Auth,
    AuthResponse,
    Bdat,
    ContentChunk,
    Data,
    EndOfChunk,
    EndOfContent,
    Expn,
    Greet,
    Help,
    Mail,
    Noop,
    Pause,
    Quit,
    Rcpt,
    Receiver,
    Refused,
    Rset,
    StartTls,
    State,
    Vrfy,
)
from posthouse.protocol.proxies import Forwarding
from posthouse.server.client_claim import ClientClaim, forwarding_offer, logged_in_elsewhere
from posthouse.server.conduct import Conduct
from posthouse.server.pending_result import PendingResult
from posthouse.server.policy import Answer, ForwardingPolicy, Peer, Policy, SecuredPolicy
from posthouse.server.session_commands import SessionCommands
from posthouse.server.settings import Protection, SessionSettings
from posthouse.server.transaction import NOT_DATED, ServerTransaction, Step, Waiting, outside_transaction

__all__ = ["GOING_DOWN", "ServerSession", "SessionRegistry"]

_TIMEOUT: Final = Reply(421, "4.4.2", "No complete command came for too long; closing connection")
_CONTENT_TIMEOUT: Final = Reply(421, "4.4.2", "The message came too slowly; closing connection")
_LF_END_TIMEOUT: Final = Reply(
    421, "4.4.2", "The message has no end; CRLF, a dot and CRLF end it, and LF was sent instead; closing connection"
)
_NO_MESSAGE: Final = Reply(421, "4.4.2", "No message came for too long; closing connection")
_NO_ANSWER: Final = Reply(421, "4.3.0", "Something here takes too long; try again later")

#: Seconds that a connection which was refused at once is kept for its reply: each holds a descriptor, and no limit on
#: sessions counts it.
_REFUSED_LINGER: Final = 0.5
#: Events that a session may handle between two rests when its client is near a limit of ``conduct``.
_EVENTS_SLOWED: Final = 20
#: Octets of replies that wait for others to a pipelined group; more are written at once.
_REPLIES_AT_MOST: Final = 16_384
#: Octets from which on a piece of input counts for the turn of the loop in which it is read: nearly a whole read, and
#: more is waiting behind it.
_LARGE_PIECE: Final = 16_000
_CLOSED: Final = State.CLOSED  # an attribute of an enumeration costs ten times a global name
_SWITCHING: Final = State.SWITCHING
_NO_INPUT: Final = frozenset({_CLOSED, _SWITCHING})
#: Octets of input that a client may have sent ahead while it does not read its replies; the session of one that has
#: sent more is aborted.  RFC 2920 §3.1 makes the client read.
_AHEAD_AT_MOST: Final = 65_536
GOING_DOWN: Final = Reply(421, "4.3.2", "Service is shutting down; try again later")


class SessionRegistry(Protocol):
    """The list of open sessions: the server that made them."""

    def joined(self, session: ServerSession) -> None:
        """A session began; called before its policy is made."""
        ...

    def left(self, session: ServerSession) -> None:
        """A session ended."""
        ...


@mypyc_attr(allow_interpreted_subclasses=True)
class ServerSession:
    """The receiving end of one channel; a ``net.Handler``."""

    __slots__ = (
        "_choked",
        "_claim",
        "_commands",
        "_conduct",
        "_draining",
        "_is_open",
        "_octets_out",
        "_offer",
        "_out",
        "_paused",
        "_policy",
        "_receiver",
        "_registry",
        "_resting",
        "_settings",
        "_stream",
        "_transaction",
        "_turns",
        "_waiting",
        "_welcome",
        "last_heard",
        "last_message",
    )

    def __init__(self, settings: SessionSettings, registry: SessionRegistry) -> None:
        self._settings = settings
        self._registry = registry
        self._turns = settings.turns
        self._receiver = Receiver(
            settings.offer,
            lmtp=settings.lmtp,
            limits=settings.limits,
            transcript=settings.transcript() if settings.transcript is not None else None,
        )
        self._stream: Stream | None = None
        self._policy: Policy | None = None
        self._transaction: ServerTransaction | None = None
        self._commands: SessionCommands | None = None
        self._conduct: Conduct | None = None
        self._out: list[bytes] = []
        self._octets_out = 0
        self._waiting = self._resting = self._paused = self._choked = self._draining = False
        self._is_open = False  # the greeting is under way, or said
        self._welcome: Answer | None = None  # the policy's answer to the connection
        self._claim: ClientClaim | None = None  # what XCLIENT said
        self._offer = settings.offer  # without what depends on TLS
        #: When the last complete command or piece of content came, in the clock's monotonic seconds; while the session
        #: waits, when that began.  ``check_time`` replaces ``NOT_DATED``.
        self.last_heard = NOT_DATED
        #: When the last message was accepted, or the session began; dated like ``last_heard``.
        self.last_message = NOT_DATED

    # -- net.Handler -------------------------------------------------------------------------------------------------

    def admit(self, stream: Stream) -> bool:
        """The channel is open, and has no TLS yet: count the session in; returns whether its peer is welcome.

        ``connected`` follows, or ``disconnected`` if TLS does not come up.
        """
        self._stream = stream
        peer, local = stream.peer, stream.local
        self._registry.joined(self)
        self._begin(Peer(peer.host, peer.port, local.host, local.port))
        return not isinstance(self._welcome, Verdict) or self._welcome.reply.code < 400

    def connected(self, stream: Stream) -> None:
        """The channel is open, and speaks TLS if it does so from the start: greet."""
        if self._policy is None:
            self.admit(stream)
        settings, commands = self._settings, self._commands
        self._stream = stream
        assert self._welcome is not None
        if commands is None:
            assert isinstance(self._welcome, Verdict)
            stream.write(self._receiver.close(self._welcome.reply))
            stream.close_gently(_REFUSED_LINGER)
            return
        self._is_open = True
        if settings.proxies is not None:
            self._offer = forwarding_offer(settings, settings.proxies, stream.peer.host)
            self._receiver.set_offer(self._offer)
            commands.become = self._become
        if settings.protection is not None:
            self._protect(settings.protection, stream)
        self._take(commands.connected(self._welcome))
        self._pump() if self._draining else self._flush()

    def _begin(self, who: Peer, claim: ClientClaim | None = None) -> None:
        """Ask whether a client is welcome, and make what belongs to it; ``claim`` if XCLIENT has named it.

        For one that is turned away at once nothing is made: of these there may be thousands a second.
        """
        settings, receiver = self._settings, self._receiver
        self._policy = policy = settings.policy(who)
        if claim is not None:
            cast(ForwardingPolicy, policy).named(claim.by, claim.name, claim.helo, claim.protocol)
        self._welcome = welcome = policy.connected()
        if claim is None and type(welcome) is Verdict and welcome.reply.code == 421:
            return
        receiver.leniency = settings.leniency(who)
        conduct = self._conduct
        if conduct is None:
            self._conduct = conduct = Conduct(receiver, policy, settings.limits)
        else:
            conduct.tell(policy)
        self._transaction = transaction = ServerTransaction(receiver, policy, settings, conduct)
        self._commands = commands = SessionCommands(receiver, policy, settings, transaction, conduct)
        if commands.login is not None:
            commands.login.host = who.host

    def data_received(self, data: bytes) -> None:
        """Octets arrived."""
        if self._waiting or self._choked or self._resting:
            self._receiver.receive_data(data)
            self._set_paused(True)
        else:
            self._handle(data, 0)
            if len(data) >= _LARGE_PIECE and self._turns.spend(len(data), content=self._receiver.in_content):
                held = self._waiting or self._resting or self._choked
                if not held and self._receiver.state not in _NO_INPUT:
                    self._resting = True  # reads no more until it is this session's turn
                    self._set_paused(True)
                    self._turns.put(self._rested)

    def eof_received(self) -> None:
        """The client will send no more; what it has sent is still answered."""
        self._receiver.receive_eof()
        self._pump()

    def pause_writing(self) -> None:
        """The client does not read its replies: produce no more of them."""
        self._choked = True
        self._set_paused(True)

    def resume_writing(self) -> None:
        """The client reads again."""
        self._choked = False
        self._go_on()

    def disconnected(self, error: Exception | None) -> None:
        """The channel has ended.  Content that is being committed stays committed; content on its way is dropped."""
        self._receiver.state = State.CLOSED
        self._forget_if_over()
        self._registry.left(self)
        if not self._is_open and isinstance(self._welcome, Coroutine):  # nothing will wait for it
            self._welcome.close()
        if self._policy is not None:
            stream = self._stream
            if isinstance(error, TlsFailed) and isinstance(stream, TlsStream) and stream.info is not None:
                # A client that judges our certificate after the handshake refuses it now.
                cast(SecuredPolicy, self._policy).tls_failed(error)
            self._policy.disconnected()

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _pump(self, events_at_most: int = 0) -> None:
        """Handle what has arrived, unless the session waits."""
        if not (self._waiting or self._resting):  # for an answer of ours, or for its next turn
            self._handle(b"", events_at_most)

    def _handle(self, data: bytes, events_at_most: int) -> None:
        """Octets → events → replies, as far as they go now; ``events_at_most`` if it is this session's turn, else 0."""
        transaction, conduct = self._transaction, self._conduct
        if transaction is None or conduct is None:
            return
        receiver, out = self._receiver, self._out
        step: Step
        events, octets = 0, self._octets_out
        most = _EVENTS_SLOWED if conduct.rest else events_at_most or self._turns.at_arrival
        while (data or receiver.has_input) and not self._waiting and not self._choked and events < most:
            event = receiver.next_event(data)
            data = b""
            kind = type(event)
            handler = _IN_TRANSACTION.get(kind)
            if handler is not None:
                step = handler(transaction, event)
            elif kind is Pause:
                break
            else:
                step = _IN_SESSION[kind](self._commands, event)
                if kind is Forwarding:  # what is behind XCLIENT is for the policy of the client that it names
                    most = 0
            events += 1
            if type(step) is bytes:
                out.append(step)
                octets += len(step)
                if octets > _REPLIES_AT_MOST:
                    self._flush()
                    octets = 0
            elif step is not None:
                self._wait(step)  # type: ignore[arg-type]
        state = receiver.state
        idle = not receiver.has_input and state is not _CLOSED and state is not _SWITCHING
        if idle and events and not (conduct.rest or self._choked or self._draining):  # the common case
            self._flush()
            self._octets_out = 0
            self.last_heard = NOT_DATED
            return
        over = not receiver.has_input or not events or self._choked or self._waiting or self._draining
        if over or conduct.rest or conduct.fruitless or not self._turns.is_short or receiver.state in _NO_INPUT:
            self._flush()
            octets = 0
        self._octets_out = octets
        if events or receiver.in_content:
            self.last_heard = NOT_DATED
        if self._waiting:
            return
        if state is _CLOSED:
            self._end(5.0 if events else _REFUSED_LINGER)
        elif state is _SWITCHING:
            self._start_tls()
        elif self._draining and outside_transaction(state):
            self.say_goodbye(GOING_DOWN)
        elif events and (conduct.rest or receiver.has_input) and not self._choked:
            self._rest(conduct.rest)
        elif self._choked and receiver.buffered > _AHEAD_AT_MOST:
            self.abort()

    def _flush(self) -> None:
        if self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            assert self._stream is not None
            self._stream.write(data)

    def _rest(self, seconds: float) -> None:
        """Handle no events for ``seconds``, and until it is this session's turn."""
        self._resting = True
        if self._receiver.has_input:  # what is read now would only wait in memory
            self._set_paused(True)
        if seconds:
            self._settings.clock.call_later(seconds, self._rest_over)
        else:
            self._rest_over()

    def _rest_over(self) -> None:
        if self._receiver.has_input:
            self._turns.put(self._rested, fruitless=self._conduct is not None and self._conduct.fruitless)
        else:
            self._rested()

    def _rested(self, events_at_most: int = 0) -> None:
        self._resting = False
        if self._receiver.state is not State.CLOSED:
            self._go_on(events_at_most)

    def _go_on(self, events_at_most: int = 0) -> None:
        """Handle what has arrived meanwhile; read on when all of it is handled."""
        try:
            self._pump(events_at_most)
        except Exception as error:  # the network reports and ends only what it has called itself
            self._settings.on_error(error)
            self.abort()
            return
        if not (self._choked or self._waiting or self._resting):
            self._set_paused(False)

    def _end(self, linger: float = 5.0) -> None:
        """Close so that the last reply arrives even if the client is still sending: for at most ``linger`` seconds its
        octets are read and dropped (a reset would overtake the reply)."""
        self._forget_if_over()
        if self._stream is not None:
            self._stream.close_gently(linger)

    def _take(self, step: Step) -> None:
        """Write the octets of a step, or begin to wait."""
        if type(step) is bytes:
            self._out.append(step)
        elif step is not None:
            self._wait(step)  # type: ignore[arg-type]

    def _set_paused(self, paused: bool) -> None:
        """Stop reading, or go on; the stream is called only if that changes something."""
        if self._stream is not None and paused is not self._paused:
            self._paused = paused
            if paused:
                self._stream.pause_reading()
            else:
                self._stream.resume_reading()

    def _wait(self, waiting: Waiting) -> None:
        """Wait until the awaitable is done, then take the next step and go on."""
        awaitable, then, fallback = waiting
        self._waiting = True
        if self._transaction is not None and self._transaction.content_began is not None:
            self._set_paused(True)
        self._flush()

        def tell(result: Any, error: BaseException | None) -> None:
            self._waiting = False
            if error is not None:
                if not isinstance(error, asyncio.CancelledError):
                    self._settings.on_error(error)
                result = fallback
            if self._receiver.state is State.CLOSED:  # the channel ended meanwhile
                return
            self._take(then(result))
            self._flush()  # also if the session rests: a 250 is written before the first attempt of its message
            self.last_heard = NOT_DATED
            receiver = self._receiver
            if receiver.has_input or self._draining or receiver.state in _NO_INPUT:
                self._go_on()
            elif self._paused and not (self._waiting or self._choked or self._resting):
                self._set_paused(False)

        if type(awaitable) is PendingResult:
            awaitable.when_settled(tell)
        else:
            asyncio.ensure_future(awaitable).add_done_callback(partial(_pass_on, tell))

    # -- TLS ---------------------------------------------------------------------------------------------------------

    def _protect(self, protection: Protection, stream: Stream) -> None:
        """Offer what this channel allows."""
        if isinstance(stream, TlsStream) and stream.info is not None:
            info = stream.info
            if self._claim is not None:  # the certificate is that of the peer which speaks for this client
                info = info._replace(verified=False, certificate=None, identity="", common_name="")
            self._secured(protection, info)
            return
        base, loopback = self._offer, stream.peer.is_loopback
        later = protection.offer(base, tls=True, loopback=loopback).auth if protection.tls is not None else ()
        self._receiver.set_offer(protection.offer(base, tls=False, loopback=loopback), later)

    def _start_tls(self) -> None:
        """STARTTLS was answered 220: from here on the channel speaks TLS, or ends."""
        protection, plain, policy = self._settings.protection, self._stream, self._policy
        if isinstance(plain, TlsStream):  # the handshake is under way
            return
        assert protection is not None
        assert protection.tls is not None
        assert plain is not None
        assert policy is not None
        self._set_paused(False)
        layer = TlsStream(
            protection.tls(),
            self,
            clock=self._settings.clock,
            server_side=True,
            peer=plain.peer.host or "the client",
            on_up=self._tls_up,
            on_failed=cast(SecuredPolicy, policy).tls_failed,
            on_error=self._settings.on_error,
            seconds=self._settings.timeouts.handshake,
        )
        self._stream = layer
        layer.start(plain)

    def _tls_up(self, info: TlsInfo) -> None:
        assert self._settings.protection is not None
        self._receiver.tls_started()
        self._secured(self._settings.protection, info)
        self.last_heard = NOT_DATED

    def _secured(self, protection: Protection, info: TlsInfo) -> None:
        """TLS is up: offer what it allows, and give its facts to the policy and to AUTH."""
        assert self._policy is not None
        assert self._commands is not None
        self._receiver.begin_inside_tls(
            protection.offer(self._offer, tls=True, loopback=False, certified=info.verified)
        )
        login = self._commands.login
        if login is not None:
            login.secured(info)
        cast(SecuredPolicy, self._policy).tls_started(info)

    # -- proxies -----------------------------------------------------------------------------------------------------

    def _become(self, event: Forwarding) -> Step:
        """XCLIENT: the session is that of the client that it names, from the greeting on."""
        stream, before, conduct, settings = self._stream, self._policy, self._conduct, self._settings
        assert stream is not None
        assert before is not None
        assert conduct is not None
        if excess := conduct.idle(b""):
            return excess
        if self._claim is None:
            peer, local = stream.peer, stream.local
            real = Peer(peer.host, peer.port, local.host, local.port)
            self._claim = ClientClaim(real, real)
        self._claim = claim = self._claim.said(event.attributes)
        before.disconnected()
        self._receiver.begin_again(authenticated=bool(claim.login))
        self._begin(claim.peer, claim)
        commands, welcome = self._commands, self._welcome
        assert commands is not None
        assert welcome is not None
        commands.become = self._become
        if settings.protection is not None:
            self._protect(settings.protection, stream)
        if claim.login:
            welcome = logged_in_elsewhere(welcome, cast(SecuredPolicy, self._policy), claim.login)
        return commands.welcome(welcome)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _forget_if_over(self) -> None:
        if self._transaction is not None and self._transaction.is_open:
            self._transaction.forget_if_over()

    def say_goodbye(self, reply: Reply) -> None:
        """End the session from our side: a 421 out of turn, then the channel."""
        if self._receiver.state is State.CLOSED or self._stream is None:
            return
        if not self._is_open:  # a handshake is under way
            self.abort()
            return
        self._out.append(self._receiver.close(reply))
        self._flush()
        self._end(linger=1.0)

    def check_time(self, now: float) -> None:
        """End the session if the client has been silent for too long, if content takes too long, or if no message was
        accepted for too long; called every few seconds.  While the session waits for an answer of its own, that answer
        is what may take too long.

        What has happened since the call before is dated now: so no clock is read when octets arrive.
        """
        transaction, conduct = self._transaction, self._conduct
        if transaction is None or conduct is None or not self._is_open:
            return
        if self.last_heard == NOT_DATED:
            self.last_heard = now
        if transaction.content_began == NOT_DATED:
            transaction.content_began = now
        if conduct.has_accepted or self.last_message == NOT_DATED:
            conduct.has_accepted = False
            self.last_message = now
        timeouts = self._settings.timeouts
        silent, began = now - self.last_heard, transaction.content_began
        if self._waiting:
            if silent > timeouts.answer:
                self.say_goodbye(_NO_ANSWER)
        elif began is not None:
            slow = now - began > timeouts.transfer_of(self._receiver.content_size)
            if slow or silent > timeouts.content:
                self.say_goodbye(_LF_END_TIMEOUT if self._receiver.ended_by_lf else _CONTENT_TIMEOUT)
        elif silent > timeouts.command:
            self.say_goodbye(_TIMEOUT)
        elif now - self.last_message > timeouts.session:
            self.say_goodbye(_NO_MESSAGE)

    def drain(self) -> None:
        """Finish the transaction that is open, begin no other."""
        self._draining = True
        if self._is_open and not self._waiting and outside_transaction(self._receiver.state):
            self.say_goodbye(GOING_DOWN)

    def abort(self) -> None:
        """End the channel without a reply."""
        if self._stream is not None:
            self._stream.abort()


def _pass_on(tell: Callable[[Any, BaseException | None], object], ended: asyncio.Future[Any]) -> None:
    """Pass on how a future has ended."""
    if ended.cancelled():
        tell(None, asyncio.CancelledError())
    elif (error := ended.exception()) is not None:
        tell(None, error)
    else:
        tell(ended.result(), None)


_IN_TRANSACTION: Final[dict[type, Callable[[ServerTransaction, Any], Step]]] = {
    Mail: ServerTransaction.mail,
    Rcpt: ServerTransaction.rcpt,
    Data: ServerTransaction.data,
    Bdat: ServerTransaction.bdat,
    ContentChunk: ServerTransaction.content,
    EndOfChunk: ServerTransaction.end_of_chunk,
    EndOfContent: ServerTransaction.end_of_content,
}
#: All other events.
_IN_SESSION: Final[dict[type, Callable[[Any, Any], Step]]] = {
    Greet: SessionCommands.greet,
    Rset: SessionCommands.rset,
    Noop: SessionCommands.noop,
    Quit: SessionCommands.quit,
    Vrfy: SessionCommands.vrfy,
    Expn: SessionCommands.expn,
    Help: SessionCommands.help,
    Auth: SessionCommands.auth,
    AuthResponse: SessionCommands.auth_response,
    StartTls: SessionCommands.starttls,
    Forwarding: SessionCommands.forwarded,
    Refused: SessionCommands.refused,
}
