"""Trace of one delivery attempt: its connections with their dialogues and timings.

A deliverer makes these values, the spool stores them in the message's history, and operations show them.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["AttemptTrace", "ConnectionTrace"]


class ConnectionTrace(NamedTuple):
    """One connection of an attempt, established or not.

    Args:
        peer: IP address and port.
        mx: Host name.
        tls: TLS version and cipher, "" without TLS.
        timings: Pairs of phase and seconds in the order resolve, connect, greet, envelope, content, final.
        lines: The dialogue: commands as ``"S: …"``, replies as ``"R: …"``; content and credentials are left out.
        ended: Why the connection ended early, "" if it did not.
        reused: Number of messages that the session had sent before.
        security: What the certificate proves, or why the session is in clear; "" where TLS was not asked for.
        converted: Why the message was converted for this host, and what became of its signatures; "" if it was sent as
            it is stored.
    """

    peer: str = ""
    mx: str = ""
    tls: str = ""
    timings: tuple[tuple[str, float], ...] = ()
    lines: tuple[str, ...] = ()
    ended: str = ""
    reused: int = 0
    security: str = ""
    converted: str = ""


class AttemptTrace(NamedTuple):
    """One delivery attempt, as the message's history keeps it.

    Args:
        began: Seconds since 1970.
        site: The site (set of MX hosts) of the next hop.
        target: The route's target.
        rule: The rule that chose the route.
        connections: The connections in their order.
    """

    began: float = 0.0
    site: str = ""
    target: str = ""
    rule: str = ""
    connections: tuple[ConnectionTrace, ...] = ()
