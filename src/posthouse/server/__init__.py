"""The receiving SMTP: listeners, sessions, and the protocols of what stands behind them (policy, intake, checks)."""

from posthouse.server.content_check import CheckedMessage, CheckFactory, CheckResult, ContentCheck
from posthouse.server.listener import Server
from posthouse.server.policy import Answer, Intake, Peer, Policy, PolicyFactory
from posthouse.server.session import ServerSession
from posthouse.server.settings import ServerTimeouts

__all__ = [
    "Answer",
    "CheckFactory",
    "CheckResult",
    "CheckedMessage",
    "ContentCheck",
    "Intake",
    "Peer",
    "Policy",
    "PolicyFactory",
    "Server",
    "ServerSession",
    "ServerTimeouts",
]
