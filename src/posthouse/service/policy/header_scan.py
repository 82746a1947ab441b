"""Header scan: what an intake must know of a message's header section, found as the content streams.

The scan goes through the whole header section, however long, and counts in it: the Received fields, and among them
those of this host, to detect a loop (RFC 5321 §6.3); and its octets.  A message above one of the limits is refused.  A
header section in the first piece of the content, the common case, is searched in place; of a longer one the scan keeps
at most the line that is not complete.

The first 64 KiB also give the Message-ID, by which operators ask for the message later, and tell whether an empty line
must be put between our fields and the content.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from posthouse.core import Reply, Verdict
from posthouse.message.headers import gap, received_in_lines, split
from posthouse.service.config.model import Config, ListenerSettings

__all__ = ["HEAD_AT_MOST", "HeaderLimits", "HeaderScan", "header_too_large"]

#: Octets of the content that are searched for the Message-ID.
HEAD_AT_MOST: Final = 65_536
#: Octets of an incomplete line that are kept: enough for the beginning of our own "by" line.
_LINE_AT_MOST: Final = 512
_FIRST_LINE: Final = 1_000  # octets that show whether the first line is a field
_PIECES: Final = 8  # that are kept apart
_NAME: Final = re.compile(rb"(?:[ \t]|\r\n[ \t])*(<[^<>\x00-\x20\x7f]{1,250}>)")


class HeaderLimits(NamedTuple):
    """Limits on a header section: octets, Received fields in all, and Received fields that this host wrote, which are
    recognised by ``own``, the beginning of their second line in lower case, wherever other hosts have folded it."""

    octets: int
    hops: int
    passes: int
    own: bytes
    hostname: str

    @classmethod
    def of(cls, config: Config, listener: ListenerSettings) -> HeaderLimits:
        """The limits of a listener."""
        name, relay = config.hostname, config.relay
        own = f"by {name} with ".lower().encode()
        return cls(listener.max_header_size, relay.max_hops, relay.max_passes, own, name)


class HeaderScan:
    """The scan of one message: ``write`` takes its content until ``done``, and ``end`` finishes it.

    ``refusal`` is the verdict as soon as a limit is reached.  In the end ``message_id`` is the Message-ID with its
    angle brackets ("" if there is none), and ``gap`` what must stand between our fields and the content: an empty line,
    or b"".
    """

    __slots__ = (
        "_head",
        "_kept",
        "_limits",
        "_line",
        "_octets",
        "_passes",
        "done",
        "gap",
        "hops",
        "message_id",
        "refusal",
    )

    def __init__(self, limits: HeaderLimits) -> None:
        self._limits = limits
        #: The first octets, if the header section did not end in the first piece: the pieces themselves, which the
        #: spool keeps too, and not a copy of them.  None when they have been searched.
        self._head: list[bytes | bytearray] | None = []
        self._kept = 0
        self._line = b"\r\n"  # the incomplete line, with the CRLF before it
        self._octets = 0
        self._passes = 0
        self.done = False
        self.gap = b""
        #: The Received fields so far.
        self.hops = 0
        self.message_id = ""
        self.refusal: Verdict | None = None

    def begin(self, chunk: bytes, end: int, lowered: bytes) -> None:
        """Take the first octets, with the whole header section among them, which ends at ``end``; ``lowered`` is it in
        lower case, with a CRLF in front."""
        self.done = True
        self.gap = gap(chunk)
        self.message_id = _message_id(chunk, lowered, -2)
        self._octets = end
        self._tally(lowered)
        self._judge()

    def write(self, chunk: bytes) -> None:
        """Take the next octets."""
        if not self._kept:
            end = 0 if chunk.startswith(b"\r\n") else chunk.find(b"\r\n\r\n")
            if end >= 0:  # the common case: the whole header section is in the first piece
                self.begin(chunk, end, b"\r\n" + chunk[:end].lower())
                return
        if self._head is not None and self._keep(self._head, chunk):
            self.done = True
        data = self._line + chunk
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            self._octets += end - len(self._line)
            self._line = b""
            self._tally(data[:end].lower())
            self._judge()
            self._finish()
            return
        self._octets += len(chunk)
        last = data.rfind(b"\r\n")
        if last >= 0 and len(data) - last <= _LINE_AT_MOST:
            self._line = data[last:]
            data = data[:last]
        else:  # the name of the field in which the piece ends is in it
            self._line = b"\r" if data.endswith(b"\r") else b""
        if data:
            self._tally(data.lower())
        if self.done:
            self._octets = 0
        self._judge()

    def _keep(self, head: list[bytes | bytearray], chunk: bytes) -> bool:
        """Keep the first octets until there are enough; returns whether they show that the header section has ended."""
        before = self._kept
        self._kept += len(chunk)
        if len(head) < _PIECES:
            head.append(chunk)
        else:
            last = head[-1]
            if not isinstance(last, bytearray):
                last = head[-1] = bytearray(last)
            last += chunk
        if before < _FIRST_LINE <= self._kept and gap(b"".join(head)):
            self._finish()
            return True
        if self._kept < HEAD_AT_MOST:
            return False
        octets = b"".join(head)
        self._finish()
        return _has_no_more_fields(octets[:HEAD_AT_MOST])

    def _tally(self, lowered: bytes) -> None:
        """Count in lines in lower case, each with the CRLF before it."""
        self.hops += received_in_lines(lowered)
        if self.hops:
            self._passes += lowered.count(self._limits.own)

    def _judge(self) -> None:
        limits = self._limits
        if self.hops >= limits.hops:
            text = f"This message goes in circles: it has {self.hops} Received fields (limit {limits.hops})"
            self.refusal = Verdict(Reply(554, "5.4.6", text), "max_hops reached")
        elif self._passes >= limits.passes:
            text = f"This message goes in circles: {limits.hostname} has had it {self._passes} times before"
            self.refusal = Verdict(Reply(554, "5.4.6", text), "max_passes reached")
        elif self._octets > limits.octets:
            self.refusal = header_too_large(limits.octets)

    def _finish(self) -> None:
        """Search the first octets, if that has not been done; the scan is done unless it goes on behind them."""
        if self._head is None:
            self.done = True
            return
        octets = b"".join(self._head)
        self._head = None
        self.gap = gap(octets)
        end = 0 if octets.startswith(b"\r\n") else octets.find(b"\r\n\r\n")
        self.done = end >= 0
        section = b"\r\n" + (octets if end < 0 else octets[:end])
        self.message_id = _message_id(section, section.lower(), 0)

    def end(self) -> None:
        """The content is complete, perhaps inside its header section."""
        if not self.done:
            self._tally(self._line.lower())
            self._judge()
            self._finish()
            self.done = True


def header_too_large(limit: int) -> Verdict:
    """The refusal of a header section over ``limit`` octets."""
    text = f"Header section too large (limit {limit} octets)"
    return Verdict(Reply(552, "5.3.4", text), "larger than max_header_size")


def _has_no_more_fields(head: bytes) -> bool:
    """Whether the first octets of a content show that its body has begun, although no empty line is among them: lines
    that are no fields follow the last field."""
    return b"\r\n" in head[split(head).body_offset :]


def _message_id(content: bytes, lowered: bytes, offset: int) -> str:
    """The Message-ID of a header section with its angle brackets, or "" if there is none.

    ``lowered`` is the section in lower case, with a CRLF in front of each line; what stands at a place in it stands in
    ``content``, which may go on behind the section, at that place plus ``offset``.

    The search is bounded: a message whose Message-ID is not found is still found by its queue id.
    """
    at = lowered.find(b"\r\nmessage-id:", 0, HEAD_AT_MOST) + 13
    if at < 13:
        return ""
    found = _NAME.match(content, at + offset, min(at + 400, len(lowered)) + offset)
    return "" if found is None else found[1].decode("utf-8", "replace")
