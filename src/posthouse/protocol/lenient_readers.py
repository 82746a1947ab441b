"""Readers of content that a lenient receiver uses: any line end becomes CRLF.

The end of content stays CRLF.CRLF alone, looked for in the octets as they came, before anything is changed: no octets
that a strict reader takes for content end it here, and none that end it there go on here.  What a line end becomes is
decided afterwards:

    LF without CR          CRLF
    CR CR LF (2 to 8 CR)   one CRLF: text mode has added the CRs
    CR without LF          CRLF

A message whose lines end in CRLF alone passes through the strict reader's own code; only a piece that has something
else is normalised.

**Dots.**  Behind CRLF one dot is removed (RFC 5321 §4.5.2).  Behind a bare LF it is not known whether the client has
stuffed: smtplib has, curl has not.  So one of *two* dots is removed there and a single one stays, and a line that is a
single dot by normalising is content like any other: on its way out it is stuffed again, because then CRLF is in front
of it.

Also made good for: the "From " line of an mbox file, which would turn the header into body, becomes the field
X-Mailbox-Line, as Postfix does it.  Nothing is lost, and the date in it stays readable.
"""

from __future__ import annotations

import re
from typing import Final

from posthouse.core import Remark
from posthouse.protocol.readers import ChunkReader, DotReader, InputFault, only_crlf
from posthouse.protocol.refusals import CHUNK_FAULTS, CONTENT_FAULTS

__all__ = ["ContentNormaliser", "LenientChunkReader", "LenientDotReader"]

# CRs before an LF that are one line end with it, at most, and so the octets that a reader may have to hold back.
_MOST_CR: Final = 8
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_BARE_CR: Final = re.compile(rb"\r(?!\n)")
_STUFFED_LF: Final = re.compile(rb"(?<!\r)\n\.\.")
# The first line of a message in an mbox file: "From sender weekday month day time …".  A program that took it for text
# has put ">" in front of it, or another such line above it.
_MBOX: Final = re.compile(rb">*+From [^ \r\n]+ +(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +[A-Z0-9]")
# What every such line begins with; fewer octets than that may become one.
_MAYBE_MBOX: Final = (b">", b"From ")
_SHORT: Final = 5
_MBOX_LINES: Final = 10
_LONGEST_OPENING: Final = 998
# What a client that ends its lines with LF takes for the end of content.
_LF_ENDS: Final = (b"\n.\n", b"\n.\r\n")
# Octets of content in whose lines a fault is numbered, where it is not in the first piece: counting the lines of large
# content would take 1/3 of the time that reading takes.
_COUNTED: Final = 65_536


class ContentNormaliser:
    """What the readers of one message's content share: its remarks, and the lines counted so far.

    ``seven_bit``: MAIL did not announce 8-bit content, so that 8-bit octets are remarked.  ``chunked``: the content
    comes by BDAT, for which a strict receiver has other replies.
    """

    __slots__ = (
        "_chunked",
        "_found",
        "_held",
        "_lines",
        "_mbox_lines",
        "_octets",
        "_opening",
        "_seven_bit",
        "ended_by_lf",
        "kept",
        "used",
    )

    def __init__(self, *, seven_bit: bool, chunked: bool = False) -> None:
        self._seven_bit = seven_bit
        self._chunked = chunked
        self._found: dict[str, Remark] = {}
        self._lines = 0  # so far; -1 behind the octets whose lines are counted
        self._octets = 0
        self._opening = True
        self._mbox_lines = 0
        self._held = b""  # the beginning of the first line, while it may become a "From " line
        #: True if the last octets of DATA are an end of content, were LF a line end: the client may wait for a reply.
        self.ended_by_lf = False
        #: CRs at the end of a BDAT chunk, whose meaning the next octet decides.
        self.kept = b""
        #: False while this is as it was made: no content has come, or a message that it had nothing to do with.
        self.used = False

    def is_for(self, seven_bit: bool, chunked: bool) -> bool:
        """Whether it was made with these arguments."""
        return seven_bit is self._seven_bit and chunked is self._chunked

    def remarks(self) -> list[Remark]:
        """What was tolerated."""
        return list(self._found.values())

    def _note(self, kind: str, fault: InputFault | None, count: int, line: int) -> None:
        before = self._found.get(kind)
        if before is None:
            faults = CHUNK_FAULTS if self._chunked else CONTENT_FAULTS
            reply = "" if fault is None else str(faults[fault])
            self._found[kind] = Remark(kind, reply, line if self._lines >= 0 else 0, "", count)
        else:
            self._found[kind] = before._replace(times=before.times + count)

    def normalise(self, piece: bytes, before: int) -> bytes:
        """A piece with CRLF for each line end.  Its first ``before`` line ends are not the content's own, and its last
        octet is no CR and no bare LF of which more may follow."""
        self.used = True
        line = self._lines + 1 - before
        first = piece.find(b"\r\r\n")
        if first >= 0:
            start = first - min(first - len(piece[:first].rstrip(b"\r")), _MOST_CR - 2)
            self._note("cr-cr-lf", InputFault.BARE_CR, piece.count(b"\r\r\n"), line + _line_ends(piece[:start]))
            # One CR less of each run with each round: an expression would try each place of a run as its beginning.
            for _ in range(_MOST_CR - 1):
                piece = piece.replace(b"\r\r\n", b"\r\n")
                if b"\r\r\n" not in piece:
                    break
            if only_crlf(piece):
                return piece
        whole = piece.count(b"\r\n")
        bare = piece.count(b"\n") - whole
        if bare:
            self._note_first("bare-lf", InputFault.BARE_LF, bare, _BARE_LF, piece, line)
        bare = piece.count(b"\r") - whole
        if bare:
            self._note_first("bare-cr", InputFault.BARE_CR, bare, _BARE_CR, piece, line)
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")

    def _note_first(
        self, kind: str, fault: InputFault, count: int, pattern: re.Pattern[bytes], piece: bytes, line: int
    ) -> None:
        at = 0
        if kind not in self._found:
            first = pattern.search(piece)
            at = line if first is None else line + _line_ends(piece[: first.start()])
        self._note(kind, fault, count, at)

    def passed(self, piece: bytes, over: bool) -> bytes:
        """The octets to hand on in place of a piece with CRLF for each line end; ``over`` if it is the last."""
        if over and not self.used and not (self._seven_bit and not piece.isascii()) and not _may_be_mbox(piece):
            return piece
        self.used = True
        if self._opening:
            if self._held or _may_be_mbox(piece):
                piece = self._opened(piece, over)
            else:
                self._opening = False
        if self._seven_bit and not piece.isascii():
            self._seven_bit = False
            at = next(at for at, octet in enumerate(piece) if octet > 127)
            self._note("8bit", None, 1, self._lines + 1 + piece.count(b"\n", 0, at))
        if not over and self._lines >= 0:
            self._octets += len(piece)
            self._lines = self._lines + piece.count(b"\n") if self._octets <= _COUNTED else -1
        return piece

    def _opened(self, piece: bytes, over: bool) -> bytes:
        """The content's beginning: nothing while it may still become a "From " line."""
        head = self._held + piece
        self._held = b""
        done = b""
        while True:
            end = head.find(b"\n") + 1
            if not over and not end and len(head) < _LONGEST_OPENING and b"From ".startswith(head.lstrip(b">")[:5]):
                self._held = head
                return done
            if _MBOX.match(head) is None or self._mbox_lines == _MBOX_LINES:
                self._opening = False
                return done + head
            self._mbox_lines += 1
            self._note("mbox-from", None, 1, 1)
            cut = end or len(head)
            done += b"X-Mailbox-Line: " + head[:cut]
            head = head[cut:]
            if not end:
                self._opening = False
                return done

    def end(self) -> bytes:
        """What is still held back, now that the last chunk has ended."""
        kept, self.kept = self.kept, b""
        if not kept and not self._held:
            return b""
        return self.passed(self.normalise(kept, 0) if kept else b"", True)


