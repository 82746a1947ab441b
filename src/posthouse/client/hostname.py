"""What this machine calls itself.

Apart from ``service.config.mail_types``, because whoever sends one letter must say a name and reads no configuration.
"""

from __future__ import annotations

import socket

from posthouse.protocol.grammar import GrammarError, domain_to_ascii

__all__ = ["machine_name"]


def machine_name() -> str:
    """This machine's own name as far as it can be had without asking the network, or ``localhost``."""
    try:
        return domain_to_ascii(socket.gethostname().rstrip("."))
    except GrammarError:
        return "localhost"
