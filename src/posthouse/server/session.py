"""One session of the receiving SMTP: the engine, a policy, and a channel, joined by one loop.

Everything happens in the turn of the loop in which the bytes arrived: bytes → events → verdicts → replies, and one
write for all replies of a pipelined group.  Only when a policy answers with an awaitable (content being committed, a
question to the DNS) does the session stop reading and wait; it goes on where it was when the answer is there.  There is
no task per session and none per command.

What the session adds to the law and the policy: the envelope as it grows, the limits that are the dialogue's own
(recipients, errors, commands that move nothing), the time-out, and the manners of an orderly end.

Over budget: one short method for each event, and they share the session's fields.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from posthouse.core import Envelope, LocalError, Recipient, Reply, Verdict
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
    Quit,
    Rcpt,
    Receiver,
    Refused,
    Rset,
    State,
    Vrfy,
)
from posthouse.server.policy import Answer, Intake, Peer, Policy

if TYPE_CHECKING:
    from posthouse.server.listener import Server

__all__ = ["GOING_DOWN", "ServerSession"]

_OK: Final = Reply(250, "2.0.0", "OK")
_START: Final = Reply(354, "", "Send the message, end it with a dot on a line of its own")
_TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients; send to the others in another transaction")
_TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "Too many errors; closing connection")
_TOO_MANY_IDLE: Final = Reply(421, "4.7.0", "Too many commands that move nothing; closing connection")
_TOO_MANY_TRANSACTIONS: Final = Reply(421, "4.7.0", "Enough messages for one connection; connect again for more")
_TIMEOUT: Final = Reply(421, "4.4.2", "Nothing came for too long; closing connection")
# RFC 6531 §3.7.4.2: what VRFY and EXPN answer where the answer needs UTF-8 and the client did not allow it.
_UTF8_MAYBE: Final = Reply(252, "2.6.8", "The answer needs UTF-8; ask again with SMTPUTF8")
_UTF8_NO: Final = Reply(550, "5.6.8", "The answer needs UTF-8; ask again with SMTPUTF8")
GOING_DOWN: Final = Reply(421, "4.3.2", "Service is shutting down; try again later")
_OUR_FAULT: Final = Reply(451, "4.3.0", "Something went wrong here; try again later")
_OUR_VERDICT: Final = Verdict(_OUR_FAULT, "an exception in the policy")


@mypyc_attr(allow_interpreted_subclasses=True)
class ServerSession:
    """The receiving end of one channel; a ``net.Handler``."""

    __slots__ = (
        "_choked",
        "_content_began",
        "_draining",
        "_envelope",
        "_errors",
        "_idle",
        "_intake",
        "_out",
        "_policy",
        "_receiver",
        "_recipients",
        "_refusal",
        "_server",
        "_stream",
        "_transactions",
        "_waiting",
        "last_heard",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stream: Stream | None = None
        self._policy: Policy | None = None
        self._receiver = Receiver(
            server.offer,
            lmtp=server.lmtp,
            limits=server.limits,
            transcript=server.transcript() if server.transcript is not None else None,
        )
        self._envelope = _NOBODY
        self._recipients: list[Recipient] = []  # of the transaction that is open
        self._intake: Intake | None = None
        self._refusal: Verdict | None = None  # why the content that is arriving will be refused
        self._out: list[bytes] = []
        self._waiting = False
        self._choked = False
        self._draining = False
        self._errors = 0
        self._idle = 0
        self._transactions = 0
        self._content_began = 0.0
        self.last_heard = 0.0

    # -- net.Handler -------------------------------------------------------------------------------------------

    def connected(self, stream: Stream) -> None:
        """The channel is open: ask whether this peer is welcome, and greet."""
        self._stream = stream
        self.last_heard = self._server.clock.monotonic()
        peer, local = stream.peer, stream.local
        self._server.joined(self)
        self._policy = self._server.policy(Peer(peer.host, peer.port, local.host, local.port))
        self._ask(self._policy.connected(), self._greeting)
        self._pump()

    def data_received(self, data: bytes) -> None:
        """Octets arrived."""
        self.last_heard = self._server.clock.monotonic()
        self._receiver.receive_data(data)
        self._pump()

    def eof_received(self) -> None:
        """The client will say no more; what it has said is still answered."""
        self._receiver.receive_eof()
        self._pump()

    def pause_writing(self) -> None:
        """The client does not read its replies: produce no more of them."""
        self._choked = True
        if self._stream is not None:
            self._stream.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self._choked = False
        if self._stream is not None and not self._waiting:
            self._stream.resume_reading()
            self._pump()

    def disconnected(self, error: Exception | None) -> None:
        """The channel has ended.  Content that is being committed stays committed; content on its way is dropped."""
        self._receiver.state = State.CLOSED
        self._forget()
        self._server.left(self)
        if self._policy is not None:
            self._policy.disconnected()

    # -- the loop ----------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Bytes → events → replies, as far as it goes now."""
        if self._waiting:
            return
        receiver = self._receiver
        while not self._waiting and not self._choked:
            event = receiver.next_event()
            handler = _HANDLERS.get(type(event))
            if handler is None:
                break
            handler(self, event)
        self._flush()
        if receiver.state is State.CLOSED and not self._waiting:
            self._end()
        elif self._draining and not self._waiting and receiver.state in _BETWEEN:
            self.say_goodbye(GOING_DOWN)

    def _flush(self) -> None:
        if self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            assert self._stream is not None
            self._stream.write(data)

    def _end(self, linger: float = 5.0) -> None:
        """Close so that the last words arrive even if the client is still sending: for at most ``linger`` seconds
        its octets are read and dropped (a reset would overtake our reply)."""
        self._forget()
        if self._stream is not None:
            self._stream.close_gently(linger)

    def _reply(self, reply: Reply) -> None:
        self._out.append(self._receiver.send(reply))

    def _ask(self, answer: Answer, then: Callable[[ServerSession, Verdict], None] | Callable[[Verdict], None]) -> None:
        """Go on with ``then`` when the verdict is there: now, in the common case."""
        if type(answer) is Verdict:
            then(answer)  # type: ignore[call-arg, arg-type]
        else:
            self._wait(answer, then, _OUR_VERDICT)  # type: ignore[arg-type]

    def _wait(self, awaitable: Awaitable[Any], then: Callable[[Any], None], fallback: Any) -> None:
        """Stop reading until ``awaitable`` is done, then call ``then`` with its result (or with ``fallback`` if it
        raised) and go on."""
        assert self._stream is not None
        self._waiting = True
        self._stream.pause_reading()
        self._flush()
        future = asyncio.ensure_future(awaitable)

        def done(ended: asyncio.Future[Any]) -> None:
            self._waiting = False
            if ended.cancelled():
                result = fallback
            elif (error := ended.exception()) is not None:
                self._server.on_error(error)
                result = fallback
            else:
                result = ended.result()
            if self._receiver.state is State.CLOSED:  # the channel ended meanwhile
                return
            then(result)
            if not self._choked and not self._waiting and self._stream is not None:
                self._stream.resume_reading()
            self.last_heard = self._server.clock.monotonic()
            self._pump()

        future.add_done_callback(done)

    # -- what each event does ----------------------------------------------------------------------------------

    def _greeting(self, verdict: Verdict) -> None:
        self._reply(verdict.reply)
        if verdict.reply.code == 421:
            self._receiver.state = State.CLOSED

    def _greet(self, event: Greet) -> None:
        assert self._policy is not None

        def then(verdict: Verdict) -> None:
            reply = verdict.reply
            if reply.positive and event.verb != "HELO":
                reply = reply._replace(text="\n".join((reply.text, *self._server.offer.keywords())))
            self._reply(reply)
            self._forget_if_over()

        self._ask(self._policy.greeted(event), then)

    def _mail(self, event: Mail) -> None:
        assert self._policy is not None
        most = self._server.limits.transactions
        if most and self._transactions >= most:
            self._out.append(self._receiver.close(_TOO_MANY_TRANSACTIONS))
            return
        answer = self._policy.mail(event)
        if type(answer) is Verdict:
            self._mail_answered(event, answer)
        else:
            self._ask(answer, lambda verdict: self._mail_answered(event, verdict))

    def _mail_answered(self, event: Mail, verdict: Verdict) -> None:
        if verdict.reply.positive:
            self._transactions += 1
            self._envelope = Envelope(
                event.sender,
                (),
                event.body,
                event.smtputf8,
                event.size,
                event.ret,
                event.envid,
                event.auth,
                event.require_tls,
            )
        self._reply(verdict.reply)

    def _rcpt(self, event: Rcpt) -> None:
        assert self._policy is not None
        accepted = self._recipients
        if len(accepted) >= self._server.limits.recipients:
            self._policy.refused("RCPT", _TOO_MANY_RECIPIENTS)
            self._reply(_TOO_MANY_RECIPIENTS)
            return
        answer = self._policy.rcpt(self._envelope, event, accepted)
        if type(answer) is Verdict:
            self._rcpt_answered(event, answer)
        else:
            self._ask(answer, lambda verdict: self._rcpt_answered(event, verdict))

    def _rcpt_answered(self, event: Rcpt, verdict: Verdict) -> None:
        if verdict.reply.code < 400:
            self._recipients.append(Recipient(event.address, event.notify, event.orcpt))
        # A mailbox in 251 or 551 may be told in UTF-8 (RFC 6531 §3.7.4.1).
        self._out.append(self._receiver.send(verdict.reply, utf8=self._envelope.smtputf8))

    def _data(self, event: Data) -> None:
        intake = self._begin_content()
        if type(intake) is Verdict:
            self._reply(intake.reply)
            return
        self._intake = intake  # type: ignore[assignment]
        self._reply(_START)

    def _begin_content(self) -> Intake | Verdict:
        """The recipients are known: where does the content go?"""
        assert self._policy is not None
        self._envelope = self._envelope._replace(recipients=tuple(self._recipients))
        self._content_began = self.last_heard
        return self._policy.intake(self._envelope)

    def _bdat(self, event: Bdat) -> None:
        if self._intake is None and self._refusal is None:
            intake = self._begin_content()
            if type(intake) is Verdict:
                self._refusal = intake
            else:
                self._intake = intake  # type: ignore[assignment]

    def _content(self, event: ContentChunk) -> None:
        if self._intake is not None:
            pressure = self._intake.write(event.data)
            if pressure is not None:
                self._wait(pressure, _nothing, None)

    def _end_of_chunk(self, event: EndOfChunk) -> None:
        if self._refusal is not None:
            self._reply(self._refusal.reply)
        else:
            self._reply(Reply(250, "2.0.0", f"{event.size} octets received"))
        self._forget_if_over()

    def _end_of_content(self, event: EndOfContent) -> None:
        intake, self._intake = self._intake, None
        if intake is None:
            verdict = self._refusal or _OUR_VERDICT
            self._committed((verdict,) * event.owed, event.owed)
            return
        answer = intake.commit()
        if type(answer) is tuple:
            self._committed(answer, event.owed)
        else:
            self._wait(
                answer,  # type: ignore[arg-type]
                lambda verdicts: self._committed(verdicts, event.owed),
                (_OUR_VERDICT,) * event.owed,
            )

    def _committed(self, verdicts: tuple[Verdict, ...], owed: int) -> None:
        if len(verdicts) != owed:
            self._server.on_error(LocalError(f"{owed} verdicts were owed, {len(verdicts)} were given"))
            verdicts = (_OUR_VERDICT,) * owed
        for verdict in verdicts:
            self._reply(verdict.reply)
        self._forget_if_over()

    def _rset(self, event: Rset) -> None:
        self._reply(_OK)
        self._forget()
        self._count_idle()

    def _noop(self, event: Noop) -> None:
        self._reply(_OK)
        self._count_idle()

    def _quit(self, event: Quit) -> None:
        self._reply(Reply(221, "2.0.0", f"{self._server.hostname} closing connection"))

    def _vrfy(self, event: Vrfy) -> None:
        assert self._policy is not None
        self._ask(self._policy.verify(event.text), lambda verdict: self._told(verdict, event.smtputf8))

    def _expn(self, event: Expn) -> None:
        assert self._policy is not None
        self._ask(self._policy.expand(event.text), lambda verdict: self._told(verdict, event.smtputf8))

    def _help(self, event: Help) -> None:
        assert self._policy is not None
        self._ask(self._policy.help(event.topic), lambda verdict: self._told(verdict, False))

    def _told(self, verdict: Verdict, utf8: bool) -> None:
        reply = verdict.reply
        if not utf8 and not reply.text.isascii():
            reply = _UTF8_NO if reply.code in (550, 551) else _UTF8_MAYBE
        self._out.append(self._receiver.send(reply, utf8=utf8))
        self._count_idle()

    def _refused(self, event: Refused) -> None:
        assert self._policy is not None
        self._policy.refused(event.what, event.reply)
        for _ in range(event.owed):
            self._reply(event.reply)
        self._forget_if_over()
        self._errors += 1
        if self._errors > self._server.limits.errors and self._receiver.state is not State.CLOSED:
            self._out.append(self._receiver.close(_TOO_MANY_ERRORS))

    def _count_idle(self) -> None:
        self._idle += 1
        if self._idle > self._server.limits.idle_commands and self._receiver.state is not State.CLOSED:
            self._out.append(self._receiver.close(_TOO_MANY_IDLE))

    # -- the end of things -------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """The transaction is over; content on its way is dropped."""
        self._envelope = _NOBODY
        if self._recipients:
            self._recipients = []  # a new one: who was handed the old one may keep it
        self._refusal = None
        if self._intake is not None:
            intake, self._intake = self._intake, None
            intake.abort()

    def _forget_if_over(self) -> None:
        if self._receiver.state in _BETWEEN or self._receiver.state is State.CLOSED:
            self._forget()

    def say_goodbye(self, reply: Reply) -> None:
        """End the session from our side: a 421 out of turn, then the channel."""
        if self._receiver.state is State.CLOSED or self._stream is None:
            return
        self._out.append(self._receiver.close(reply))
        self._flush()
        self._end(linger=1.0)

    def check_time(self, now: float) -> None:
        """Called now and then: end the session if the client has been silent for too long, or content takes forever.

        While *we* are thinking the client's silence is not its fault.
        """
        limits = self._server.timeouts
        content = self._receiver.state in (State.CONTENT, State.CHUNKS)
        allowed = limits.content if content else limits.command
        if self._waiting:
            return
        endless = self._intake is not None and now - self._content_began > limits.transfer
        if endless or now - self.last_heard > allowed:
            self.say_goodbye(_TIMEOUT)

    def drain(self) -> None:
        """Finish the transaction that is open, begin no other."""
        self._draining = True
        if not self._waiting and self._receiver.state in _BETWEEN:
            self.say_goodbye(GOING_DOWN)

    def abort(self) -> None:
        """End the channel without a word."""
        if self._stream is not None:
            self._stream.abort()


def _nothing(result: object) -> None:
    """After back-pressure there is nothing to do but go on."""


_NOBODY: Final = Envelope(None)
#: States in which no transaction is open.
_BETWEEN: Final = frozenset({State.CONNECTED, State.REFUSED, State.GREETED, State.READY})

_HANDLERS: Final[dict[type, Callable[[ServerSession, Any], None]]] = {
    Greet: ServerSession._greet,
    Mail: ServerSession._mail,
    Rcpt: ServerSession._rcpt,
    Data: ServerSession._data,
    Bdat: ServerSession._bdat,
    ContentChunk: ServerSession._content,
    EndOfChunk: ServerSession._end_of_chunk,
    EndOfContent: ServerSession._end_of_content,
    Rset: ServerSession._rset,
    Noop: ServerSession._noop,
    Quit: ServerSession._quit,
    Vrfy: ServerSession._vrfy,
    Expn: ServerSession._expn,
    Help: ServerSession._help,
    Refused: ServerSession._refused,
}
