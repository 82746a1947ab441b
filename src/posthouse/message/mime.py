"""SMTP extensions that a message needs of the next host, and conversion to need fewer (RFC 6152, RFC 3030, RFC 6532).

``needs`` reads a message in chunks of any size, with a few primitives for each chunk.

``downgrade`` converts a message for a host without 8BITMIME or BINARYMIME.  It walks the MIME structure on the octets
(RFC 2046 §5.1) and re-encodes the leaves that the host cannot take: text as quoted-printable, other types as base64.
Of the header fields it changes Content-Transfer-Encoding only, and adds missing MIME fields (``charset=unknown-8bit``
for an undeclared charset, RFC 1428).  All other octets are unchanged.  A signature over re-encoded octets no longer
verifies; every conversion has this effect.

If conversion is impossible, the result is ``Unconvertible`` with the status for a failure report, not an exception.
Header fields in raw UTF-8 are such a case: RFC 6532 has no downgrade that is safe for addresses.  Depth and number of
parts are bounded; time and memory are linear in the message's size, so callers run it off the event loop.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from email.message import Message
from typing import NamedTuple

from posthouse.core import Content
from posthouse.message.encode import base64_body, quoted_printable
from posthouse.message.headers import HEADER_LIMIT, Field, fields, first, split

__all__ = ["Needs", "Scanner", "Unconvertible", "downgrade", "needs"]

_LINE = 998  # octets without CRLF (RFC 5322 §2.1.1)
_DEPTH = 50
_PARTS = 1_000
_VALUE = 8_192  # the longest Content-Type that is read
_AT_MOST = 52_428_800

_ADDRESS_FIELDS = frozenset(
    b"from sender reply-to to cc bcc return-path resent-from resent-sender resent-to resent-cc resent-bcc "
    b"disposition-notification-to delivered-to".split()
)
_IDENTITY = (b"7bit", b"8bit", b"binary")
_ENCODINGS = (*_IDENTITY, b"quoted-printable", b"base64")
_PIECE = 1_048_576  # octets that are scanned at a time
_COMMENT = re.compile(rb"\([^()]*\)")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]")


class Needs(NamedTuple):
    """The SMTP extensions that a message needs.

    Args:
        eightbit: 8BITMIME; the message has octets over 127.
        utf8_headers: SMTPUTF8; its header section has octets over 127 (the header sections of parts do not count).
        binary: BINARYMIME; it has a NUL, a CR or LF outside CRLF, or a line over 998 octets.
    """

    eightbit: bool = False
    utf8_headers: bool = False
    binary: bool = False


class Unconvertible(NamedTuple):
    """Why a message cannot be converted: ``status`` (5.6.x of RFC 3463 and RFC 6531 §3.5) and ``reason`` in words."""

    status: str
    reason: str


class Scanner:
    """Incremental scanner for ``Needs``: call ``feed`` with each chunk, then ``result``."""

    __slots__ = ("_binary", "_cr", "_eightbit", "_head", "_line", "_utf8")

    def __init__(self, *, headers: bool = True) -> None:
        """``headers=False`` if the octets are not a whole message; ``utf8_headers`` then stays False."""
        self._eightbit = False
        self._utf8 = False
        self._binary = False
        self._head = bytearray() if headers else None  # the header section, while it has not ended
        self._line = 0  # octets of the unfinished line at the end of the last chunk
        self._cr = False  # the last chunk ended with CR

    def feed(self, chunk: bytes) -> None:
        """Scan the next octets."""
        if not chunk:
            return
        if self._head is not None:
            self._look_for_body(self._head, chunk)
        self._eightbit = self._eightbit or not chunk.isascii()
        if not self._binary:
            self._binary = self._has_binary(chunk)

    def result(self) -> Needs:
        """The needs of all octets fed, taken as complete."""
        open_end = self._cr or self._line > _LINE
        return Needs(self._eightbit, self._utf8 or self._ended(), self._binary or open_end)

    def _look_for_body(self, head: bytearray, chunk: bytes) -> None:
        start = max(0, len(head) - 3)
        head += chunk[:HEADER_LIMIT]
        if head.startswith(b"\r\n") or head.find(b"\r\n\r\n", start) >= 0 or len(head) >= HEADER_LIMIT:
            self._utf8 = self._ended()
            self._head = None

    def _ended(self) -> bool:
        head = self._head
        return head is not None and not head.isascii() and not split(bytes(head)).headers.isascii()

    def _has_binary(self, chunk: bytes) -> bool:
        pairs, returns, feeds = chunk.count(b"\r\n"), chunk.count(b"\r"), chunk.count(b"\n")
        if self._cr:
            if not chunk.startswith(b"\n"):
                return True
            feeds -= 1
        self._cr = chunk.endswith(b"\r")
        if feeds != pairs or returns - self._cr != pairs or b"\0" in chunk:
            return True
        return self._has_long_line(chunk)

    def _has_long_line(self, chunk: bytes) -> bool:
        # The last LF within 1,000 octets of a line's start shows that all lines up to there are short enough.
        start = -self._line
        while len(chunk) - start > _LINE + 2:
            end = chunk.rfind(b"\n", max(start, 0), start + _LINE + 2)
            if end < 0:
                return True
            start = end + 1
        last = chunk.rfind(b"\n", max(start, 0))
        self._line = len(chunk) - (last + 1 if last >= 0 else start)
        return False


def needs(chunks: Iterable[bytes], *, headers: bool = True) -> Needs:
    """The needs of a whole message, given in chunks (``content.chunks()``); ``headers=False`` as for ``Scanner``."""
    scanner = Scanner(headers=headers)
    for chunk in chunks:
        scanner.feed(chunk)
    return scanner.result()


def downgrade(content: Content | bytes, *, to_7bit: bool = True, at_most: int = _AT_MOST) -> bytes | Unconvertible:
    """The message for a host without 8BITMIME, or (``to_7bit=False``) for one with 8BITMIME and without BINARYMIME.

    The result has only CRLF line ends, lines of at most 998 octets, no NUL, and with ``to_7bit`` only ASCII.  Each leaf
    decodes to its original octets.  Messages over ``at_most`` octets are not converted.
    """
    size = len(content) if isinstance(content, bytes) else content.size
    if size > at_most:
        return Unconvertible("5.6.3", f"the message has {size} octets; over {at_most} it is not converted")
    data = content if isinstance(content, bytes) else b"".join(content.chunks())
    walk = _Walk(data, to_7bit)
    try:
        result = b"".join(walk.entity(0, len(data), 0, "text/plain"))
    except _Impossible as impossible:
        return impossible.answer
    if not _fits(result, 0, len(result), to_7bit):
        return Unconvertible("5.6.5", "the message's MIME structure is broken in a way that leaves unencoded octets")
    return result


def _fits(data: bytes, start: int, end: int, to_7bit: bool) -> bool:
    """True if ``data[start:end]`` needs no conversion."""
    scanner = Scanner(headers=False)
    for at in range(start, end, _PIECE):
        scanner.feed(data[at : min(at + _PIECE, end)])
    found = scanner.result()
    return not found.binary and not (to_7bit and found.eightbit)


class _Impossible(Exception):
    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.answer = Unconvertible(status, reason)


class _Walk:
    """The walk over one message.  Parts are ranges of ``data``, so depth costs no memory."""

    def __init__(self, data: bytes, to_7bit: bool) -> None:
        self._data = data
        self._to_7bit = to_7bit
        self._parts = 0

    def entity(self, start: int, end: int, depth: int, default_type: str) -> list[bytes]:
        """The converted octets of a message or part, header section and body, in pieces."""
        self._parts += 1
        if depth > _DEPTH or self._parts > _PARTS:
            if _fits(self._data, start, end, self._to_7bit):
                return [self._data[start:end]]
            raise _Impossible("5.6.3", f"the message has over {_DEPTH} levels or {_PARTS} parts of MIME")
        cut = split(self._data[start : min(end, start + HEADER_LIMIT + 1)])
        if cut.truncated:
            raise _Impossible("5.6.3", f"a header section is longer than {HEADER_LIMIT} octets")
        found = fields(cut.headers)
        self._check_headers(cut.headers, found)
        body = start + cut.body_offset
        kind, boundary = _content_type(first(found, b"Content-Type"), default_type)
        old = _encoding(first(found, b"Content-Transfer-Encoding"))
        new = self._label_for(old)
        if kind.startswith("multipart/") and old in _IDENTITY:
            pieces = self._multipart(body, end, boundary, depth, kind)
        elif kind == "message/rfc822" and old in _IDENTITY:
            pieces = self.entity(body, end, depth + 1, "text/plain")
        elif _fits(self._data, body, end, self._to_7bit):
            pieces = [self._data[body:end]]
        else:
            new, encoded = _encoded(self._data[body:end], kind, old)
            pieces = [encoded]
            if depth == 0 and not encoded.endswith(b"\r\n"):
                pieces.append(b"\r\n" if new == b"base64" else b"=\r\n")
        if new == old:
            return [cut.headers, cut.separator, *pieces]
        return [_relabelled(found, new, top=depth == 0), cut.separator or b"\r\n", *pieces]

    def _label_for(self, encoding: bytes) -> bytes:
        """The Content-Transfer-Encoding of a body that is not re-encoded; 8bit and binary are lowered as needed."""
        if self._to_7bit:
            return b"7bit" if encoding in (b"8bit", b"binary") else encoding
        return b"8bit" if encoding == b"binary" else encoding

    def _check_headers(self, headers: bytes, found: list[Field]) -> None:
        if self._to_7bit and not headers.isascii():
            for field in found:
                if not field.raw.isascii() and field.name.lower() in _ADDRESS_FIELDS:
                    name = field.name.decode("ascii")
                    raise _Impossible("5.6.7", f"the field {name} holds an address or name in raw UTF-8")
            raise _Impossible("5.6.9", "a header field holds raw UTF-8 and the next station has no SMTPUTF8")
        if not _fits(headers, 0, len(headers), False):
            raise _Impossible("5.6.3", "a header field has a line over 998 octets, a NUL, or a bare CR or LF")

    def _multipart(self, start: int, end: int, boundary: bytes, depth: int, kind: str) -> list[bytes]:
        """The parts and the delimiters between them.

        Preamble and epilogue, which readers must ignore (RFC 2046 §5.1.1), are left out if they would need conversion.
        """
        data = self._data
        delimiters = _delimiters(data, start, end, boundary)
        if not delimiters:
            if _fits(data, start, end, self._to_7bit):
                return [data[start:end]]
            raise _Impossible("5.6.3", "a multipart body has none of its delimiter lines")
        inner = "message/rfc822" if kind == "multipart/digest" else "text/plain"
        opening = delimiters[0].start
        pieces = [data[start:opening]] if _fits(data, start, opening, self._to_7bit) else []
        for number, here in enumerate(delimiters):
            pieces.append(data[here.start : here.end])
            until = delimiters[number + 1].start if number + 1 < len(delimiters) else end
            if here.closing:
                pieces.append(data[here.end : until] if _fits(data, here.end, until, self._to_7bit) else b"\r\n")
            elif until > here.end:
                pieces.append(b"\r\n")
                pieces += self.entity(here.end + 2, until, depth + 1, inner)
        return pieces


class _Delimiter(NamedTuple):
    start: int  # includes the CRLF before the line (RFC 2046 §5.1.1)
    end: int  # excludes the CRLF after the line
    closing: bool


def _delimiters(data: bytes, start: int, end: int, boundary: bytes) -> list[_Delimiter]:
    """The delimiter lines of a multipart body, up to the closing one.

    The whole line must match, except trailing white space.  RFC 2046 §5.1.1 asks for a prefix match only, but some
    programs write an inner boundary that begins with the outer one, and a prefix match would split the inner part.
    """
    if not boundary:
        return []
    found: list[_Delimiter] = []
    line = re.compile(rb"--" + re.escape(boundary) + rb"(--)?[ \t]*+(?=\r\n|\Z)")
    match = line.match(data, start, end)
    if match is not None:
        found.append(_Delimiter(start, match.end(), match.group(1) is not None))
    mark = b"\r\n--" + boundary
    at = data.find(mark, start, end)
    while at >= 0 and len(found) <= _PARTS and not (found and found[-1].closing):
        match = line.match(data, at + 2, end)
        if match is not None:
            found.append(_Delimiter(at, match.end(), match.group(1) is not None))
        at = data.find(mark, at + 2, end)
    return found


def _content_type(field: Field | None, default: str) -> tuple[str, bytes]:
    """The type in lower case, and the boundary or b""."""
    if field is None:
        return default, b""
    message = Message()
    message["Content-Type"] = field.value[:_VALUE].decode("ascii", "replace")
    kind = message.get_content_type()
    boundary = message.get_boundary("") if kind.startswith("multipart/") else ""
    return kind, boundary.encode("ascii", "replace")


def _encoding(field: Field | None) -> bytes:
    if field is None:
        return b"7bit"
    value = _COMMENT.sub(b"", field.value).strip().lower()
    return value if value else b"7bit"


def _encoded(body: bytes, kind: str, encoding: bytes) -> tuple[bytes, bytes]:
    """The new encoding of a leaf, and its octets in that encoding."""
    if encoding not in _ENCODINGS:
        name = encoding[:40].decode("ascii", "replace")
        raise _Impossible("5.6.3", f"a part in the unknown encoding {name!r} cannot be converted")
    if kind.startswith("multipart/"):
        raise _Impossible("5.6.3", "a multipart is itself encoded, against RFC 2045 §6.4")
    if kind.startswith("message/") and not kind.startswith("message/global"):
        raise _Impossible("5.6.3", f"a part of type {kind} may not be encoded (RFC 2046 §5.2)")
    if encoding == b"base64":
        kept = _NOT_BASE64.sub(b"", body)
        try:
            return b"base64", base64_body(binascii.a2b_base64(kept))
        except binascii.Error as error:
            raise _Impossible("5.6.5", "a part's base64 is broken") from error
    if encoding == b"quoted-printable":
        return b"quoted-printable", quoted_printable(binascii.a2b_qp(body))
    if kind.startswith("text/") and b"\0" not in body:
        return b"quoted-printable", quoted_printable(body)
    return b"base64", base64_body(body)


def _relabelled(found: list[Field], label: bytes, *, top: bool) -> bytes:
    """The header section with the Content-Transfer-Encoding ``label``.

    The new field replaces the old one; further ones are removed.  Without an old one it is added at the end, with the
    MIME fields that are missing.
    """
    new = b"Content-Transfer-Encoding: " + label + b"\r\n"
    kept: list[bytes] = []
    placed = False
    names = {field.name.lower() for field in found}
    for field in found:
        if field.name.lower() != b"content-transfer-encoding":
            kept.append(field.raw)
        elif not placed:
            kept.append(new)
            placed = True
    if kept and not kept[-1].endswith(b"\r\n"):
        kept.append(b"\r\n")
    if top and b"mime-version" not in names:
        kept.append(b"MIME-Version: 1.0\r\n")
    if b"content-type" not in names:
        kept.append(b"Content-Type: text/plain; charset=unknown-8bit\r\n")
    if not placed:
        kept.append(new)
    return b"".join(kept)
