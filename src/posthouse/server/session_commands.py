"""Commands of a server session outside the mail transaction: HELO, EHLO, RSET, NOOP, QUIT, VRFY, EXPN, HELP, AUTH,
STARTTLS, and what the engine refused.

Each method takes one event of the engine and returns the next step, like those of ``ServerTransaction``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, cast

from posthouse.core import Reply, Verdict
from posthouse.protocol import (
    Auth,
    AuthResponse,
    Expn,
    Greet,
    Help,
    Noop,
    Offer,
    Quit,
    Receiver,
    Refused,
    Rset,
    StartTls,
    State,
    Vrfy,
)
from posthouse.protocol.proxies import Forwarding
from posthouse.server.conduct import Conduct
from posthouse.server.login import LoginCommands
from posthouse.server.policy import Answer, CommandPolicy, ForwardingPolicy, Policy, SecuredPolicy
from posthouse.server.settings import SessionSettings
from posthouse.server.transaction import OUR_VERDICT, ServerTransaction, Step, Waiting

__all__ = ["SessionCommands"]

_OK: Final = Reply(250, "2.0.0", "OK")
_READY: Final = Reply(220, "2.0.0", "Ready to start TLS")
# RFC 6531 §3.7.4.2: the replies to VRFY and EXPN where the answer needs UTF-8 and the client did not allow it.
_UTF8_MAYBE: Final = Reply(252, "2.6.8", "The answer needs UTF-8; ask again with SMTPUTF8")
_UTF8_NO: Final = Reply(550, "5.6.8", "The answer needs UTF-8; ask again with SMTPUTF8")
_TOO_EARLY: Final = Verdict(
    Reply(554, "5.5.1", "You spoke before the greeting. Closing connection"), "spoke before the greeting"
)
# Seconds after which a pause that has not ended yet says more about this process than about the client.
_LATE: Final = 0.5
# Accepted recipients that cost, when they are given up, as much as one idle command.
_GIVEN_UP: Final = 10


class SessionCommands:
    """The commands of one session outside its transaction."""

    __slots__ = ("_conduct", "_policy", "_receiver", "_settings", "_transaction", "become", "login")

    def __init__(
        self,
        receiver: Receiver,
        policy: Policy,
        settings: SessionSettings,
        transaction: ServerTransaction,
        conduct: Conduct,
    ) -> None:
        self._receiver = receiver
        self._policy = policy
        self._settings = settings
        self._transaction = transaction
        self._conduct = conduct
        #: Makes the session that of another client (XCLIENT); None where the peer may not say so.
        self.become: Callable[[Forwarding], Step] | None = None
        terms = settings.protection.login if settings.protection is not None else None
        #: AUTH, if it can be used here.
        self.login = LoginCommands(receiver, cast(SecuredPolicy, policy), terms, conduct) if terms is not None else None

    def connected(self, answer: Answer) -> Step:
        """The opening reply, after the pause that belongs to it."""
        if self._settings.greeting_pause:
            return Waiting(self._after_pause(answer), self._greeting, OUR_VERDICT)
        return self.welcome(answer)

    def welcome(self, answer: Answer) -> Step:
        """The opening reply at once: after XCLIENT, behind which more may be pipelined."""
        return _ask(answer, self._greeting)

    async def _after_pause(self, answer: Answer) -> Verdict:
        """The verdict, or the refusal of a client that has spoken first (RFC 5321 §3.1).

        Where this process was too busy to end the pause in time, the client is not to blame.
        """
        verdict = answer if isinstance(answer, Verdict) else await answer
        if verdict.reply.code >= 300:
            return verdict
        clock, pause = self._settings.clock, self._settings.greeting_pause
        due = clock.monotonic() + pause
        await clock.sleep(pause)
        if self._receiver.buffered and clock.monotonic() - due < _LATE:
            self._policy.refused("connect", _TOO_EARLY.reply)
            return _TOO_EARLY
        return verdict

    def _greeting(self, verdict: Verdict) -> Step:
        wire = self._receiver.send(verdict.reply)
        if verdict.reply.code == 421 or verdict is _TOO_EARLY:
            self._receiver.state = State.CLOSED
        return wire

    def forwarded(self, event: Forwarding) -> Step:
        """XCLIENT or XFORWARD, which the engine gives only if it is offered."""
        if event.verb == "XCLIENT":
            assert self.become is not None
            return self.become(event)
        cast(ForwardingPolicy, self._policy).forwarded(event.attributes)
        return self._conduct.idle(self._receiver.send(_OK))

    def greet(self, event: Greet) -> Step:
        """HELO, EHLO or LHLO."""
        answer = self._policy.greeted(event)
        if type(answer) is Verdict:
            return self._greeted(event, answer)
        return _ask(answer, lambda verdict: self._greeted(event, verdict))

    def _greeted(self, event: Greet, verdict: Verdict) -> Step:
        # RFC 2034 §4: no enhanced code in a reply to HELO or EHLO; in each line of EHLO's it would hide the keyword.
        reply = verdict.reply
        if reply.enhanced:
            reply = reply._replace(enhanced="")
        if reply.code < 400 and event.verb != "HELO" and not self._settings.all_commands:
            reply = _with_keywords(reply, self._receiver.offer)
        return self._given_up(self._receiver.send(reply))

    def rset(self, event: Rset) -> Step:
        """RSET."""
        if self._settings.all_commands:
            return _ask(self._command("RSET", ""), lambda verdict: self._given_up(self._receiver.send(verdict.reply)))
        return self._given_up(self._receiver.send(_OK))

    def noop(self, event: Noop) -> Step:
        """NOOP."""
        if self._settings.all_commands:
            answer = self._command("NOOP", event.text)
            return _ask(answer, lambda verdict: self._conduct.idle(self._receiver.send(verdict.reply)))
        return self._conduct.idle(self._receiver.send(_OK))

    def quit(self, event: Quit) -> Step:
        """QUIT."""
        if self._settings.all_commands:
            return _ask(self._command("QUIT", ""), lambda verdict: self._receiver.send(verdict.reply))
        return self._receiver.send(Reply(221, "2.0.0", f"{self._settings.hostname} closing connection"))

    def _command(self, verb: str, text: str) -> Answer:
        """The policy's answer to a command that it answers if it answers all."""
        return cast(CommandPolicy, self._policy).command(verb, text)

    def vrfy(self, event: Vrfy) -> Step:
        """VRFY."""
        return _ask(self._policy.verify(event.text), lambda verdict: self._inquiry(verdict, event.smtputf8))

    def expn(self, event: Expn) -> Step:
        """EXPN."""
        return _ask(self._policy.expand(event.text), lambda verdict: self._inquiry(verdict, event.smtputf8))

    def help(self, event: Help) -> Step:
        """HELP."""
        return _ask(self._policy.help(event.topic), lambda verdict: self._inquiry(verdict, False))

    def _inquiry(self, verdict: Verdict, utf8: bool) -> Step:
        """The reply to VRFY, EXPN or HELP."""
        reply = verdict.reply
        if not utf8 and not reply.text.isascii():
            reply = _UTF8_NO if reply.code in (550, 551) else _UTF8_MAYBE
        return self._conduct.idle(self._receiver.send(reply, utf8=utf8))

    def auth(self, event: Auth) -> Step:
        """AUTH, which the engine gives only if it is offered."""
        assert self.login is not None
        return self.login.auth(event)

    def auth_response(self, event: AuthResponse) -> Step:
        """A line of the client within AUTH."""
        assert self.login is not None
        return self.login.response(event)

    def starttls(self, event: StartTls) -> Step:
        """STARTTLS: the reply is the last in clear, and the session puts TLS in when it is written."""
        return self._receiver.send(_READY)

    def refused(self, event: Refused) -> Step:
        """Input that is illegal or exceeds a limit."""
        self._policy.refused(event.what, event.reply)
        wire = b"".join([self._receiver.send(event.reply) for _ in range(event.owed)])
        self._transaction.forget_if_over()
        return self._conduct.error(wire)

    def _given_up(self, wire: bytes) -> bytes:
        """The reply to a command that ends an open transaction without a message."""
        if not self._transaction.is_open:
            return self._conduct.idle(wire)
        recipients = self._transaction.recipients
        self._transaction.forget_if_over()
        return self._conduct.idle(wire, 1 + (recipients - self._transaction.recipients) // _GIVEN_UP)


@lru_cache(maxsize=64)
def _with_keywords(reply: Reply, offer: Offer) -> Reply:
    """The reply to EHLO; one object for all sessions, because writing a reply is cached by its parts."""
    return reply._replace(text="\n".join((reply.text, *offer.keywords())))


def _ask(answer: Answer, then: Callable[[Verdict], Step]) -> Step:
    """The step for a policy's answer: taken now, if the answer is a verdict."""
    if type(answer) is Verdict:
        return then(answer)
    return Waiting(answer, then, OUR_VERDICT)  # type: ignore[arg-type]
