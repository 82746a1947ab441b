"""Conversion of a message for a host without 8BITMIME or BINARYMIME, in bounded memory (RFC 6152, RFC 3030).

The MIME structure is read as it streams (RFC 2046 §5.1), and the leaves that the host cannot take are encoded: text as
quoted-printable, other types as base64.  Of the header fields only Content-Transfer-Encoding changes, and missing MIME
fields are added (``charset=unknown-8bit`` for an undeclared charset beyond ASCII, RFC 1428).  All other octets are
unchanged.  A DKIM signature over encoded octets no longer verifies; every conversion has this effect.

A multipart/signed is never changed, neither its parts nor their labels (RFC 1847 §2.1, RFC 8551 §3.1.3): it travels as
it is, or the message is returned.  What stands outside of it may be converted.  A part whose type is, or may be meant
to be, a multipart or a message is never encoded as a leaf.

**Passes.**  The label of a part stands in front of its body, so the content is read three times: once to find out which
bodies need encoding (one small number for each of at most 3,000 stretches), once to check and count what comes out, and
once to send it.  Between the passes nothing is kept but those numbers; within a pass a header section of up to 256 KiB,
one chunk and one unfinished line.  Time is linear in the size of the message.  The first two passes are the call of
``convert``, so callers run it off the event loop::

    made = await asyncio.to_thread(convert, content)      # a Content, or Unconvertible
    for chunk in made.chunks(65_536): ...                 # the third pass: to a file, or to the host; repeatable

If conversion is impossible, the result is ``Unconvertible`` with the status for a failure report, not an exception.
Header fields in raw UTF-8 are such a case unless ``raw_headers`` lets them through: RFC 6532 has no downgrade that is
safe for addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from posthouse.core import Bytes, Content
from posthouse.message.delimiters import Cutter, Delimiter
from posthouse.message.encode import (
    Base64Encoder,
    Base64Wrapper,
    BodyEncoder,
    QuotedPrintableEncoder,
    QuotedPrintableRepairer,
)
from posthouse.message.headers import HEADER_LIMIT, Field, Split, fields, first, split
from posthouse.message.mime import Scanner
from posthouse.message.stretches import (
    EIGHTBIT,
    FITS,
    NUL,
    EncodedStretch,
    Impossible,
    LeftOut,
    ScannedStretch,
    Stretch,
    Unconvertible,
)
from posthouse.message.structured import ContentType, content_type, first_word

__all__ = ["Converted", "Unconvertible", "convert", "downgrade"]

_DEPTH = 50
_PARTS = 1_000
_CHUNK = 65_536  # octets that are read at a time
_AT_MOST = 52_428_800

_ADDRESS_FIELDS = frozenset(
    b"from sender reply-to to cc bcc return-path resent-from resent-sender resent-to resent-cc resent-bcc "
    b"disposition-notification-to delivered-to".split()
)
_IDENTITY = (b"7bit", b"8bit", b"binary")
_MAY_BE_ENCODED = frozenset(  # the messages that may be encoded (RFC 6532 §3.7, RFC 6533)
    (
        "message/global",
        "message/global-headers",
        "message/global-delivery-status",
        "message/global-disposition-notification",
    )
)

_LONGEST_DELIMITER = 1_000  # octets of a delimiter line with the CRLF in front


class Converted:
    """The converted message: content that is written anew, from the original, at each reading."""

    __slots__ = ("_content", "_plan", "_raw_headers", "_size", "_to_7bit")

    def __init__(self, content: Content, plan: list[int], size: int, *, to_7bit: bool, raw_headers: bool) -> None:
        self._content = content
        self._plan = plan
        self._size = size
        self._to_7bit = to_7bit
        self._raw_headers = raw_headers

    @property
    def size(self) -> int:
        """Length in octets."""
        return self._size

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        """The converted octets; the original is read meanwhile, so this is not for the event loop if it is on disk."""
        walk = _Walk(self._to_7bit, self._raw_headers, self._plan)
        kept = bytearray()
        for piece in walk.pieces(self._content.chunks(_CHUNK)):
            kept += piece
            while len(kept) >= at_most:
                yield bytes(kept[:at_most])
                del kept[:at_most]
        if kept:
            yield bytes(kept)


def convert(content: Content, *, to_7bit: bool = True, raw_headers: bool = False) -> Content | Unconvertible:
    """The message for a host without 8BITMIME, or (``to_7bit=False``) for one with 8BITMIME and without BINARYMIME.

    The result has only CRLF line ends, lines of at most 998 octets, no NUL, and with ``to_7bit`` only ASCII, except in
    header sections if ``raw_headers``.  Each leaf decodes to its original octets.
    """
    planning = _Walk(to_7bit, raw_headers)
    size, eightbit = 0, False
    scanner = Scanner(headers=False)
    try:
        for _ in planning.pieces(content.chunks(_CHUNK)):
            pass
        walk = _Walk(to_7bit, raw_headers, planning.plan)
        for piece in walk.pieces(content.chunks(_CHUNK)):
            size += len(piece)
            scanner.feed(piece)
            eightbit = eightbit or not (walk.at_header or piece.isascii())
    except Impossible as impossible:
        return impossible.answer
    if scanner.result().binary or (to_7bit and eightbit):
        return Unconvertible("5.6.5", "the message's MIME structure is broken in a way that leaves unencoded octets")
    return Converted(content, planning.plan, size, to_7bit=to_7bit, raw_headers=raw_headers)


def downgrade(
    content: Content | bytes, *, to_7bit: bool = True, raw_headers: bool = False, at_most: int = _AT_MOST
) -> bytes | Unconvertible:
    """``convert`` in memory, for messages of at most ``at_most`` octets."""
    whole = Bytes(content) if isinstance(content, bytes) else content
    if whole.size > at_most:
        return Unconvertible("5.6.3", f"the message has {whole.size} octets; over {at_most} it is not converted")
    made = convert(whole, to_7bit=to_7bit, raw_headers=raw_headers)
    return made if isinstance(made, Unconvertible) else b"".join(made.chunks())


# The walk ----------------------------------------------------------------------------------------------------------


class _Frame:
    """A multipart that is open: its depth, the type of parts without Content-Type, and its boundaries."""

    __slots__ = ("boundaries", "default", "depth")

    def __init__(self, depth: int, kind: ContentType) -> None:
        self.depth = depth
        self.default = "message/rfc822" if kind.kind == "multipart/digest" else "text/plain"
        self.boundaries = kind.boundaries


class _Walk:
    """One pass over a message: the planning pass without a ``plan``, else one that writes.

    ``at_header`` is True while the piece that ``pieces`` returned last is a header section.
    """

    def __init__(self, to_7bit: bool, raw_headers: bool, plan: list[int] | None = None) -> None:
        self._to_7bit = to_7bit
        self._raw_headers = raw_headers
        self._planning = plan is None
        self.plan: list[int] = [] if plan is None else plan
        self._needs = iter(self.plan)
        self._parts = 0
        self._frames: list[_Frame] = []
        self._stretch: Stretch = Stretch()
        self._preamble = False  # the stretch is the preamble of the innermost multipart
        self.at_header = False

    def pieces(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The converted octets; none of use in the planning pass.  Raises ``Impossible``."""
        cutter = Cutter(chunks)
        yield from self._entity(cutter, 0, "text/plain", message=True)
        event = cutter.next()
        while event is not None:
            if isinstance(event, bytes):
                made = self._stretch.feed(event)
                event = cutter.next()
            else:
                if len(event.raw) > _LONGEST_DELIMITER:
                    raise Impossible("5.6.3", "a delimiter line of a multipart is longer than 998 octets")
                opened = self._preamble and event.level == len(self._frames) - 1
                made = self._stretch.end(opened=opened) + event.raw
                self._close(cutter, event)
                closing, level, event = event.closing, event.level, cutter.next()
                if not closing and isinstance(event, bytes):
                    # Behind a delimiter comes its CRLF, or at once the next delimiter, which then ends no part.
                    yield made + b"\r\n"
                    cutter.unread(event[2:])
                    frame = self._frames[level]
                    yield from self._entity(cutter, frame.depth + 1, frame.default, message=False)
                    made = b""
                    event = cutter.next()
            if made:
                yield made
        made = self._stretch.end(opened=False)
        if made:
            yield made

    def _close(self, cutter: Cutter, delimiter: Delimiter) -> None:
        """Leave the multiparts that this delimiter ends."""
        del self._frames[delimiter.level + (not delimiter.closing) :]
        cutter.watch(self._marks())
        self._preamble = False
        self._stretch = self._optional(b"\r\n") if delimiter.closing else Stretch()

    def _marks(self) -> dict[bytes, tuple[int, bool]]:
        """The delimiters of all open multiparts; of equal ones the outermost counts."""
        marks: dict[bytes, tuple[int, bool]] = {}
        for level, frame in enumerate(self._frames):
            for boundary in frame.boundaries:
                marks.setdefault(boundary, (level, False))
                marks.setdefault(boundary + b"--", (level, True))
        return marks

    def _optional(self, instead: bytes, hindrance: Impossible | None = None) -> Stretch:
        """A preamble or epilogue; ``hindrance`` if the preamble turns out to be the whole body."""
        if self._planning:
            return ScannedStretch(self.plan, self._to_7bit, hindrance, skippable=True)
        return Stretch() if next(self._needs) == FITS else LeftOut(instead)

    def _untouched(self, reason: str) -> Stretch:
        """A stretch that must not be changed."""
        return ScannedStretch(None, self._to_7bit, Impossible("5.6.3", reason)) if self._planning else Stretch()

    def _entity(self, cutter: Cutter, depth: int, default: str, *, message: bool) -> Iterator[bytes]:
        """The converted header section of a message or part, and of the message that is its body, if any; then
        ``_stretch`` takes what follows.  ``message`` if it is a message and not a part."""
        while True:
            self._parts += 1
            if depth > _DEPTH or self._parts > _PARTS:
                self._stretch = self._untouched(f"the message has over {_DEPTH} levels or {_PARTS} parts of MIME")
                return
            cut = _head(cutter)
            if cut.truncated:
                raise Impossible("5.6.3", f"a header section is longer than {HEADER_LIMIT} octets")
            found = fields(cut.headers)
            if self._planning:
                self._check_headers(cut.headers, found)
            kind = content_type(found, default)
            encoding = first(found, b"Content-Transfer-Encoding")
            old = (first_word(encoding.value) if encoding is not None else b"") or b"7bit"
            new, need, inside = self._begin(cutter, kind, old, depth)
            head, separator = cut.headers, cut.separator
            if new != old:
                charset = b""
                if need and default == "text/plain" and b"content-type" not in _names(found):
                    charset = b"unknown-8bit" if need & EIGHTBIT else b"us-ascii"
                head, separator = _relabelled(found, new, message=message, charset=charset), separator or b"\r\n"
            self.at_header = True
            yield head + separator
            self.at_header = False
            if not inside:
                return
            depth, default, message = depth + 1, "text/plain", True

    def _begin(self, cutter: Cutter, kind: ContentType, old: bytes, depth: int) -> tuple[bytes, int, bool]:
        """Make the stretch that follows a header section.

        Returns the encoding that the header section shall name, what the body needs, and whether it is a message.
        """
        new = self._label_for(old)
        self._preamble = False
        if kind.kind == "multipart/signed":
            self._stretch = self._untouched(
                "a signed part cannot be sent to this host as it is, and must not be converted (RFC 1847, 2.1)"
            )
            return old, FITS, False
        if kind.kind.startswith("multipart/") and old in _IDENTITY:
            self._frames.append(_Frame(depth, kind))
            cutter.watch(self._marks(), fresh=True)
            self._stretch = self._optional(b"", Impossible("5.6.3", "a multipart body has none of its delimiter lines"))
            self._preamble = True
            return new, FITS, False
        if kind.kind == "message/rfc822" and old in _IDENTITY:
            return new, FITS, True
        hindrance = _why_not_encoded(kind, old)
        if self._planning:
            self._stretch = ScannedStretch(self.plan, self._to_7bit, hindrance)
            return old, FITS, False
        need = next(self._needs)
        if need == FITS:
            self._stretch = Stretch()
            return new, FITS, False
        new, encoder = _encoder(kind.kind, old, need)
        last = b"" if depth else b"\r\n" if new == b"base64" else b"=\r\n"
        self._stretch = EncodedStretch(encoder, last)
        return new, need, False

    def _label_for(self, encoding: bytes) -> bytes:
        """The Content-Transfer-Encoding of a body that is not encoded; 8bit and binary are lowered as needed."""
        if self._to_7bit:
            return b"7bit" if encoding in (b"8bit", b"binary") else encoding
        return b"8bit" if encoding == b"binary" else encoding

    def _check_headers(self, headers: bytes, found: list[Field]) -> None:
        if self._to_7bit and not self._raw_headers and not headers.isascii():
            for field in found:
                if not field.raw.isascii() and field.name.lower() in _ADDRESS_FIELDS:
                    name = field.name.decode("ascii")
                    raise Impossible("5.6.7", f"the field {name} holds octets beyond ASCII")
            raise Impossible("5.6.9", "a header field holds octets beyond ASCII, which the next host does not take")
        scanner = Scanner(headers=False)
        scanner.feed(headers)
        if scanner.result().binary:
            raise Impossible("5.6.3", "a header field has a line over 998 octets, a NUL, or a bare CR or LF")


