"""The shapes of the catalogue of reply codes: what is said about one code, in two languages.

Only shapes live here, so that the data (``basic``, ``enhanced``, ``policy``) and the search over it
(``lookup``) can both stand on them without standing on each other.
"""

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
    """Who has to act before the same mail can get further."""

    NOBODY = "nobody"
    SENDER = "sender"
    RECIPIENT = "recipient"
    SENDING_SYSTEM = "sending system"
    RECEIVING_SYSTEM = "receiving system"
    NETWORK = "network"
    POLICY = "policy"

    @property
    def label(self) -> Text:
        """The same for people, as a noun."""
        return _LABELS[self.value]


_LABELS = {
    "nobody": Text("nobody: nothing is wrong", "无人：一切正常"),
    "sender": Text("the author of the message", "发件人"),
    "recipient": Text("the recipient", "收件人"),
    "sending system": Text("the sending system or its operator", "发送系统或其管理员"),
    "receiving system": Text("the receiving system or its operator", "接收系统或其管理员"),
    "network": Text("the network or the DNS between the two", "双方之间的网络或 DNS"),
    "policy": Text("the receiver's policy: sender and receiver have to agree", "接收系统的策略：需由收发双方协商"),
}


class BasicCode(NamedTuple):
    """A three-digit reply code (RFC 5321 §4.2).

    ``whose`` says who has to act; ``next_step`` what the sending SMTP, or the person behind it, does now.
    ``occasion`` is when Posthouse itself gives the code, or None where only peers do (``peers_only``).  ``breadth``
    is how much the code leaves open: 0 says it all, 1 names a family of reasons, 2 says hardly more than its first
    digit; an enhanced code beside it is worth reading from 1 up.  ``registered`` is False where no RFC defines the
    code and the entry rests on its digits.  ``note`` is anything else worth knowing.
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
        """True where Posthouse never gives this code itself and only meets it."""
        return self.occasion is None


class EnhancedCode(NamedTuple):
    """An enhanced status code in one class, ``5.1.1`` (RFC 3463).

    ``basic`` are the reply codes the registry associates with it in this class, possibly none.  ``registered`` is
    False for a fallback: the registry does not have the code, or no RFC means it for this class.
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

    ``number`` is subject and detail (``"1.1"``); ``classes`` the first digits that make sense with it; ``basic`` the
    registry's associated reply codes.  ``success`` replaces the meaning in class 2.  ``step`` is what to do in the
    only or the permanent case, ``again`` in the transient one (None: wait and try again).
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
