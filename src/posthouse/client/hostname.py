"""The name of this machine, the default argument of EHLO."""

from __future__ import annotations

import socket

from posthouse.protocol.grammar import GrammarError, domain_to_ascii

__all__ = ["machine_name"]


def machine_name() -> str:
    """The host name as the system has it, without a question to the network; ``localhost`` if it is no domain name."""
    try:
        return domain_to_ascii(socket.gethostname().rstrip("."))
    except GrammarError:
        return "localhost"
