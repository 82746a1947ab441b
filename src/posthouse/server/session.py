"""One session of the receiving SMTP: the engine, a policy, and a channel, joined by one loop.

Everything happens in the turn of the event loop in which the octets arrived: octets → events → verdicts → replies, and
one write for all replies of a pipelined group.  Only when a policy or an intake answers with an awaitable (content is
committed, the DNS is asked) does the session wait; the session goes on from there when the awaitable is done.  There is
no task per session and none per command.

A waiting session stops reading when octets arrive.  Most clients send nothing before the reply is there, and stopping
and starting costs two system calls.  While content arrives more is sure to come, so there reading stops at once.

The session runs the loop and ends it: limits on errors and on commands that move nothing, time-outs, an orderly
goodbye.  MAIL, RCPT, DATA, BDAT and the content are the ``transaction``'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from posthouse.core import Reply, Verdict
from posthouse.core._mypyc import mypyc_attr
from posthouse.net import Stream
from posthouse.protocol import (
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
    State,
    Vrfy,
)
from posthouse.server.policy import Answer, Peer, Policy
from posthouse.server.settings import SessionSettings
from posthouse.server.transaction import NOT_DATED, OUR_VERDICT, ServerTransaction, Step, Waiting, outside_transaction

__all__ = ["GOING_DOWN", "ServerSession", "SessionRegistry"]

_OK: Final = Reply(250, "2.0.0", "OK")
_TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "Too many errors; closing connection")
_TOO_MANY_IDLE: Final = Reply(421, "4.7.0", "Too many commands that move nothing; closing connection")
_TIMEOUT: Final = Reply(421, "4.4.2", "Nothing came for too long; closing connection")
# RFC 6531 §3.7.4.2: the replies to VRFY and EXPN where the answer needs UTF-8 and the client did not allow it.
_UTF8_MAYBE: Final = Reply(252, "2.6.8", "The answer needs UTF-8; ask again with SMTPUTF8")
_UTF8_NO: Final = Reply(550, "5.6.8", "The answer needs UTF-8; ask again with SMTPUTF8")
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
        "_draining",
        "_errors",
        "_idle",
        "_out",
        "_paused",
        "_policy",
        "_receiver",
        "_registry",
        "_settings",
        "_stream",
        "_transaction",
        "_waiting",
        "last_heard",
    )

    def __init__(self, settings: SessionSettings, registry: SessionRegistry) -> None:
        self._settings = settings
        self._registry = registry
        self._receiver = Receiver(
            settings.offer,
            lmtp=settings.lmtp,
            limits=settings.limits,
            transcript=settings.transcript() if settings.transcript is not None else None,
        )
        self._stream: Stream | None = None
        self._policy: Policy | None = None
        self._transaction: ServerTransaction | None = None
        self._out: list[bytes] = []
        self._waiting = False
        self._paused = False
        self._choked = False
        self._draining = False
        self._errors = 0
        self._idle = 0
        #: When the client was last heard, in the clock's monotonic seconds; ``check_time`` replaces ``NOT_DATED``.
        self.last_heard = NOT_DATED

    # -- net.Handler -------------------------------------------------------------------------------------------------

    def connected(self, stream: Stream) -> None:
        """The channel is open: ask whether this peer is welcome, and greet."""
        settings = self._settings
        self._stream = stream
        peer, local = stream.peer, stream.local
        self._registry.joined(self)
        who = Peer(peer.host, peer.port, local.host, local.port)
        self._receiver.leniency = settings.leniency(who)
        policy = settings.policy(who)
        self._policy = policy
        self._transaction = ServerTransaction(self._receiver, policy, settings)
        self._take(_ask(policy.connected(), self._greeting))
        self._pump()

    def data_received(self, data: bytes) -> None:
        """Octets arrived."""
        self.last_heard = NOT_DATED
        if self._waiting or self._choked:
            self._receiver.receive_data(data)
            self._set_paused(True)
        else:
            self._pump(data)

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
        if not self._waiting:
            self._set_paused(False)
            self._pump()

    def disconnected(self, error: Exception | None) -> None:
        """The channel has ended.  Content that is being committed stays committed; content on its way is dropped."""
        self._receiver.state = State.CLOSED
        self._forget_if_over()
        self._registry.left(self)
        if self._policy is not None:
            self._policy.disconnected()

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _pump(self, data: bytes = b"") -> None:
        """Octets → events → replies, as far as they go now."""
        transaction = self._transaction
        if self._waiting or transaction is None:
            return
        receiver, out = self._receiver, self._out
        step: Step
        while (data or receiver.has_input) and not self._waiting and not self._choked:
            event = receiver.next_event(data)
            data = b""
            kind = type(event)
            handler = _IN_TRANSACTION.get(kind)
            if handler is not None:
                step = handler(transaction, event)
            elif kind is Pause:
                break
            else:
                step = _IN_SESSION[kind](self, event)
            if type(step) is bytes:
                out.append(step)
            elif step is not None:
                self._wait(step)  # type: ignore[arg-type]
        self._flush()
        if receiver.state is State.CLOSED and not self._waiting:
            self._end()
        elif self._draining and not self._waiting and outside_transaction(receiver.state):
            self.say_goodbye(GOING_DOWN)

    def _flush(self) -> None:
        if self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            assert self._stream is not None
            self._stream.write(data)

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
        future = asyncio.ensure_future(awaitable)

        def done(ended: asyncio.Future[Any]) -> None:
            self._waiting = False
            if ended.cancelled():
                result = fallback
            elif (error := ended.exception()) is not None:
                self._settings.on_error(error)
                result = fallback
            else:
                result = ended.result()
            if self._receiver.state is State.CLOSED:  # the channel ended meanwhile
                return
            self._take(then(result))
            if not self._choked and not self._waiting:
                self._set_paused(False)
            self.last_heard = NOT_DATED
            self._pump()

        future.add_done_callback(done)

    # -- events outside the transaction ------------------------------------------------------------------------------

    def _greeting(self, verdict: Verdict) -> Step:
        wire = self._receiver.send(verdict.reply)
        if verdict.reply.code == 421:
            self._receiver.state = State.CLOSED
        return wire

    def _greet(self, event: Greet) -> Step:
        assert self._policy is not None
        return _ask(self._policy.greeted(event), lambda verdict: self._greeted(event, verdict))

    def _greeted(self, event: Greet, verdict: Verdict) -> Step:
        # RFC 2034 §4: no enhanced code in a reply to HELO or EHLO; in each line of EHLO's it would hide the keyword.
        reply = verdict.reply._replace(enhanced="")
        if reply.code < 400 and event.verb != "HELO":
            reply = reply._replace(text="\n".join((reply.text, *self._settings.offer.keywords())))
        wire = self._receiver.send(reply)
        self._forget_if_over()
        return wire

    def _rset(self, event: Rset) -> Step:
        wire = self._receiver.send(_OK)
        self._forget_if_over()
        return self._idled(wire)

    def _noop(self, event: Noop) -> Step:
        return self._idled(self._receiver.send(_OK))

    def _quit(self, event: Quit) -> Step:
        return self._receiver.send(Reply(221, "2.0.0", f"{self._settings.hostname} closing connection"))

    def _vrfy(self, event: Vrfy) -> Step:
        assert self._policy is not None
        return _ask(self._policy.verify(event.text), lambda verdict: self._inquiry(verdict, event.smtputf8))

    def _expn(self, event: Expn) -> Step:
        assert self._policy is not None
        return _ask(self._policy.expand(event.text), lambda verdict: self._inquiry(verdict, event.smtputf8))

    def _help(self, event: Help) -> Step:
        assert self._policy is not None
        return _ask(self._policy.help(event.topic), lambda verdict: self._inquiry(verdict, False))

    def _inquiry(self, verdict: Verdict, utf8: bool) -> Step:
        """The reply to VRFY, EXPN or HELP."""
        reply = verdict.reply
        if not utf8 and not reply.text.isascii():
            reply = _UTF8_NO if reply.code in (550, 551) else _UTF8_MAYBE
        return self._idled(self._receiver.send(reply, utf8=utf8))

    def _refused(self, event: Refused) -> Step:
        assert self._policy is not None
        self._policy.refused(event.what, event.reply)
        wire = b"".join([self._receiver.send(event.reply) for _ in range(event.owed)])
        self._forget_if_over()
        self._errors += 1
        if self._errors > self._settings.limits.errors and self._receiver.state is not State.CLOSED:
            wire += self._receiver.close(_TOO_MANY_ERRORS)
        return wire

    def _idled(self, wire: bytes) -> bytes:
        """The reply to a command that moves nothing; one too many ends the session."""
        self._idle += 1
        if self._idle > self._settings.limits.idle_commands and self._receiver.state is not State.CLOSED:
            wire += self._receiver.close(_TOO_MANY_IDLE)
        return wire

    # -- the end -----------------------------------------------------------------------------------------------------

    def _forget_if_over(self) -> None:
        if self._transaction is not None and self._transaction.is_open:
            self._transaction.forget_if_over()

    def say_goodbye(self, reply: Reply) -> None:
        """End the session from our side: a 421 out of turn, then the channel."""
        if self._receiver.state is State.CLOSED or self._stream is None:
            return
        self._out.append(self._receiver.close(reply))
        self._flush()
        self._end(linger=1.0)

    def check_time(self, now: float) -> None:
        """End the session if the client has been silent for too long, or if content takes too long; called every few
        seconds.  While the session waits for an answer of its own, the client's silence does not count.

        What has happened since the call before is dated now: so no clock is read when octets arrive.
        """
        if self.last_heard == NOT_DATED:
            self.last_heard = now
        if self._transaction is None:
            return
        if self._transaction.content_began == NOT_DATED:
            self._transaction.content_began = now
        if self._waiting:
            return
        timeouts = self._settings.timeouts
        content = self._receiver.state in (State.CONTENT, State.CHUNKS)
        allowed = timeouts.content if content else timeouts.command
        began = self._transaction.content_began
        endless = began is not None and now - began > timeouts.transfer
        if endless or now - self.last_heard > allowed:
            self.say_goodbye(_TIMEOUT)

    def drain(self) -> None:
        """Finish the transaction that is open, begin no other."""
        self._draining = True
        if not self._waiting and outside_transaction(self._receiver.state):
            self.say_goodbye(GOING_DOWN)

    def abort(self) -> None:
        """End the channel without a reply."""
        if self._stream is not None:
            self._stream.abort()


def _ask(answer: Answer, then: Callable[[Verdict], Step]) -> Step:
    """The step for a policy's answer: taken now, if the answer is a verdict."""
    if type(answer) is Verdict:
        return then(answer)
    return Waiting(answer, then, OUR_VERDICT)  # type: ignore[arg-type]


_IN_TRANSACTION: Final[dict[type, Callable[[ServerTransaction, Any], Step]]] = {
    Mail: ServerTransaction.mail,
    Rcpt: ServerTransaction.rcpt,
    Data: ServerTransaction.data,
    Bdat: ServerTransaction.bdat,
    ContentChunk: ServerTransaction.content,
    EndOfChunk: ServerTransaction.end_of_chunk,
    EndOfContent: ServerTransaction.end_of_content,
}
#: All other events.  The server refuses an ``Offer`` of AUTH or STARTTLS, whose events would have no handler here.
_IN_SESSION: Final[dict[type, Callable[[ServerSession, Any], Step]]] = {
    Greet: ServerSession._greet,
    Rset: ServerSession._rset,
    Noop: ServerSession._noop,
    Quit: ServerSession._quit,
    Vrfy: ServerSession._vrfy,
    Expn: ServerSession._expn,
    Help: ServerSession._help,
    Refused: ServerSession._refused,
}
