"""Bodies of parts with their transfer encoding undone (RFC 2045 §6), also where they break its rules."""

from __future__ import annotations

import binascii
import re
from typing import Final

from posthouse.message.reading.encoded_text import from_base64

__all__ = ["UuencodedFile", "decode_body", "uuencoded_files"]

_IDENTITY: Final = frozenset({"", "7bit", "8bit", "binary", "7-bit", "8-bit", "none", "unknown"})
_UU: Final = frozenset({"x-uuencode", "uuencode", "x-uue", "uue"})
_BEGIN: Final = re.compile(rb"(?m)^begin(?:-base64)? [0-7]{3,4} ([^\r\n]{1,255})\r?\n")
#: The end of a file, or the begin of another, before which it should have been.
_END: Final = re.compile(rb"(?m)^(?:(end)[ \t]*\r?$|begin(?:-base64)? [0-7]{3,4} )")
_BAD_ESCAPE: Final = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?(?:\n|\Z))")

#: Name and content.
UuencodedFile = tuple[str, bytes]


def decode_body(body: bytes, encoding: str) -> tuple[bytes, str]:
    """The octets that a body stands for; and what is wrong with it, as the code of a defect, "" for nothing."""
    if encoding in _IDENTITY:
        return body, ""
    if encoding == "base64":
        octets, proper = from_base64(body)
        return octets, "" if proper else "bad-base64"
    if encoding in ("quoted-printable", "quoted-printables"):
        return binascii.a2b_qp(body), "bad-quoted-printable" if _BAD_ESCAPE.search(body) else ""
    if encoding in _UU:
        files = uuencoded_files(body)[0]
        return (files[0][1], "") if files else (body, "bad-uuencode")
    return body, "unknown-encoding"


def uuencoded_files(body: bytes) -> tuple[list[UuencodedFile], bytes]:
    """The files that stand in a body in the way of uuencode, and the body without them."""
    files: list[UuencodedFile] = []
    kept: list[bytes] = []
    at = 0
    while (begin := _BEGIN.search(body, at)) is not None:
        end = _END.search(body, begin.end())
        if end is None:
            break
        content = _undo_uuencode(body[begin.end() : end.start()]) if end[1] is not None else None
        if content is None:  # a sentence that begins with "begin 123 "
            kept.append(body[at : begin.end()])
            at = begin.end()
            continue
        kept.append(body[at : begin.start()])
        files.append((begin[1].decode("utf-8", "replace").strip(), content))
        at = end.end()
    kept.append(body[at:])
    return files, b"".join(kept)


def _undo_uuencode(lines: bytes) -> bytes | None:
    """The octets of uuencoded lines, None if they are none."""
    made: list[bytes] = []
    for line in lines.splitlines():
        if not line:
            continue
        try:
            made.append(binascii.a2b_uu(line))
        except binascii.Error:
            count = (line[0] - 32) & 63  # some programs write too much at the end of a line
            try:
                made.append(binascii.a2b_uu(line[: 1 + (count * 4 + 5) // 3]))
            except binascii.Error:
                return None
    return b"".join(made)