def _head(cutter: Cutter) -> Split:
    """The header section that begins here; the octets behind it remain unread."""
    head = bytearray()
    while (event := cutter.next()) is not None:
        if isinstance(event, Delimiter):
            cutter.unread(event.raw)
            break
        start = max(0, len(head) - 3)
        head += event
        if head.startswith(b"\r\n") or head.find(b"\r\n\r\n", start) >= 0 or len(head) > HEADER_LIMIT:
            break
    cut = split(bytes(head[: HEADER_LIMIT + 1]))
    cutter.unread(bytes(head[cut.body_offset :]))
    return cut


def _why_not_encoded(kind: ContentType, encoding: bytes) -> Impossible | None:
    """Why a leaf of this type and encoding cannot be encoded, or None."""
    if encoding not in (*_IDENTITY, b"quoted-printable", b"base64"):
        name = encoding[:40].decode("ascii", "replace").replace("\ufffd", "?")
        return Impossible("5.6.3", f"a part in the unknown encoding {name!r} cannot be converted")
    if kind.kind.startswith("multipart/"):
        return Impossible("5.6.3", "a multipart is itself encoded, against RFC 2045, 6.4")
    if kind.composite and kind.kind not in _MAY_BE_ENCODED:
        what = f"of type {kind.kind}" if kind.kind.startswith("message/") else "that may be a multipart or a message"
        return Impossible("5.6.3", f"a part {what} may not be encoded (RFC 2046, 5.2)")
    return None


