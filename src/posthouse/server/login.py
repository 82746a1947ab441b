"""AUTH in a server session (RFC 4954): drives a SASL mechanism with the client's lines and the accounts' answers.

The mechanism is a generator (``protocol.sasl``).  What it says goes to the client as 334; what it asks is put to
``LoginTerms``, which may take time; its outcome goes to the policy, whose verdict is the reply.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Mapping
from typing import Any, Final

from posthouse.core import Reply, Verdict
from posthouse.net.tls_engine import TlsInfo
from posthouse.protocol import Auth, AuthResponse, Receiver
from posthouse.protocol.sasl import (
    CANCELLED,
    UNAVAILABLE,
    Authenticated,
    Denied,
    Exchange,
    Say,
)
from posthouse.server.conduct import Conduct
from posthouse.server.policy import Answer, LoginTerms, SecuredPolicy
from posthouse.server.transaction import Step, Waiting

__all__ = ["LoginCommands"]

#: Stands for the answer to a question that could not be answered.
_NO_ANSWER: Final = object()
#: The accounts have confirmed the password, or not, and could not be asked for the rest.
_NO_VERDICT: Final = Verdict(UNAVAILABLE, "an exception in the policy")


class LoginCommands:
    """AUTH in one session.

    ``bindings`` and ``identity`` are facts of the TLS channel: data for channel binding, and the name in the verified
    client certificate.
    """

    __slots__ = ("_conduct", "_exchange", "_policy", "_receiver", "_terms", "bindings", "host", "identity", "user")

    def __init__(self, receiver: Receiver, policy: SecuredPolicy, terms: LoginTerms, conduct: Conduct) -> None:
        self._receiver = receiver
        self._policy = policy
        self._terms = terms
        self._conduct = conduct
        self._exchange: Exchange | None = None
        self.bindings: Mapping[str, bytes] = {}
        self.identity: str | None = None
        #: The client's address.
        self.host = ""
        #: The account that has logged in, empty before.
        self.user = ""

    def secured(self, info: TlsInfo) -> None:
        """TLS has started: nothing that was said before counts (RFC 3207 §4.2)."""
        self._exchange = None
        self.user = ""
        if info.end_point:
            self.bindings = {"tls-server-end-point": info.end_point}
        self.identity = self._terms.identity_of(info) or None

    def auth(self, event: Auth) -> Step:
        """AUTH; the engine has checked that the mechanism is offered and that no login came before."""
        context = self._terms.context(self._receiver.offer.auth, self.bindings, self.identity)
        self._exchange = self._terms.exchange(self._policy, event.mechanism.upper(), event.initial, context)
        if self._exchange is None:  # offered, and not known: a mistake in the offer
            return self._receiver.send(Reply(504, "5.5.4", "Mechanism not available"))
        return self._go_on(None)

    def response(self, event: AuthResponse) -> Step:
        """A line of the client; ``*`` gives up."""
        if event.data is None:
            self._exchange = None
            return self._conduct.error(self._receiver.send(CANCELLED))
        return self._go_on(event.data)

    def _go_on(self, answer: Any) -> Step:
        exchange = self._exchange
        if exchange is None or answer is _NO_ANSWER:
            self._exchange = None
            return self._receiver.send(UNAVAILABLE)
        terms = self._terms
        try:
            step = exchange.send(answer)
            while not isinstance(step, Say) and terms.is_right(step):
                step = exchange.send(True)
        except StopIteration as end:
            self._exchange = None
            return self._ended(end.value)
        if isinstance(step, Say):
            return self._receiver.send(Reply(334, "", base64.b64encode(step.data or b"").decode()))
        asked: Awaitable[Any] = terms.answer_to(self.host, step)
        return Waiting(asked, self._go_on, _NO_ANSWER)

    def _ended(self, outcome: Authenticated | Denied | None) -> Step:
        verdict: Answer
        if isinstance(outcome, Authenticated):
            verdict = self._policy.logged_in(outcome)
        else:
            assert outcome is not None, "a server's mechanism ends with an outcome"
            verdict = self._policy.login_denied(outcome)
        if type(verdict) is Verdict:
            return self._concluded(verdict, outcome)
        return Waiting(verdict, lambda given: self._concluded(given, outcome), _NO_VERDICT)  # type: ignore[arg-type]

    def _concluded(self, verdict: Verdict, outcome: Authenticated | Denied) -> Step:
        wire = self._receiver.send(verdict.reply)
        if verdict.reply.code < 300 and isinstance(outcome, Authenticated):
            self.user = outcome.user
            return wire
        return self._conduct.error(wire)
