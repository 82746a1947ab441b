"""Verdicts on recipients: what RCPT is answered for each meaning of an address.

The session asks here, and so do the operations that tell what a sender would be answered (``explain``, ``check
address``): one source, so that they cannot differ.
"""

from __future__ import annotations

from typing import Final

from posthouse.core import Reply, Verdict
from posthouse.service.directory.directory import Foreign, Local, Moved, Resolution, Unknown
from posthouse.service.policy.vrfy import moved

__all__ = ["foreign_verdict", "recipient_verdict"]

_OK: Final = Verdict(Reply(250, "2.1.5", "Recipient OK"), "")
_RELAYED: Final = Verdict(Reply(250, "2.1.5", "Recipient OK; will be relayed"), "the peer is in trusted_networks")
_NO_RELAY: Final = Verdict(
    Reply(550, "5.7.1", "Relaying denied"), "the domain is not ours and the peer is not in trusted_networks"
)
_UNKNOWN: Final = Verdict(Reply(550, "5.1.1", "Mailbox does not exist"), "no such name in a domain of ours")
_PAUSED: Final = Verdict(Reply(450, "4.2.1", "Mailbox takes no mail at the moment; try again later"), "paused")
_OVER: Final = Verdict(Reply(552, "5.2.2", "Mailbox is full"), "over quota")
_OVER_LATER: Final = Verdict(Reply(452, "4.2.2", "Mailbox is full; try again later"), "over quota")


def foreign_verdict(*, relays: bool) -> Verdict:
    """The verdict on a recipient in a domain that is not ours, by whether the peer may send there."""
    return _RELAYED if relays else _NO_RELAY


def recipient_verdict(
    found: Resolution, *, relays: bool = False, used: int = 0, size: int = 0, utf8: bool = True
) -> Verdict:
    """The verdict on a recipient whose address means ``found``.

    Args:
        relays: whether the peer may send to domains that are not ours.
        used: octets in the mailbox, which matter only where its domain has a quota.
        size: octets that the message is said to have (SIZE), 0 if nothing was said.
        utf8: whether the reply may name an address that is not ASCII.
    """
    if isinstance(found, Local):
        if found.paused:
            return _PAUSED
        quota = found.domain.quota
        if quota and (used + size > quota or used >= quota):
            return _OVER if found.domain.quota_action == "refuse" else _OVER_LATER
        return _OK
    if isinstance(found, Foreign):
        return foreign_verdict(relays=relays)
    if isinstance(found, Moved):
        return moved(found, utf8=utf8)
    if isinstance(found, Unknown):
        return _UNKNOWN._replace(reason=found.why) if found.why else _UNKNOWN
    return _OK
