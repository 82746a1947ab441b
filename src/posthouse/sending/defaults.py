"""Sending one message without a daemon and without a queue to a server that is named.

Nothing is kept here.  Whoever calls hears an outcome for each recipient and decides; what was deferred is not tried
again.  ``sending.direct`` does the same without a server, ``sandbox.measuring`` sends many.
"""

from __future__ import annotations

from typing import Final

from posthouse.client import Timeouts
from posthouse.client.hostname import machine_name
from posthouse.core import Content, Envelope, Outcome
from posthouse.net import SocketNetwork, SystemClock
from posthouse.protocol import Transcript
from posthouse.sending.urls import ServerAddress, submit

__all__ = ["PATIENCE", "to_server"]

#: Somebody is watching: shorter than what a relay allows, and still within reason for a busy server (seconds).
PATIENCE: Final = Timeouts(connect=30.0, greeting=60.0, command=60.0, data=120.0, block=180.0, final=600.0, quit=2.0)


async def to_server(
    server: ServerAddress, envelope: Envelope, content: Content, *, transcript: Transcript | None = None
) -> tuple[Outcome, ...]:
    """Hand the message to ``server``.  Raises as ``sending.urls``."""
    return await submit(
        server,
        envelope,
        content,
        network=SocketNetwork(),
        clock=SystemClock(),
        hostname=machine_name(),
        timeouts=PATIENCE,
        transcript=transcript,
    )
