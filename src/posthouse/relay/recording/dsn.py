"""Delivery status notifications: the recipients that a sender gets a report about, and the reports.

The rules are those of RFC 3461 §5.2 and RFC 5321 §6.1:

    ==============================  ================  =================================================================
    a recipient                     if NOTIFY         then the report says
    ==============================  ================  =================================================================
    failed, or was given up         has FAILURE, or   ``failed``
                                    was not given
    is late for the first time      has DELAY, or     ``delayed``
                                    was not given
    delivered here                  has SUCCESS       ``delivered``
    given to a host without DSN     has SUCCESS       ``relayed``
    given to a host with DSN        –                 nothing: that host was asked to report
    ==============================  ================  =================================================================

Recipients whose outcomes come at one instant share a report, whatever it says of each (``recording.recorder``).
Discarded mail counts as delivered.

**No loops.**  The sender of a message with the null reverse-path gets no report.  If such a message is a delivery
report, of whichever host, and fails, the postmaster gets one *notice*.  Nothing is sent about a failed notice, about
other mail without a sender, and about mail to the postmaster; the log and the message's history have it.  A report to
an address that does not exist in a domain of this server becomes a notice at once.  A failure therefore makes at most
one report, a report at most one notice, and a notice nothing (``message.dsn.report`` says how it recognises each).

Reports are mail like any other: they are stored in the spool, due now, and routed by their addressee's domain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from posthouse.core import Address, Content, Handover, Notify, Outcome, Recipient, Reply, Result
from posthouse.message.dsn.model import Action, OriginalMessage, RecipientStatus
from posthouse.message.dsn.report import LIMIT, compose_report, is_report
from posthouse.protocol.grammar import GrammarError, with_ascii_domain
from posthouse.spool.interface import QueuedRecipient, RecipientState, Report, Settlement, StoredMessage

__all__ = ["DsnWriter", "Ends", "original_of", "status_of"]

#: Some recipients of one message, and what is recorded of each.
Ends = Sequence[tuple[QueuedRecipient, Settlement]]

_MOST = 250  # recipients in one report
_DROPPED = Reply(554, "5.0.0", "removed from the queue by an operator")
# A peer as outcomes name it: mx.sina.com[192.0.2.7]:25, 192.0.2.7:25, [2001:db8::1]:25, mx.sina.com, [192.0.2.7].
_PEER = re.compile(
    r"(?:\[(?P<literal>[0-9A-Fa-f.:]+)\]|(?P<name>[^\s\[\]/:@]+)(?:\[[0-9A-Fa-f.:%]+\])?)(?::[0-9]{1,5})?"
)
_V4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")


def status_of(
    waiting: QueuedRecipient, settlement: Settlement, now: float, until: float | None = None
) -> RecipientStatus | None:
    """The status of one recipient for a report to the sender, None for no report; ``until`` is when retries end."""
    recipient, outcome = waiting.recipient, settlement.outcome
    notify = recipient.notify
    if settlement.state is RecipientState.FAILED:
        if notify is not None and Notify.FAILURE not in notify:
            return None
        expired = outcome.reply is None or not outcome.reply.permanent
        return _status(recipient, Action.FAILED, outcome, now, expired=expired)
    if settlement.state is RecipientState.DELIVERED:
        if notify is None or Notify.SUCCESS not in notify or outcome.handover is Handover.TAKEN:
            return None
        relayed = outcome.handover is Handover.RELAYED
        return _status(recipient, Action.RELAYED if relayed else Action.DELIVERED, outcome, now)
    if not settlement.warned or waiting.warned or (notify is not None and Notify.DELAY not in notify):
        return None
    return _status(recipient, Action.DELAYED, outcome, now, until)


def _status(
    recipient: Recipient,
    action: Action,
    outcome: Outcome,
    now: float,
    until: float | None = None,
    *,
    expired: bool = False,
) -> RecipientStatus:
    address = recipient.address
    final = None if address.domain.isascii() or not address.local.isascii() else _in_ascii(address)
    remote = _remote(outcome)
    command = outcome.command if remote else ""
    return RecipientStatus(recipient, action, outcome.reply, remote, now, until, expired, command, final)


def original_of(message: StoredMessage, content: Content | None, limit: int = LIMIT) -> OriginalMessage:
    """``message`` with as much of its content as a report may need, which is read from wherever it is."""
    head = bytearray()
    for chunk in content.chunks(limit) if content is not None else ():
        head += chunk[: limit - len(head)]
        if len(head) >= limit:
            break
    whole = content is not None and content.size <= limit
    return OriginalMessage(message.id, message.envelope, message.received, bytes(head), whole)


class DsnWriter:
    """Writes the reports of one daemon.

    Args:
        hostname: The reporting host.
        postmaster: The address that a report gives for questions; it gets the notices.
        destination: The spool's key for an address.
        random: For Message-IDs.
        addressees: The addresses that get the mail for an address: the members of an alias, the address itself, or
            none if it is in a local domain and does not exist.  Without it every address stands for itself.
        zone: The offset of local time from UTC, in minutes, at a moment.
        signatures: Gives the header fields that sign a report, b"" for none; they are put in front of it.
    """

    def __init__(
        self,
        *,
        hostname: str,
        postmaster: Address,
        destination: Callable[[Address], str],
        random: Random,
        addressees: Callable[[Address], Sequence[Address]] | None = None,
        zone: Callable[[float], int] | None = None,
        signatures: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._hostname = hostname
        self.postmaster = postmaster
        self._destination = destination
        self._random = random
        self._addressees = addressees or _itself
        self._zone = zone or _utc
        self._signatures = signatures

    def owes(self, message: StoredMessage, ends: Ends) -> bool:
        """False if there is certainly nothing to report; asked of every record, so it looks at little."""
        for waiting, settlement in ends:
            if settlement.state is RecipientState.DELIVERED:
                if waiting.recipient.notify is not None and message.envelope.sender is not None:
                    return True
            elif settlement.state is RecipientState.FAILED or (settlement.warned and not waiting.warned):
                return True
        return False

    def reports(self, original: OriginalMessage, ends: Ends, *, now: float, until: float | None = None) -> list[Report]:
        """The reports that these ends cause, to be stored with them; ``original`` from ``original_of``."""
        if original.envelope.sender is None:
            return self._notices(original, ends, now)
        statuses = [status for waiting, end in ends if (status := status_of(waiting, end, now, until)) is not None]
        return self.write(original, statuses, now)

    def dropped(self, original: OriginalMessage, recipients: Sequence[QueuedRecipient], *, now: float) -> list[Report]:
        """The reports about recipients that an operator dropped."""
        return self.reports(
            original,
            [
                (waiting, Settlement(waiting.key, RecipientState.FAILED, now, _failed(waiting, _DROPPED)))
                for waiting in recipients
            ],
            now=now,
        )

    def write(self, original: OriginalMessage, statuses: Sequence[RecipientStatus], now: float) -> list[Report]:
        """Reports of ``statuses`` to the sender of ``original``; none if it has none."""
        sender = original.envelope.sender
        if sender is None or not statuses:
            return []
        to = self._addressees(sender)
        if to:
            return self._compose(original, statuses, to, now, notice=False)
        failed = [status for status in statuses if status.action is Action.FAILED]
        return self._notice(original, failed, now)

    def _notices(self, original: OriginalMessage, ends: Ends, now: float) -> list[Report]:
        """The notice to the postmaster about a report that failed, whatever reports its recipients asked for."""
        if not is_report(original.content):
            return []
        statuses = [
            status
            for waiting, end in ends
            if (status := status_of(_without_requests(waiting), end, now)) is not None
            and status.action is Action.FAILED
        ]
        return self._notice(original, statuses, now)

    def _notice(self, original: OriginalMessage, statuses: Sequence[RecipientStatus], now: float) -> list[Report]:
        to = self._addressees(self.postmaster)
        lost = {str(status.recipient.address).lower() for status in statuses}
        to = [one for one in to if str(one).lower() not in lost]
        others = [status for status in statuses if not status.recipient.address.is_postmaster]
        return self._compose(original, others, to, now, notice=True) if to and others else []

    def _compose(
        self,
        original: OriginalMessage,
        statuses: Sequence[RecipientStatus],
        to: Sequence[Address],
        now: float,
        *,
        notice: bool,
    ) -> list[Report]:
        addressees = [_in_ascii(one) for one in to]
        destinations = tuple(map(self._destination, addressees))
        made = []
        for start in range(0, len(statuses), _MOST):
            composed = compose_report(
                original,
                statuses[start : start + _MOST],
                to=addressees,
                hostname=self._hostname,
                postmaster=self.postmaster,
                date=now,
                message_id=f"{original.id}.{self._random.getrandbits(64):016x}@{self._hostname}",
                offset_minutes=self._zone(now),
                notice=notice,
            )
            content = composed.content
            if self._signatures is not None:
                content = self._signatures(content) + content
            made.append(Report(composed.envelope, content, destinations, now))
        return made


def _failed(waiting: QueuedRecipient, reply: Reply) -> Outcome:
    return Outcome(waiting.recipient, Result.FAILED, reply, reply.text)


def _without_requests(waiting: QueuedRecipient) -> QueuedRecipient:
    return waiting._replace(recipient=waiting.recipient._replace(notify=None))


def _remote(outcome: Outcome) -> str:
    """The host that gave the reply, as Remote-MTA names it; "" if we gave it ourselves (RFC 3464 §2.3.5)."""
    if outcome.reply is None or (outcome.result is Result.DELIVERED and outcome.handover is Handover.FINAL):
        return ""
    match = _PEER.fullmatch(outcome.peer)
    if match is None:  # no peer, a path, or a mailbox
        return ""
    literal, name = match["literal"], match["name"]
    if literal is None:
        return f"[{name}]" if _V4.fullmatch(name) else name
    return f"[IPv6:{literal}]" if ":" in literal else f"[{literal}]"


def _in_ascii(address: Address) -> Address:
    """The same mailbox with its domain in A-labels: then only its local part may need SMTPUTF8."""
    try:
        return with_ascii_domain(address)
    except GrammarError:
        return address


def _itself(address: Address) -> Sequence[Address]:
    return (address,)


def _utc(now: float) -> int:
    return 0
