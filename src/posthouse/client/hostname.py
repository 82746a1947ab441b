"""The name of this machine, and the name it gives in EHLO."""

from __future__ import annotations

import socket

from posthouse.protocol.grammar import GrammarError, domain_to_ascii

__all__ = ["literal_of", "machine_name", "means_something", "name_for_ehlo"]

# Domains that mean this machine, whichever it is (RFC 6761 §6.3, §6.4, and what installers of systems write).
_OF_NO_HOST = ("localhost", "localdomain", "invalid")


def machine_name() -> str:
    """The host name as the system has it, without a question to the network; ``localhost`` if it is no domain name."""
    try:
        return domain_to_ascii(socket.gethostname().rstrip("."))
    except GrammarError:
        return "localhost"


def means_something(name: str) -> bool:
    """Whether a name can mean a host to other hosts: qualified, no IP address, and not one such as
    ``localhost.localdomain``."""
    last = name.rpartition(".")[2].lower()
    return "." in name and not last.isdigit() and last not in _OF_NO_HOST


def name_for_ehlo() -> str:
    """The machine's name if it means something, else "": then a session gives the address literal of its own end.

    RFC 5321 §2.3.5 forbids unqualified names, and many hosts refuse them; §4.1.1.1 asks for the literal.
    """
    name = machine_name()
    return name if means_something(name) else ""


def literal_of(host: str) -> str:
    """The address literal of an IP address (RFC 5321 §4.1.3); that of loopback for a unix socket."""
    host = host.partition("%")[0]  # without a zone
    if ":" in host:
        return f"[IPv6:{host}]"
    return f"[{host}]" if host and "/" not in host else "[127.0.0.1]"
