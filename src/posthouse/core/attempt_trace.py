"""How one delivery attempt went: the connections it made, their dialogues and timings.

A deliverer makes these values, the spool stores them in the message's history, and operations show them.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["AttemptTrace", "ConnectionTrace"]


class ConnectionTrace(NamedTuple):
    """One conversation of an attempt, or the vain try to begin one.

    ``peer`` is the address with its port, ``mx`` the host's name, ``tls`` the protection in words ("" for none);
    ``timings`` are (phase, seconds) in their order: resolve, connect, greet, envelope, content, final.  ``lines`` are
    the dialogue, each ``"S: …"`` or ``"R: …"``: commands and replies, never content or credentials.  ``ended`` says
    why there was no more, "" where it went to its end; ``reused`` counts the messages that the session took before.
    """

    peer: str = ""
    mx: str = ""
    tls: str = ""
    timings: tuple[tuple[str, float], ...] = ()
    lines: tuple[str, ...] = ()
    ended: str = ""
    reused: int = 0


class AttemptTrace(NamedTuple):
    """How an attempt went, for its story: when it ``began`` (calendar seconds), the ``site`` it went to, the route's
    ``target`` and the rule that chose it (``rule``), and the contacts in their order."""

    began: float = 0.0
    site: str = ""
    target: str = ""
    rule: str = ""
    contacts: tuple[ConnectionTrace, ...] = ()
