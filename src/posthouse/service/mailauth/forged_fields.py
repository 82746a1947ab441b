"""Removal of forged Authentication-Results fields from a message on its way into the spool (RFC 8601 §5).

A field that claims to be this server's and came from outside would be believed by every program behind it.  It is
removed, not renamed: a renamed field would still be shown to people, and a signature that covers it fails either way.
The content checks see the message as it came, so a signature that covers the field is verified with it.

The header section is held back until it has ended, at most ``limit`` octets; what follows passes without a copy.  A
header section above that limit is refused by the listener's scan (``policy.header_scan``), so more than that is held
of no message that has one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from posthouse.mailauth.results import without_forged
from posthouse.message.headers import gap, split

__all__ = ["ForgedFields"]

_NAME: Final = b"authentication-results"
_FIRST_LINE: Final = 1_000  # octets that show whether the first line is a field


class ForgedFields:
    """The filter of one message; ``authserv_ids`` are the names of this server, ``limit`` the octets of the longest
    header section."""

    __slots__ = ("_authserv_ids", "_head", "_limit", "_passed")

    def __init__(self, authserv_ids: Collection[str], limit: int) -> None:
        self._authserv_ids = authserv_ids
        self._limit = limit
        self._head = bytearray()
        self._passed = False  # the header section has been given on

    def write(self, chunk: bytes) -> bytes:
        """The octets that may be stored now."""
        if self._passed:
            return chunk
        head = self._head
        if not head:
            end = 0 if chunk.startswith(b"\r\n") else chunk.find(b"\r\n\r\n")
            if end >= 0:  # the common case: the whole header section is in the first piece
                self._passed = True
                return self._filtered(chunk, end + 2)
        start = max(0, len(head) - 3)
        head += chunk
        end = 0 if head.startswith(b"\r\n") else head.find(b"\r\n\r\n", start)
        if end < 0 and len(head) <= self._limit and not (len(head) >= _FIRST_LINE and self._has_no_fields()):
            return b""
        return self._rest(end)

    def end(self) -> bytes:
        """The octets that are left: those of a message in which no header section has ended."""
        return b"" if self._passed else self._rest(-1)

    def _has_no_fields(self) -> bool:
        return bool(gap(bytes(self._head[:_FIRST_LINE])))

    def _rest(self, end: int) -> bytes:
        """All that is held; ``end`` is where the line end before the empty line begins, -1 if there is none."""
        self._passed = True
        data, self._head = bytes(self._head), bytearray()
        return self._filtered(data, end + 2 if end >= 0 else len(data))

    def _filtered(self, data: bytes, end: int) -> bytes:
        """``data`` without the forged fields of its header section, which is in the first ``end`` octets."""
        if _NAME not in data[:end].lower():
            return data
        section = split(data, len(data)).headers
        return without_forged(section, self._authserv_ids) + data[len(section) :]
