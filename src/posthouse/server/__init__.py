"""Talk in: the receiving SMTP as listeners, sessions, and the policy they ask."""

from posthouse.server.listener import Server, ServerTimeouts
from posthouse.server.policy import Answer, Intake, Peer, Policy, PolicyFactory
from posthouse.server.session import ServerSession

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
