"""Outgoing messages: an envelope and content made of whatever a caller has.

A ``Message``, the standard library's ``EmailMessage``, octets, a path or an open file are taken alike.  Where there is
no envelope, the header has it (RFC 5322 §3.6.2, §3.6.3): Sender or From, and To, Cc and Bcc; where there are Resent
fields, those.  Bcc never leaves: the content has no such field.  Line ends become CRLF.  A large file is read when the
message is sent, in chunks, and never held whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple, cast

from posthouse.core import Address, Body, Bytes, Content, Envelope, LocalError, Recipient
from posthouse.protocol.readers import only_crlf
from posthouse.sending.messages.message_forms import ReadableFile, StandardMessage, StreamedMessage

__all__ = ["Outgoing", "envelope_of", "outgoing"]

#: Octets of a file up to which it is read at once.
_SHORT: Final = 1_048_576
_AT_ONCE: Final = 65_536  # octets of a composed message up to which it is written at once
_HEAD: Final = 1_048_576  # octets of a header section that are read for its addresses

# An attribute of an enumeration costs ten times a global name.
_BINARY: Final = Body.BINARYMIME
_EIGHTBIT: Final = Body.EIGHTBITMIME
_SEVENBIT: Final = Body.SEVENBIT


class Outgoing(NamedTuple):
    """A message that is ready to be sent."""

    envelope: Envelope
    content: Content


def outgoing(message: object, envelope: object = None) -> Outgoing:
    """The envelope and the content of a message; ``envelope`` (an ``EnvelopeLike``) in place of that of the message.

    Raises:
        LocalError: It is no message, or its header has no sender or no recipient, or an address is none.
        OSError: A file cannot be read.
    """
    given = None if envelope is None else envelope_of(envelope)
    octets = type(message) is bytes
    made = None if octets else _composed(message)
    if made is None:
        made = _raw(_with_crlf(message) if octets else _octets_of(message), given)  # type: ignore[arg-type]
    elif given is not None:
        made = Outgoing(_merged(made.envelope, given), made.content)
    if not made.envelope.recipients:
        raise LocalError("the message has no recipient; name one, or give envelope=(sender, [address])")
    return made


def envelope_of(given: object) -> Envelope:
    """The envelope of a pair of addresses (``EnvelopeLike``).  Raises ``LocalError``."""
    if isinstance(given, Envelope):
        return given
    if not (isinstance(given, tuple) and len(given) == 2):
        raise LocalError(_NO_ENVELOPE)
    sender, recipients = given
    try:
        if type(recipients) is list and len(recipients) == 1:  # what mostly comes
            return Envelope(_sender(sender) if sender else None, (_recipient(recipients[0]),))
        if isinstance(recipients, (str, Address)):
            recipients = (recipients,)
        elif isinstance(recipients, (bytes, bytearray)) or not isinstance(recipients, Iterable):
            raise LocalError(_NO_ENVELOPE)
        made = tuple([_recipient(each) for each in dict.fromkeys(recipients)])
        return Envelope(_sender(sender) if sender else None, made)
    except TypeError as error:  # not hashable, so no address
        raise LocalError(_NO_ENVELOPE) from error


_NO_ENVELOPE: Final = "envelope must be an Envelope, or a pair: the sender's address, and a list of recipients"


@lru_cache(maxsize=1024)
def _sender(value: object) -> Address:
    return _address(value, "the sender of the envelope")


@lru_cache(maxsize=4096)
def _recipient(value: object) -> Recipient:
    return Recipient(_address(value, "a recipient of the envelope"))


def _address(value: object, what: str) -> Address:
    from posthouse.message.mailboxes import parse_mailboxes

    if not isinstance(value, (str, Address)):
        raise LocalError(f"{what} must be a text or an Address, not {type(value).__name__}")
    found = parse_mailboxes(value, what)
    if len(found) != 1:
        raise LocalError(f"{what} must be one address, not {value!r}")
    return found[0].address


def _merged(own: Envelope, given: Envelope) -> Envelope:
    """The addresses of ``given``, with what its octets need as the message says it."""
    body = own.body if given.body is _SEVENBIT else given.body
    return given._replace(body=body, smtputf8=given.smtputf8 or own.smtputf8, size=own.size)


# Composed messages ----------------------------------------------------------------------------------------------------


class _Streamed:
    """The content of a message that writes itself in chunks."""

    __slots__ = ("_message",)

    def __init__(self, message: StreamedMessage) -> None:
        self._message = message

    @property
    def size(self) -> int:
        return self._message.size

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        for chunk in self._message.chunks():
            for start in range(0, len(chunk), at_most):
                yield chunk[start : start + at_most]


def _composed(message: object) -> Outgoing | None:
    """A message that has an envelope; None for others."""
    envelope = getattr(message, "envelope", None)
    if not isinstance(envelope, Envelope):
        return None
    if hasattr(message, "chunks") and hasattr(message, "size"):
        streamed = cast(StreamedMessage, message)
        if envelope.size is not None and envelope.size <= _AT_ONCE:
            return Outgoing(envelope, _without_bcc(_judged(b"".join(streamed.chunks()))))
        return Outgoing(envelope, _without_bcc(_Streamed(streamed)))
    write = getattr(message, "as_bytes", None)
    if write is not None:
        return Outgoing(envelope, _without_bcc(_judged(write())))
    content = getattr(message, "content", None)
    if isinstance(content, bytes):
        return Outgoing(envelope, _judged(content))
    raise LocalError(f"{type(message).__name__} has an envelope and neither as_bytes() nor chunks()")


def _judged(data: bytes) -> Bytes:
    """Content that is sent as it is; whether its line ends are CRLF is found out once."""
    return Bytes(data, only_crlf(data))


def _without_bcc(content: Content) -> Content:
    if type(content) is Bytes:  # the name is rarely in the header section, and then nothing has to be split
        end = content.data.find(b"\r\n\r\n")
        if b"bcc" not in content.data[: end if end >= 0 else None].lower():
            return content
    from posthouse.message.headers import without

    return without(without(content, b"bcc", _HEAD), b"resent-bcc", _HEAD)


# Octets ---------------------------------------------------------------------------------------------------------------


def _octets_of(message: object) -> Content:
    """The content of a message that has no envelope, with CRLF line ends.  Raises ``LocalError`` and ``OSError``."""
    if isinstance(message, (bytes, bytearray, memoryview)):
        return _with_crlf(bytes(message))
    if isinstance(message, str):
        raise LocalError(
            "a text is no message: write Message(sender=…, to=…, text=…), give octets, or pathlib.Path(…) for a file"
        )
    if isinstance(message, os.PathLike):
        return _file_at(os.fspath(message))
    if hasattr(message, "as_bytes"):
        if hasattr(message, "get_all"):
            return _standard(cast(StandardMessage, message))
        return _with_crlf(message.as_bytes())
    if hasattr(message, "read"):
        return _from_file(cast(ReadableFile, message))
    raise LocalError(
        f"{type(message).__name__} is no message; give a Message, an email.message.EmailMessage, bytes, an open "
        "file or a pathlib.Path"
    )


def _with_crlf(data: bytes) -> Bytes:
    if not only_crlf(data):
        from posthouse.message.compose import to_crlf

        data = to_crlf(data)
    return Bytes(data if data.endswith(b"\r\n") else data + b"\r\n", True)


def _standard(message: StandardMessage) -> Content:
    """The content of a message of the standard library.  That library makes an encoded word of an address beyond ASCII,
    which is no address then (RFC 2047 §5), so such a message is written in UTF-8, and put into ASCII where only domains
    and names need it."""
    from posthouse.message.reading.address_lists import read_mailboxes

    names = ("from", "sender", "to", "cc", "bcc", "reply-to", "resent-from", "resent-to", "resent-cc", "resent-bcc")
    values = [str(value) for name in names for value in message.get_all(name, [])]
    found = [each.address for value in values if not value.isascii() for each in read_mailboxes(value)]
    beyond = [each for each in found if each is not None and not each.is_ascii]
    policy = message.policy.clone(linesep="\r\n")
    if beyond and hasattr(policy, "utf8"):
        policy = policy.clone(utf8=True)
    try:
        written = message.as_bytes(policy=policy)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise LocalError(f"Python's email package cannot write this message: {error}") from error
    content = _with_crlf(written)
    if not beyond or any(not each.local.isascii() for each in beyond):
        return content
    from posthouse.message.composing.internationalized import in_ascii

    return in_ascii(content)


def _file_at(path: str) -> Content:
    from posthouse.sending.messages.file_content import content_of_path

    return content_of_path(path, _SHORT)


def _from_file(file: ReadableFile) -> Content:
    from posthouse.sending.messages.file_content import content_of_file

    return content_of_file(file, _SHORT)


def _raw(content: Content, given: Envelope | None) -> Outgoing:
    """A message that is octets: what they need of SMTP is found out, and the envelope if none is given."""
    if type(content) is Bytes and content.data.isascii():  # asks for nothing; the scan would take 10 µs for 4 KiB
        nul, eightbit, utf8_headers = b"\0" in content.data, False, False
    else:
        from posthouse.message.mime import Scanner

        scanner = Scanner()
        nul = False
        for chunk in content.chunks():
            scanner.feed(chunk)
            nul = nul or b"\0" in chunk
        needs = scanner.result()
        eightbit, utf8_headers = needs.eightbit, needs.utf8_headers
    envelope = given or _from_header(content)
    sender, recipients = envelope.sender, envelope.recipients
    utf8 = envelope.smtputf8 or utf8_headers or not (sender is None or sender.local.isascii())
    if not utf8:
        if len(recipients) == 1:  # a generator costs more than the question
            utf8 = not recipients[0].address.local.isascii()
        else:
            utf8 = any(not each.address.local.isascii() for each in recipients)
    clean = _without_bcc(content)
    if clean is not content and isinstance(content, Bytes):
        clean = _judged(b"".join(clean.chunks()))
    size = len(clean.data) if type(clean) is Bytes else clean.size
    body = _BINARY if nul else _EIGHTBIT if eightbit else _SEVENBIT
    if envelope.body is not _SEVENBIT:
        body = envelope.body
    fields = (sender, recipients, body, utf8, size, *envelope[5:])
    return Outgoing(tuple.__new__(Envelope, fields), clean)  # half the time of the class's own __new__


def _from_header(content: Content) -> Envelope:
    """The envelope that the header section describes.  Raises ``LocalError``."""
    from posthouse.message.headers import fields, split

    head = bytearray()
    for chunk in content.chunks():
        head += chunk
        if b"\r\n\r\n" in head or len(head) > _HEAD:
            break
    found = fields(split(bytes(head), _HEAD).headers)
    names = {field.name.lower() for field in found}
    again = b"resent-" if names & {b"resent-to", b"resent-cc", b"resent-bcc"} else b""
    values: dict[bytes, list[bytes]] = {}
    for field in found:
        values.setdefault(field.name.lower(), []).append(field.value)

    def addresses(name: bytes) -> list[Address]:
        return [each for value in values.get(again + name, ()) for each in _addresses(name, value)]

    senders = addresses(b"sender") or addresses(b"from")
    if not senders:
        raise LocalError("the message has no From field, so it has no sender; give envelope=(sender, recipients)")
    every = [*addresses(b"to"), *addresses(b"cc"), *addresses(b"bcc")]
    return Envelope(senders[0], tuple(map(Recipient, dict.fromkeys(every))))


def _addresses(name: bytes, value: bytes) -> list[Address]:
    """The addresses of a field.  One that cannot be read is an error: a guess would send to the wrong person."""
    from posthouse.message.reading.address_lists import read_mailboxes

    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    found: list[Address] = []
    for each in read_mailboxes(text):
        if each.address is None:
            field = name.decode().capitalize()
            raise LocalError(f"{each.name[:60]!r} in the field {field} is no address; correct it, or give envelope=…")
        found.append(each.address)
    return found
