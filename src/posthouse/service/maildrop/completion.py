"""Completion of a message that a program of this machine submits: what ``sendmail`` adds, takes out and reads.

Like Postfix's sendmail and cleanup programs:

*  recipients of To, Cc and Bcc are added to those of the command line if ``-t`` was given; those of the Resent- fields
   instead, where there are any (RFC 5322 §3.6.6);
*  Bcc, Resent-Bcc, Return-Path and Content-Length are taken out;
*  From, Date and Message-ID are added where they are missing, and addresses without a domain get one;
*  a first line ``From ann Thu Nov 26 …``, of a mailbox file, is dropped.

A message whose first line is no field is all body.  The header section is held in memory, at most 1 MiB; the body
streams.  Line ends become CRLF.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from posthouse.core import Address, LocalError
from posthouse.message.field_writing import mailbox_field
from posthouse.message.mailboxes import Mailbox
from posthouse.service.maildrop.address_spans import qualified, read_address, spans

__all__ = ["Author", "Completed", "Lines", "complete", "read_lines"]

#: Octets of a header section, and of a piece of a line that is handled at one time.
_HEADER_AT_MOST: Final = 1 << 20
_PIECE: Final = 65_536
_FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:")
_DROPPED: Final = frozenset((b"bcc", b"resent-bcc", b"return-path", b"content-length"))
_ADDRESSES: Final = frozenset(
    b"from sender reply-to to cc resent-from resent-sender resent-reply-to resent-to resent-cc".split()
)
_TO: Final = (b"to", b"cc", b"bcc")
_RESENT_TO: Final = (b"resent-to", b"resent-cc", b"resent-bcc")
_MESSAGE_ID: Final = re.compile(rb"<[^<>\x00-\x20\x7f]{1,250}>")


class Lines(Protocol):
    """What is read: a binary file."""

    def readline(self, limit: int = -1, /) -> bytes:
        """The next line with its end, or ``limit`` octets of it."""
        ...


class Author(NamedTuple):
    """The sender of a message that does not say so itself: the full name, "" for none, and the address; None for the
    null sender."""

    name: str
    address: Address | None


class Completed(NamedTuple):
    """A message ready for the maildrop, but for its envelope: the header section with the empty line behind it, the
    recipients that were in it, and its Message-ID.  ``body`` gives the rest, once."""

    headers: bytes
    recipients: tuple[Address, ...]
    message_id: str
    body: Iterator[bytes]


def read_lines(file: Lines, *, dot_ends: bool) -> Iterator[bytes]:
    """The lines of a message, long ones in pieces; ``dot_ends``: a line with nothing but a dot is the end."""
    whole = True  # the next piece begins a line
    while piece := file.readline(_PIECE):
        if dot_ends and whole and piece in (b".\n", b".\r\n", b"."):
            return
        whole = piece.endswith(b"\n")
        yield piece


def complete(
    lines: Iterable[bytes],
    author: Author,
    domain: str,
    *,
    date: str,
    message_id: str,
    gathers: bool = False,
    gateway: bool = False,
) -> Completed:
    """Read the header section, and complete it.

    Args:
        lines: From ``read_lines``.
        domain: For addresses without one.
        date: The value of Date where it is missing, and ``message_id`` that of Message-ID.
        gathers: Whether the recipients of the header section are wanted (``-t``).
        gateway: The message was submitted elsewhere: nothing is added or completed (``-G``).

    Raises ``LocalError`` for a recipient that is no address, or a header section over 1 MiB.
    """
    rest = iter(lines)
    fields, behind = _header(rest)
    resent = any(name.startswith(b"resent-") for name, _ in fields)
    recipients: dict[Address, None] = {}
    made: list[bytes] = []
    names: set[bytes] = set()
    for name, value in fields:
        if gathers and name in (_RESENT_TO if resent else _TO):
            recipients |= {read_address(span.text, domain): None for span in spans(value)}
        if name in _DROPPED:
            continue
        names.add(name)
        if name == b"message-id" and (found := _MESSAGE_ID.search(value)) is not None:
            message_id = found[0].decode("ascii", "replace")
        made.append(_written(name, value, "" if gateway else domain))
    if not gateway:
        made[:0] = _missing(names, author, domain, date, message_id, resent)
    headers = b"".join(made)
    return Completed(headers + b"\r\n", tuple(recipients), message_id, _crlf(behind, rest))


def _header(rest: Iterator[bytes]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The fields, each with its name as it was written in front of its value; and what belongs to the body already."""
    fields: list[list[bytes]] = []
    octets, started, begun = 0, False, True
    for piece in rest:
        if not started and piece.startswith((b"From ", b">From ")):
            started = True
            while not piece.endswith(b"\n"):  # of a line longer than a piece
                piece = next(rest, b"\n")
            continue
        started = True
        octets += len(piece)
        if octets > _HEADER_AT_MOST:
            raise LocalError(f"the header section is longer than {_HEADER_AT_MOST} octets; shorten it")
        if not begun:
            fields[-1].append(piece)
        elif piece in (b"\n", b"\r\n"):
            return _named(fields), b""
        elif piece[:1] in b" \t" and fields:
            fields[-1].append(piece)
        elif _FIELD.match(piece):
            fields.append([piece])
        else:
            return _named(fields), piece
        begun = piece.endswith(b"\n")
    return _named(fields), b""


def _named(fields: list[list[bytes]]) -> list[tuple[bytes, bytes]]:
    """Name in lower case, and the whole field; its lines end with CRLF."""
    made = []
    for pieces in fields:
        raw = _to_crlf(b"".join(pieces))
        match = _FIELD.match(raw)
        assert match is not None
        made.append((match[1].lower(), raw if raw.endswith(b"\r\n") else raw + b"\r\n"))
    return made


def _written(name: bytes, raw: bytes, domain: str) -> bytes:
    if not domain or name not in _ADDRESSES:
        return raw
    start = raw.index(b":") + 1
    return raw[:start] + qualified(raw[start:], domain)


def _missing(names: set[bytes], author: Author, domain: str, date: str, message_id: str, resent: bool) -> list[bytes]:
    prefix = "Resent-" if resent else ""
    made: list[bytes] = []
    mailbox = Mailbox(_printable(author.name), author.address or Address("MAILER-DAEMON", domain))
    fields = {
        "Date": f"Date: {date}\r\n".encode(),
        "From": mailbox_field("From", [mailbox], utf8=not mailbox.address.local.isascii()),
        "Message-ID": f"Message-ID: {message_id}\r\n".encode(),
    }
    for name, field in fields.items():
        if f"{prefix}{name}".lower().encode() not in names:
            made.append(prefix.encode() + field)
    return made


def _printable(name: str) -> str:
    return "".join(each for each in name if each.isprintable())[:200]


def _crlf(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """The body with CRLF line ends, in pieces of about 64 KiB."""
    kept = [first] if first else []
    octets = len(first)
    held = b""
    for piece in rest:
        kept.append(piece)
        octets += len(piece)
        if octets >= _PIECE:
            data = held + b"".join(kept)
            held = b"\r" if data.endswith(b"\r") else b""
            yield _to_crlf(data[: len(data) - len(held)])
            kept, octets = [], 0
    if data := held + b"".join(kept):
        made = _to_crlf(data)
        yield made if made.endswith(b"\n") else made + b"\r\n"


_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


def _to_crlf(data: bytes) -> bytes:
    return _LINE_END.sub(b"\r\n", data)
