"""Submission of messages that the daemon itself writes: they are signed, and get a Received field."""

from __future__ import annotations

from typing import Final

from posthouse.core import StorageError
from posthouse.message.compose import Composed
from posthouse.protocol.commands import Greet
from posthouse.server.policy import Peer
from posthouse.service.directory.expansion import expand_envelope
from posthouse.service.policy.intake import SpoolIntake
from posthouse.service.policy.listener_policy import ListenerPolicy
from posthouse.service.policy.trace import Secured

__all__ = ["submit_own"]

_HERE: Final = Peer("", 0)
_LOCAL: Final = Greet("EHLO", "localhost")


async def submit_own(policy: ListenerPolicy | None, message: Composed, name: str) -> None:
    """Put a message into the queue.  Raises ``StorageError``; ``name`` is what the log calls its source."""
    if policy is None:
        raise StorageError("the daemon starts")
    envelopes = expand_envelope(policy.directory, message.envelope)
    intake = SpoolIntake(policy.signing(), _HERE, _LOCAL, message.envelope, envelopes, Secured(local=name))
    intake.recorded_as(name)
    pressure = intake.write(message.content)
    if pressure is not None:
        await pressure
    answer = intake.commit()
    verdict = (answer if isinstance(answer, tuple) else await answer)[0]
    if not verdict.reply.positive:
        raise StorageError(f"{verdict.reply} ({verdict.reason})")
