"""Replies: three digits, an enhanced code, lines of text (RFC 5321 §4.2, RFC 2034, RFC 3463).

A ``Reply`` is a value both roles share: the receiving SMTP says it, the sending SMTP reads it, an outcome quotes
it.  It knows nothing of the wire; ``protocol.writers`` makes bytes of it and checks that they are safe to send,
``protocol.readers`` makes it from bytes.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Reply", "Verdict"]


class Reply(NamedTuple):
    """One reply, single or multi-line.

    ``code`` is the three digits; ``text`` the text after code and enhanced code, lines joined by ``\\n``;
    ``enhanced`` the status of RFC 3463 as written (``"5.1.1"``), or "" where there is none (greetings, 3yz
    replies, a peer without ENHANCEDSTATUSCODES).
    """

    code: int
    enhanced: str = ""
    text: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The text's lines, at least one."""
        return tuple(self.text.split("\n"))

    @property
    def positive(self) -> bool:
        """True for 2yz and 3yz: the command did what was asked, or waits for its rest."""
        return 200 <= self.code < 400

    @property
    def transient(self) -> bool:
        """True for 4yz: the same request may work later."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """True for 5yz: the same request will not work later."""
        return 500 <= self.code < 600

    def __str__(self) -> str:
        """One line for people and logs: ``550 5.1.1 no such mailbox``."""
        code, enhanced, text = self
        if "\n" in text:
            text = text.replace("\n", " / ")
        start = f"{code} {enhanced}" if enhanced else f"{code}"
        return f"{start} {text}" if text else start


class Verdict(NamedTuple):
    """An answer with its reason: what the peer is told, and which rule said so.

    ``reason`` is for the operator (logs, stories, the console) and is never sent to the peer.
    """

    reply: Reply
    reason: str = ""
