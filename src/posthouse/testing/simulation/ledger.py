"""The record of a simulated run: what was sent, promised, settled and delivered, and a line of text for each event.

The parts of the world write into one ``Ledger``; ``simulation.invariants`` judges it at the end of the run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from posthouse.core import Envelope, Outcome, Result
from posthouse.spool.interface import RecipientState

__all__ = ["DeliveredCopy", "FIELD", "Ledger", "PromisedMessage", "RecordedOutcome", "quoted_in", "token_of"]

_TOKEN = re.compile(rb"^X-Simulation: ([0-9a-z.-]+)\r$", re.MULTILINE)
_TRACE_FIELDS = re.compile(rb"(?:(?:Received|Return-Path):[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)*")
FIELD = b"X-Simulation: "
"""The field that the world puts in front of a message's content; its body is the token."""


def token_of(content: bytes) -> str:
    """The token of a message that a client sent: its first field that is no trace field.  "" for other messages."""
    trace = _TRACE_FIELDS.match(content)
    match = _TOKEN.match(content, trace.end() if trace else 0)
    return match[1].decode() if match else ""


def quoted_in(content: bytes) -> str:
    """The token of the message that a delivery report quotes, or ""."""
    match = _TOKEN.search(content)
    return match[1].decode() if match else ""


class PromisedMessage(NamedTuple):
    """A message that was committed to the spool named ``spool``."""

    spool: str
    queue_id: str
    token: str
    envelope: Envelope


class RecordedOutcome(NamedTuple):
    """One recipient's outcome in one attempt, as it was to be recorded; ``time`` in virtual seconds."""

    time: float
    spool: str
    queue_id: str
    state: RecipientState
    outcome: Outcome


class DeliveredCopy(NamedTuple):
    """One copy for one recipient, at a remote host or in an inbox; ``report``: a delivery report about ``token``."""

    time: float
    place: str
    recipient: str
    token: str
    report: bool


class Ledger:
    """The events of a run, and the violations that were found while it ran.  ``now`` gives virtual seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.trace: list[str] = []
        self.violations: list[str] = []
        self.sent: dict[str, bytes] = {}
        """Token → content as its client sent it."""
        self.results: dict[tuple[str, str], Result] = {}
        """(token, recipient) → the result that its client was given."""
        self.promised: dict[tuple[str, str], PromisedMessage] = {}
        """(spool, queue id) → the message."""
        self.settled: dict[tuple[str, str, int], RecipientState] = {}
        """(spool, queue id, key of the recipient) → the last state that was recorded."""
        self.outcomes: list[RecordedOutcome] = []
        self.copies: list[DeliveredCopy] = []
        self.excuses: dict[tuple[str, str], set[tuple[object, ...]]] = {}
        """(token, recipient) → the accidents of which each may have caused one more copy."""
        self.uncertain: set[str] = set()
        """Tokens of messages that may have been stored although their client was told to try again."""
        self.lost_reports: set[str] = set()
        """Tokens of messages whose delivery report failed; the postmaster has been told."""

    def log(self, who: str, what: str, **facts: object) -> None:
        """Add a line to the trace."""
        words = " ".join(f"{name}={value}" for name, value in facts.items() if value not in ("", None))
        self.trace.append(f"{self.now():14.6f} {who:<16} {what} {words}".rstrip())

    def violation(self, who: str, what: str) -> None:
        """An invariant does not hold."""
        self.violations.append(f"at {self.now():.6f}, {who}: {what}")
        self.log(who, "VIOLATION", text=what)

    @property
    def digest(self) -> str:
        """The SHA-256 of the trace: equal for equal runs."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()

    def promise(self, message: PromisedMessage) -> None:
        """A message is in a spool."""
        key = (message.spool, message.queue_id)
        if key not in self.promised:
            self.promised[key] = message
            self.log(message.spool, "promised", id=message.queue_id, token=message.token)

    def excuse(self, spool: str, queue_id: str, recipient: object, *accident: object) -> None:
        """An accident befell an attempt: this recipient may get one copy more."""
        message = self.promised.get((spool, queue_id))
        if message is not None:
            self.excuses.setdefault((message.token, str(recipient)), set()).add((spool, queue_id, *accident))

    def delivered(self, place: str, envelope_sender: object, recipients: Sequence[str], content: bytes) -> None:
        """A message has reached its destination for these recipients; its content must be what was sent."""
        token = token_of(content)
        report = envelope_sender is None and not token
        if report:
            token = quoted_in(content)
        for recipient in recipients:
            self.copies.append(DeliveredCopy(self.now(), place, recipient, token, report))
            self.log(place, "copy", token=token, recipient=recipient, report=report or "")
        if report:
            return
        sent = self.sent.get(token)
        if sent is None:
            self.violation(place, f"a message was delivered that no client sent: {content[:60]!r}")
        elif not content.endswith(sent) or _TRACE_FIELDS.fullmatch(content[: len(content) - len(sent)]) is None:
            self.violation(place, f"the content of {token} was changed on its way")
