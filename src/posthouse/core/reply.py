"""SMTP reply: a three-digit code, an enhanced status code and lines of text (RFC 5321 §4.2, RFC 2034, RFC 3463).

Server and client use the same value.  ``protocol.writers`` encodes it and checks that it is safe to send;
``protocol.readers`` decodes it.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Reply", "Verdict"]


class Reply(NamedTuple):
    """One reply of one or more lines.

    Args:
        enhanced: Enhanced status code as written (``"5.1.1"``), or "" (greetings, 3yz replies, a peer without
            ENHANCEDSTATUSCODES).
        text: The text after the codes, lines joined by ``\\n``.
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
        """True for 2yz and 3yz: the command was carried out, or its continuation is awaited."""
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
        """One line for logs and reports: ``550 5.1.1 no such mailbox``."""
        code, enhanced, text = self
        if "\n" in text:
            text = text.replace("\n", " / ")
        start = f"{code} {enhanced}" if enhanced else f"{code}"
        return f"{start} {text}" if text else start


class Verdict(NamedTuple):
    """A reply to the peer, with the rule that decided.

    ``reason`` is for the operator (logs, histories, the console) and is never sent to the peer.
    """

    reply: Reply
    reason: str = ""
