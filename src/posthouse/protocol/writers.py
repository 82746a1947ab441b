"""Encoders of replies and content.  All output is checked here, once, for octets that could end a line early."""

from __future__ import annotations

import functools
import re
import sys

from posthouse.core import LocalError, Reply
from posthouse.protocol.readers import only_crlf

__all__ = ["DotWriter", "write_auth_line", "write_content", "write_reply"]

_UNSAFE = r"[^\x20-\x7e\t]"
_UNSAFE_UTF8 = r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
# RFC 5321 §4.5.3.1.5: a reply line has at most 512 octets, code and CRLF included.
_LINE = 512
_BARE = "content for DATA has a bare CR or LF; send it with BODY=BINARYMIME or encode it"


def _escape(match: re.Match[str]) -> str:
    return f"\\x{{{ord(match.group()):X}}}"  # RFC 6533 §3's spelling of a code point in ASCII


def _cut(text: str, room: int) -> list[str]:
    """``text`` in pieces of at most ``room`` octets, cut at spaces where there are any."""
    pieces = []
    while len(text.encode()) > room:
        end = room
        while len(text[:end].encode()) > room:
            end -= 1
        space = text.rfind(" ", 1, end)
        end = space if space > 0 else end
        pieces.append(text[:end])
        text = text[end:].lstrip(" ")
    pieces.append(text)
    return pieces


@functools.lru_cache(maxsize=1024)
def write_reply(reply: Reply, utf8: bool = False) -> bytes:
    """A reply's lines (RFC 5321 §4.2.1), the enhanced code on each (RFC 2034 §4).

    Text that is not printable is escaped, so that text quoted from a peer cannot start a line of its own.
    ``utf8`` lets UTF-8 through, for VRFY and EXPN with SMTPUTF8 (RFC 6531 §3.7.4.2).  Long lines are continued, except
    a challenge of AUTH: that is one line, however long it is (RFC 4954 §4).
    """
    if not 200 <= reply.code <= 599:
        raise LocalError(f"{reply.code} is no reply code")
    unsafe = _UNSAFE_UTF8 if utf8 else _UNSAFE
    prefix = reply.enhanced + " " if reply.enhanced else ""
    room = (sys.maxsize if reply.code == 334 else _LINE) - 2 - 4 - len(prefix)
    if len(reply.text) <= room and reply.text.isascii() and reply.text.isprintable():  # one line, as nearly all are
        return f"{reply.code} {prefix}{reply.text}\r\n".encode()
    lines = [piece for line in reply.text.split("\n") for piece in _cut(_printable(line, unsafe), room)]
    code = str(reply.code)
    wire = [f"{code}-{prefix}{line}" for line in lines[:-1]]
    wire.append(f"{code} {prefix}{lines[-1]}")
    return ("\r\n".join(wire) + "\r\n").encode()


def _printable(line: str, unsafe: str) -> str:
    if line.isascii() and line.isprintable():  # nearly always, and much cheaper than the expression
        return line
    return re.sub(unsafe, _escape, line)


def write_auth_line(line: bytes) -> bytes:
    """A line of the SASL exchange, already base64 (or ``*``)."""
    if b"\r" in line or b"\n" in line:
        raise LocalError("an AUTH line cannot contain a line end")
    return line + b"\r\n"


def write_content(content: bytes, crlf: bool = False) -> tuple[bytes, bytes]:
    """Complete content, dot-stuffed, with its end: the output of ``DotWriter`` for one piece.

    ``crlf`` says that ``only_crlf`` has been asked.  Raises LocalError for a bare CR or LF.
    """
    if not crlf and not only_crlf(content):
        raise LocalError(_BARE)
    whole_lines = not content or content.endswith(b"\r\n")
    # The last dot is found with memrchr: it bounds the search for those at the start of a line, and base64 has none.
    last = content.rfind(b".") + 1
    if last:
        if content.startswith(b"."):
            content = b"." + content
            last += 1
        if content.find(b"\r\n.", 0, last) >= 0:
            content = content.replace(b"\r\n.", b"\r\n..")
    return content, b".\r\n" if whole_lines else b"\r\n.\r\n"


class DotWriter:
    """Dot-stuffs content in pieces of any size (RFC 5321 §4.5.2).

    The two octets before a piece decide whether it begins at the start of a line, so they are put in front of it;
    before the first piece they are CRLF.
    """

    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before = b"\r\n"

    def write(self, chunk: bytes) -> bytes:
        """The next piece, dot-stuffed.  Raises LocalError for a bare CR or LF.

        In DATA only CRLF is a line end; a bare one could smuggle a second message past a receiver that accepts it.
        """
        if not chunk:
            return b""
        before = self._before
        judged = b"\r" + chunk if before.endswith(b"\r") else chunk
        if judged.endswith(b"\r"):  # it may still get its LF
            judged = judged[:-1]
        if not only_crlf(judged):
            raise LocalError(_BARE)
        self._before = chunk[-2:] if len(chunk) > 1 else (before + chunk)[-2:]
        if b"." not in chunk:  # done with memchr, and base64 has none
            return chunk
        joined = before + chunk
        if b"\r\n." not in joined:
            return chunk
        return joined.replace(b"\r\n.", b"\r\n..")[len(before) :]

    def end(self) -> bytes:
        """The end of the content: CRLF if the last line lacks it, and the final dot."""
        if self._before.endswith(b"\r"):
            raise LocalError("content for DATA has a bare CR at its end")
        return b".\r\n" if self._before == b"\r\n" else b"\r\n.\r\n"
