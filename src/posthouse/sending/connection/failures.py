"""Exceptions of sending as its users meet them: sorted by what failed, with the phase and the last lines of the
dialogue.

The classes below ``posthouse.client`` say whose fault something was; users of ``send`` ask instead whether there was no
connection, no TLS, no login, or no time.  The first exception stays the cause of the one that is raised.
"""

from __future__ import annotations

from posthouse.client.deadline import Deadline
from posthouse.client.model import LoginFailed, SessionRefused, TlsUnavailable, WrongDoor
from posthouse.core import (
    Broken,
    CannotConnect,
    Closed,
    NetworkError,
    Outcome,
    Phase,
    PosthouseError,
    RemoteError,
    Reply,
    TimedOut,
    TLSFailed,
    Unreachable,
)
from posthouse.net.hosts import NoSuchHost
from posthouse.sending.connection.dialogue_record import DialogueRecord

__all__ = ["advice_for", "completed", "opening_failure"]


def opening_failure(error: PosthouseError, record: DialogueRecord, deadline: Deadline) -> PosthouseError:
    """The exception to raise for a session that did not open: ``error`` itself where its class says enough."""
    found = _sorted(error, deadline)
    if not found.phase:
        found.phase = _phase(error, record)
    found.transcript = record.tail
    if isinstance(found, TimedOut) and record.last_reply is not None:
        found.args = (f"{found}; the last reply was {record.last_reply}",)
    if isinstance(found, RemoteError) and found.reply is not None and (advice := advice_for(found.reply)):
        found.args = (f"{found}.  {advice}",)
    return found


def advice_for(reply: Reply) -> str:
    """What to do about a refusal of a large provider that is known, in one sentence; "" for others."""
    from posthouse.codes.known_refusals import known_refusal  # a table, which few sessions need

    known = known_refusal(reply)
    return "" if known is None else known.advice.en


def completed(outcome: Outcome, elapsed: float) -> Outcome:
    """The outcome with the seconds that it took; of a refusal that is known, with what to do about it in ``reason``."""
    reply = outcome.reply
    if reply is not None and reply.code >= 400 and (advice := advice_for(reply)):
        return outcome._replace(reason=f"{outcome.reason}.  {advice}", elapsed=elapsed)
    return tuple.__new__(Outcome, (*outcome[:8], elapsed))  # of nine fields; ``_replace`` takes five times as long


def _sorted(error: PosthouseError, deadline: Deadline) -> PosthouseError:
    if isinstance(error, Unreachable) and deadline.left <= 0:
        return TimedOut(f"{error}; the time limit of {deadline.seconds or 0:g} seconds is over")
    if isinstance(error, TlsUnavailable):
        import posthouse.net.tls_engine  # noqa: F401 - makes TLSFailed an ssl.SSLError

        return TLSFailed(str(error))
    if isinstance(error, (CannotConnect, LoginFailed, TimedOut, TLSFailed)):
        return error
    if isinstance(error, (Broken, Closed)):
        return CannotConnect(f"{error} before a session was open")
    if isinstance(error, RemoteError):
        return CannotConnect(f"the server does not speak SMTP as a client can understand it: {error}")
    return error


def _phase(error: PosthouseError, record: DialogueRecord) -> str:
    if isinstance(error, NoSuchHost):
        return Phase.LOOKUP
    if isinstance(error, WrongDoor):
        return Phase.GREETING
    if isinstance(error, TLSFailed | TlsUnavailable):
        return Phase.TLS
    if isinstance(error, LoginFailed):
        return Phase.AUTH
    if isinstance(error, Unreachable):
        return Phase.CONNECT
    if isinstance(error, NetworkError | RemoteError | SessionRefused):
        return record.opening_phase
    return ""
