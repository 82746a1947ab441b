"""Parts of messages as responses: only types that no browser runs are shown, all others are downloads."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from starlette.responses import Response

__all__ = ["disposition", "file_answer"]

#: Types that a browser only shows.
_SHOWN: Final = frozenset(
    {"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "application/pdf", "text/plain", "text/csv"}
)


def file_answer(content: bytes, kind: str, name: str) -> Response:
    """A file with its own type, under a policy that lets nothing in it run."""
    proper = kind.isascii() and kind.isprintable() and "/" in kind and ";" not in kind
    kind = kind.lower() if proper else "application/octet-stream"
    shown = "inline" if kind in _SHOWN else "attachment"
    media = f"{kind}; charset=utf-8" if kind in ("text/plain", "text/csv") else kind
    headers = {
        "content-disposition": disposition(shown, name),
        "content-security-policy": "sandbox; default-src 'none'",
        "x-content-type-options": "nosniff",
        "content-type": media,
    }
    return Response(content, headers=headers)


def disposition(kind: str, name: str) -> str:
    """Content-Disposition with a file name: in ASCII (RFC 6266), and in UTF-8 where it needs that (RFC 8187)."""
    plain = "".join(each if each.isascii() and each.isprintable() and each not in '"\\/' else "_" for each in name)
    extended = f"; filename*=UTF-8''{quote(name, safe='')}" if plain != name else ""
    return f'{kind}; filename="{plain or "file"}"{extended}'
