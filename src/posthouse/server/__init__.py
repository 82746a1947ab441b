"""The receiving SMTP: listeners, sessions, and the protocols of the policy and the intake behind them."""

from posthouse.server.listener import Server
from posthouse.server.policy import Answer, Intake, Peer, Policy, PolicyFactory
from posthouse.server.session import ServerSession
from posthouse.server.settings import ServerTimeouts

__all__ = [
    "Answer",
    "Intake",
    "Peer",
    "Policy",
    "PolicyFactory",
    "Server",
    "ServerSession",
    "ServerTimeouts",
]
