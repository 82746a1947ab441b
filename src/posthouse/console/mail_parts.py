"""Parts of messages as responses: which types may be shown inline, and how a file is named (RFC 6266, RFC 8187)."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.responses import Response

if TYPE_CHECKING:
    from posthouse.console.page_request import PageRequest

__all__ = ["INLINE_TYPES", "attachment_header", "octets_of", "part_response", "shown_as"]

_PICTURES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"})
#: Type of a part → the type under which it may be shown; everything else is a file to save.
INLINE_TYPES: Final = {
    **{each: each for each in _PICTURES},
    "application/pdf": "application/pdf",
    "text/plain": "text/plain; charset=utf-8",
    "text/calendar": "text/plain; charset=utf-8",
    "text/csv": "text/plain; charset=utf-8",
    "message/rfc822": "text/plain; charset=utf-8",
}
_PIECE: Final = 8 << 20  # octets
_POLICY: Final = "sandbox; default-src 'none'; frame-ancestors 'self'"
#: A browser's viewer of PDF does not run in a sandbox; it is one itself.
_PDF_POLICY: Final = "default-src 'none'; frame-ancestors 'self'"


async def octets_of(page: PageRequest, number: int) -> bytes:
    """A message as it was delivered, which is asked for in pieces and not read.  Raises as ``PageRequest.run``."""
    pieces: list[bytes] = []
    start, total = 0, 1
    while start < total:
        piece = await page.run("inbox source", number=number, start=start, octets=_PIECE)
        pieces.append(piece.content)
        start, total = start + max(1, len(piece.content)), piece.total
    return b"".join(pieces)


def shown_as(kind: str) -> str:
    """How a page shows a part: ``image``, ``pdf``, ``text``, or "" for a file to save."""
    if kind in _PICTURES:
        return "image"
    if kind == "application/pdf":
        return "pdf"
    return "text" if kind in INLINE_TYPES else ""


def attachment_header(name: str, *, inline: bool = False) -> str:
    """The value of Content-Disposition with a file name: in ASCII for old programs, and as it is."""
    clean = "".join(sign for sign in name if sign.isprintable() and sign not in '/\\"%;')[:150] or "part"
    plain = unicodedata.normalize("NFKD", clean).encode("ascii", "ignore").decode().strip() or "part"
    kind = "inline" if inline else "attachment"
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(clean, safe='')}"


def part_response(kind: str, name: str, content: bytes, *, download: bool) -> Response:
    """The response with a part: inline if its type is safe to show, else as a file."""
    inline = kind in INLINE_TYPES and not download
    return Response(
        content,
        headers={
            "content-type": INLINE_TYPES[kind] if inline else "application/octet-stream",
            "content-disposition": attachment_header(name, inline=inline),
            "content-security-policy": _PDF_POLICY if inline and kind == "application/pdf" else _POLICY,
            "x-content-type-options": "nosniff",
        },
    )
