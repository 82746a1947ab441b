"""Value classes of the catalogue of reply codes, with texts in English and Chinese."""

from __future__ import annotations

import enum
from typing import NamedTuple

__all__ = ["BasicCode", "EnhancedCode", "Registration", "Text", "Whose"]


class Text(NamedTuple):
    """One statement in English and in simplified Chinese."""

    en: str
    zh: str

    def said(self, lang: str) -> str:
        """The statement in ``lang``: any tag that begins with ``zh`` gives Chinese, all others English."""
        return self.zh if lang.lower().startswith("zh") else self.en


class Whose(enum.StrEnum):
    """The party that has to act before the message can be delivered."""

    NOBODY = "nobody"
    SENDER = "sender"
    RECIPIENT = "recipient"
    SENDING_SYSTEM = "sending system"
    RECEIVING_SYSTEM = "receiving system"
    NETWORK = "network"
    POLICY = "policy"

    @property
    def label(self) -> Text:
        """The party as a noun phrase, for display."""
        return _LABELS[self.value]


_LABELS = {
    "nobody": Text("nobody: nothing is wrong", "无需任何人处理：一切正常"),
    "sender": Text("the author of the message", "发件人"),
    "recipient": Text("the recipient", "收件人"),
    "sending system": Text("the sending system or its operator", "发送系统或其管理员"),
    "receiving system": Text("the receiving system or its operator", "接收系统或其管理员"),
    "network": Text("the network or the DNS between the two", "双方之间的网络或 DNS"),
    "policy": Text("the receiver's policy: sender and receiver have to agree", "接收系统的策略：需由收发双方协商"),
}


class BasicCode(NamedTuple):
    """A three-digit reply code (RFC 5321 §4.2).

    Args:
        whose: The party that has to act.
        next_step: What the sending SMTP or its user does next.
        occasion: When Posthouse gives the code, or None if only peers give it (``peers_only``).
        note: Further remarks.
        breadth: How general the code is: 0 is specific, 1 is a family of reasons, 2 is hardly more than the first
            digit.  From 1 on an enhanced code says more than the basic code.
        registered: False if no RFC defines the code and the entry is made from its digits.
    """

    code: int
    title: Text
    meaning: Text
    whose: Whose
    next_step: Text
    source: str
    occasion: Text | None = None
    note: Text | None = None
    breadth: int = 0
    registered: bool = True

    @property
    def peers_only(self) -> bool:
        """True if Posthouse never gives this code and only receives it."""
        return self.occasion is None


class EnhancedCode(NamedTuple):
    """An enhanced status code in one class, ``5.1.1`` (RFC 3463).

    ``basic`` are the reply codes that the registry associates with it in this class, possibly none.  ``registered`` is
    False if the registry does not have the code, or no RFC uses it in this class.
    """

    code: str
    title: Text
    meaning: Text
    whose: Whose
    next_step: Text
    source: str
    basic: tuple[int, ...] = ()
    note: Text | None = None
    registered: bool = True


class Registration(NamedTuple):
    """One row of the IANA registry of enhanced status codes, ``X.1.1`` with its classes.

    Args:
        number: Subject and detail (``"1.1"``).
        classes: The first digits that have a meaning with it.
        basic: The reply codes that the registry associates with it.
        step: What to do after a permanent failure, or in the only class.
        again: What to do after a transient failure (None: wait and try again).
        success: The meaning in class 2.
    """

    number: str
    classes: tuple[int, ...]
    basic: tuple[int, ...]
    whose: Whose
    source: str
    title: Text
    meaning: Text
    step: Text | None = None
    again: Text | None = None
    success: Text | None = None
    note: Text | None = None
