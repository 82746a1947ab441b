"""How content is read for a transaction: whole if it is short, in an event loop if it is asynchronous."""

from __future__ import annotations

from typing import Final, cast

from posthouse.core import AsyncContent, Bytes, Content

__all__ = ["SHORT", "in_one_piece", "must_stream"]

#: Content up to this many octets is read whole, and leaves in one write.
SHORT: Final = 65_536


def must_stream(content: Content | AsyncContent) -> bool:
    """Whether an event loop must read this content by ``stream``, also if it has ``chunks`` as well."""
    return hasattr(content, "stream")


def in_one_piece(content: Content | AsyncContent) -> bytes | None:
    """Short content whole; None for longer content and for an ``AsyncContent``."""
    if type(content) is Bytes:
        return content.data if len(content.data) <= SHORT else None
    if content.size > SHORT:
        return None
    return None if must_stream(content) else b"".join(cast(Content, content).chunks())
