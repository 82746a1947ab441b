"""What every session of the sending SMTP has, whatever its channel; it imports no event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from posthouse.client.model import Greeted, HandshakeStep, LoggedIn
from posthouse.client.pipeline import Pipeline
from posthouse.core import PosthouseError
from posthouse.core._mypyc import mypyc_attr
from posthouse.protocol import Capabilities, Sender

if TYPE_CHECKING:
    from posthouse.client.auth import LoginSettings
    from posthouse.client.tls_policy import TlsPolicy
    from posthouse.net.tls_engine import Resumable, TlsInfo

__all__ = ["BaseSession"]


@mypyc_attr(allow_interpreted_subclasses=True)
class BaseSession:
    """The facts of a session that do not depend on its channel."""

    def __init__(
        self,
        pipeline: Pipeline,
        hostname: str,
        tls: TlsPolicy | None = None,
        login: LoginSettings | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._hostname = hostname
        self._policy = tls
        self._credentials = login
        #: What opened the session, once it is open.
        self.greeted: Greeted | None = None
        #: The dialogue, seen from the sending end.
        self.sender: Sender = pipeline.sender
        #: The peer's name and address, for example ``mx.sina.com[192.0.2.7]:25``.
        self.peer: str = pipeline.peer

    def _handshake_with(self, step: HandshakeStep) -> tuple[Any, str, bool, Any]:
        """The arguments of ``start_tls``."""
        policy, channel = step.policy, self._pipeline
        resumed = policy.take_session(channel.host, channel.address.port, channel.clock.monotonic())
        return policy.context(), policy.name_for(channel.host), step.implicit, resumed

    def _keep_tls(self, resumable: Resumable | None) -> None:
        """Keep the TLS session for the next connection: its ticket has come before the reply to EHLO."""
        policy, channel = self._policy, self._pipeline
        if policy is not None and resumable is not None:
            policy.keep_session(channel.host, channel.address.port, channel.clock.monotonic(), resumable)

    @property
    def capabilities(self) -> Capabilities:
        """The service extensions that the peer announced."""
        return self.sender.capabilities

    @property
    def tls(self) -> TlsInfo | None:
        """What was agreed on for TLS, with the peer's certificate and whether it was verified; None in clear."""
        return self._pipeline.tls

    @property
    def tls_remark(self) -> str:
        """Why there is no TLS though the policy would have it, or why the certificate does not prove the name."""
        return "" if self.greeted is None else self.greeted.remark

    @property
    def login(self) -> LoggedIn | None:
        """The login of this session; None without one."""
        return None if self.greeted is None else self.greeted.login

    @property
    def messages(self) -> int:
        """Transactions that were begun; one message may take several."""
        return self._pipeline.messages

    @property
    def fault(self) -> PosthouseError | None:
        """The error that ended the connection, or None."""
        return self._pipeline.fault

    @property
    def cautious(self) -> bool:
        """Whether the connection was idle and may be dead: then no content is sent before the next transaction has a
        reply."""
        return self._pipeline.cautious

    @cautious.setter
    def cautious(self, cautious: bool) -> None:
        self._pipeline.cautious = cautious

    @property
    def usable(self) -> bool:
        """Whether another message can be sent, now or after those that are under way."""
        return self._pipeline.usable