def _encoder(kind: str, encoding: bytes, need: int) -> tuple[bytes, BodyEncoder]:
    """The new encoding of a leaf, and its encoder."""
    if encoding == b"base64":
        return b"base64", Base64Wrapper()
    if encoding == b"quoted-printable":
        return b"quoted-printable", QuotedPrintableRepairer()
    if kind.startswith("text/") and not need & NUL:
        return b"quoted-printable", QuotedPrintableEncoder()
    return b"base64", Base64Encoder()


def _names(found: list[Field]) -> set[bytes]:
    return {field.name.lower() for field in found}


def _relabelled(found: list[Field], label: bytes, *, message: bool, charset: bytes) -> bytes:
    """The header section with the Content-Transfer-Encoding ``label``.

    The new field replaces the old one; further ones are removed.  Without an old one it is added at the end, with the
    MIME fields that are missing; a Content-Type if there is a ``charset`` for it.
    """
    new = b"Content-Transfer-Encoding: " + label + b"\r\n"
    kept: list[bytes] = []
    placed = False
    for field in found:
        if field.name.lower() != b"content-transfer-encoding":
            kept.append(field.raw)
        elif not placed:
            kept.append(new)
            placed = True
    if kept and not kept[-1].endswith(b"\r\n"):
        kept.append(b"\r\n")
    if message and b"mime-version" not in _names(found):
        kept.append(b"MIME-Version: 1.0\r\n")
    if charset:
        kept.append(b"Content-Type: text/plain; charset=" + charset + b"\r\n")
    if not placed:
        kept.append(new)
    return b"".join(kept)