def _may_be_mbox(piece: bytes) -> bool:
    return len(piece) < _SHORT or piece.startswith(_MAYBE_MBOX)


def _line_ends(piece: bytes) -> int:
    """How many line ends there are: CRLF, LF or CR."""
    return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n")


class LenientDotReader(DotReader):
    """A ``DotReader`` that tolerates line ends."""

    __slots__ = ("_normaliser",)

    def __init__(self, normaliser: ContentNormaliser) -> None:
        DotReader.__init__(self)  # ``super()`` costs more, and this is done for each message
        self._normaliser = normaliser

    def feed(self, data: bytes) -> tuple[bytes | InputFault, bytes | None]:
        """See ``DotReader.feed``; there are no faults."""
        piece, rest = DotReader.feed(self, data)
        assert isinstance(piece, bytes)
        if rest is None:
            self._normaliser.ended_by_lf = data.endswith(_LF_ENDS)
        return self._normaliser.passed(piece, rest is not None), rest

    def _faulty(self, piece: bytes, over: bool) -> bytes | InputFault:
        if not over:
            kept = _undecided(piece)
            if kept:
                self._tail = piece[len(piece) - kept :] + self._tail
                piece = piece[: len(piece) - kept]
        if b"\n." in piece:
            piece = _STUFFED_LF.sub(b"\n.", piece).replace(b"\r\n.", b"\r\n")
        return self._normaliser.normalise(piece, 1 if self._first else 0)


def _undecided(piece: bytes) -> int:
    """How many octets at the end of a piece have a meaning that the next octets decide: CRs (is there an LF behind
    them?), a bare LF and a dot behind it (is there a second dot?)."""
    if piece.endswith((b"\n", b"\n.")):
        tail = 2 if piece.endswith(b".") else 1
        return 0 if piece.endswith(b"\r", 0, len(piece) - tail) else tail
    return min(len(piece) - len(piece.rstrip(b"\r")), _MOST_CR - 1)


class LenientChunkReader(ChunkReader):
    """A ``ChunkReader`` that tolerates line ends: each chunk is counted as it came, and handed on normalised.

    RFC 3030 §3 has no line ends in BINARYMIME content, which therefore has no reader of this kind.
    """

    __slots__ = ("_last", "_normaliser")

    def __init__(self, size: int, normaliser: ContentNormaliser, *, last: bool) -> None:
        super().__init__(size, strict=False)
        self._normaliser = normaliser
        self._last = last

    def feed(self, data: bytes) -> bytes:
        """The octets normalised; maybe none, if they are CRs whose LF may follow."""
        normaliser = self._normaliser
        self.remaining -= len(data)
        kept = normaliser.kept
        if kept or data.endswith(b"\r") or not only_crlf(data):
            data = kept + data
            cut = len(data) - min(len(data) - len(data.rstrip(b"\r")), _MOST_CR)
            normaliser.kept = data[cut:]
            data = normaliser.normalise(data[:cut], 0)
        return normaliser.passed(data, self._last and not self.remaining and not normaliser.kept)
