"""Messages as the judgements take them: octets, a content, or chunks; read once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TypeAlias

from posthouse.core import Content

__all__ = ["MessageOctets", "message_chunks"]

MessageOctets: TypeAlias = bytes | Content | Iterable[bytes]
"""A whole message: its octets, a ``Content``, or its chunks in order."""

_AT_MOST = 65_536


def message_chunks(message: MessageOctets) -> tuple[Iterable[bytes], bytes]:
    """The chunks of a message with CRLF line ends, and the line end that it was written with.

    A message whose first line ends in LF alone is a text of this system: each LF alone in it counts as CRLF, which it
    becomes on its way.  In a message whose first line ends in CRLF nothing is changed.

    Raises:
        TypeError: The message is text, whose octets are what is signed, or no message.
    """
    if isinstance(message, str):
        raise TypeError("a message is bytes, not str: what is signed are its octets; encode it first")
    if isinstance(message, bytes) and len(message) <= _AT_MOST:
        at = message.find(b"\n")
        if message[at - 1 : at] == b"\r":
            return (message,), b"\r\n"
        return _with_line_end(message, (message,))
    chunks: Iterator[bytes]
    if isinstance(message, (bytes, bytearray, memoryview)):
        view = memoryview(message)
        chunks = (bytes(view[start : start + _AT_MOST]) for start in range(0, len(view), _AT_MOST))
    elif isinstance(message, Content):
        chunks = iter(message.chunks())
    elif isinstance(message, Iterable):
        chunks = iter(message)
    else:
        raise TypeError(f"a message is bytes, a Content or chunks of bytes, not {type(message).__name__}")
    seen = b""
    for chunk in chunks:
        if not isinstance(chunk, (bytes, bytearray)):
            raise TypeError(f"the chunks of a message are bytes, not {type(chunk).__name__}; give its octets")
        seen = seen + chunk if seen else chunk
        if b"\n" in chunk or len(seen) > _AT_MOST:
            break
    return _with_line_end(seen, chain((seen,), chunks))


def _with_line_end(beginning: bytes, chunks: Iterable[bytes]) -> tuple[Iterable[bytes], bytes]:
    """The chunks with CRLF line ends, and the line end that the beginning of the message has."""
    at = beginning.find(b"\n")
    if at < 0 or beginning[at - 1 : at] == b"\r":
        return chunks, b"\r\n"
    return _with_crlf(chunks), b"\n"


def _with_crlf(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks with CRLF for each LF that has none."""
    held = b""
    for chunk in chunks:
        chunk = held + chunk
        held = b"\r" if chunk.endswith(b"\r") else b""
        if held:
            chunk = chunk[:-1]
        yield chunk.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if held:
        yield held
