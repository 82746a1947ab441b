"""Header scan: what an intake must know of the content's first octets, found as the content streams.

These are the Received fields, counted to detect a loop (RFC 5321 §6.3); the Message-ID, by which operators ask for the
message later; and whether an empty line must be put between our fields and the content.  At most 64 KiB are looked at.
"""

from __future__ import annotations

import re
from typing import Final

from posthouse.message.headers import gap_and_hops

__all__ = ["HEAD_AT_MOST", "HeaderScan"]

#: Octets of the content that are searched for its header section.
HEAD_AT_MOST: Final = 65_536
_NAME: Final = re.compile(rb"(?:[ \t]|\r\n[ \t])*(<[^<>\x00-\x20\x7f]{1,250}>)")


class HeaderScan:
    """The scan of one message: ``write`` takes its content until ``done``, and ``end`` finishes it.

    Then ``hops`` is the number of Received fields, ``message_id`` the Message-ID with its angle brackets ("" if there
    is none), and ``gap`` what must stand between our fields and the content: an empty line, or b"".
    """

    __slots__ = ("_head", "done", "gap", "hops", "message_id")

    def __init__(self) -> None:
        self._head: bytearray | None = None  # the octets so far, if the first piece was not enough
        self.done = False
        self.gap = b""
        self.hops = 0
        self.message_id = ""

    def write(self, chunk: bytes) -> None:
        """Take the next octets."""
        head = self._head
        if head is None:
            end = 0 if chunk.startswith(b"\r\n") else chunk.find(b"\r\n\r\n", 0, HEAD_AT_MOST)
            if end >= 0:  # the common case: the whole header section is in the first piece
                self._search(chunk, end)
                return
            head = self._head = bytearray()
        searched = max(0, len(head) - 3)
        head += chunk[: HEAD_AT_MOST - len(head)]
        if head.startswith(b"\r\n") or head.find(b"\r\n\r\n", searched) >= 0 or len(head) >= HEAD_AT_MOST:
            self._search(bytes(head), len(head))

    def _search(self, head: bytes, end: int) -> None:
        self._head = None
        self.done = True
        self.gap, self.hops = gap_and_hops(head)
        self.message_id = _message_id(head[:end])

    def end(self) -> None:
        """The content is complete, perhaps inside its header section."""
        if not self.done:
            head = b"" if self._head is None else bytes(self._head)
            self._search(head, len(head))


def _message_id(head: bytes) -> str:
    """The Message-ID of a header section with its angle brackets, or "" if there is none.

    The search is bounded: a message whose Message-ID is not found is still found by its queue id.
    """
    at = head.lower().find(b"\nmessage-id:")
    if at >= 0:
        at += 12
    elif head[:11].lower() == b"message-id:":
        at = 11
    else:
        return ""
    found = _NAME.match(head, at, at + 400)
    return "" if found is None else found[1].decode("utf-8", "replace")
