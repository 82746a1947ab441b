"""How content is read for a transaction: whole if it is short, in an event loop if it is asynchronous."""

from __future__ import annotations

from typing import Final, cast

from posthouse.client.features import Features
from posthouse.core import AsyncContent, Body, Bytes, Content, Envelope

__all__ = ["SHORT", "goes_by_data", "in_one_piece", "must_stream"]

#: Content up to this many octets is read whole, and leaves in one write.
SHORT: Final = 65_536
_BINARY: Final = Body.BINARYMIME


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


def goes_by_data(content: Content | AsyncContent, envelope: Envelope, features: Features, lmtp: bool) -> bool:
    """Whether content that waits for the replies to its envelope goes by DATA to a peer that offers CHUNKING.

    The end of DATA leaves no transaction open, so the next envelope needs no RSET; a refused last chunk may leave one
    open (RFC 3030 §2).  BDAT is better for long content, and for content whose line ends nobody has looked at.
    """
    return (
        type(content) is Bytes
        and content.crlf
        and len(content.data) <= SHORT
        and features.pipelining
        and not lmtp
        and envelope.body is not _BINARY
    )
