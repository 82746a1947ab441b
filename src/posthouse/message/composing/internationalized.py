"""Header sections with UTF-8 (RFC 6532) in ASCII, for hosts without SMTPUTF8, in the forms of RFC 6857.

Where a form in ASCII says the same, nothing is lost: names and subjects become encoded words, and domains A-labels.  An
address whose local part is not ASCII has no such form.  In its place stands an empty group whose name tells the address
(RFC 6857 §3.1.8), so that a reader knows of the recipient and no program can answer to another.  Fields of identifiers
become unstructured fields with the name ``Downgraded-…`` (§3.1.10).  Header sections of MIME parts and all bodies stay
as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from posthouse.core import Address, Bytes, Content, Prefixed
from posthouse.message.encode import encoded_words, fold
from posthouse.message.field_writing import text_field
from posthouse.message.headers import Field, fields, split
from posthouse.message.mailboxes import Mailbox, write_mailbox, write_phrase

__all__ = ["in_ascii"]

_HEAD: Final = 1_048_576
_ADDRESS_FIELDS: Final = frozenset(
    b"from sender reply-to to cc bcc resent-from resent-sender resent-reply-to resent-to resent-cc resent-bcc "
    b"return-path disposition-notification-to".split()
)
#: Fields of people's text; any other field that is not ASCII is structured, and unstructured only as ``Downgraded-``.
_TEXT_FIELDS: Final = frozenset(b"subject comments content-description organization user-agent x-mailer".split())
_WORD_LINE: Final = 76  # octets of a line with an encoded word (RFC 2047 §2)


def in_ascii(content: Content) -> Content:
    """The message with a header section in ASCII; ``content`` itself if it has one."""
    head = bytearray()
    chunks = content.chunks(65_536)
    for chunk in chunks:
        head += chunk
        if b"\r\n\r\n" in head or len(head) > _HEAD:
            break
    section = split(bytes(head), _HEAD).headers
    if section.isascii():
        return content
    made = b"".join(field.raw if field.raw.isascii() else _field(field) for field in fields(section))
    rest = _Behind(content, len(section))
    if content.size <= _HEAD:
        return Bytes(made + b"".join(rest.chunks()))
    return Prefixed(made, rest)


class _Behind:
    """The content behind its first octets."""

    def __init__(self, content: Content, skip: int) -> None:
        self._content = content
        self._skip = skip

    @property
    def size(self) -> int:
        return self._content.size - self._skip

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        skip = self._skip
        for chunk in self._content.chunks(at_most):
            if skip < len(chunk):
                yield chunk[skip:] if skip else chunk
            skip = max(0, skip - len(chunk))


def _field(field: Field) -> bytes:
    name = field.name.decode("ascii", "replace")
    lowered = field.name.lower()
    value = _text(field.value)
    if lowered in _ADDRESS_FIELDS:
        return _address_field(name, value)
    if lowered in _TEXT_FIELDS or lowered.startswith(b"x-"):
        return text_field(name, value, utf8=False)
    if lowered.startswith(b"content-"):
        return _with_parameters(name, value)
    return text_field(f"Downgraded-{name}", value, utf8=False)


def _text(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return "".join(sign if sign.isprintable() or sign == " " else " " for sign in text)


def _address_field(name: str, value: str) -> bytes:
    from posthouse.message.reading.address_lists import read_mailboxes

    tokens: list[str] = []
    for found in read_mailboxes(value):
        address = found.address
        if address is None:
            continue
        written = _mailbox(found.name, address)
        tokens += [*written[:-1], written[-1] + ","]
    if not tokens:
        return text_field(f"Downgraded-{name}", value, utf8=False)
    tokens[-1] = tokens[-1].removesuffix(",")
    return fold(name, tokens)


def _mailbox(name: str, address: Address) -> list[str]:
    """A mailbox, or the empty group that stands for one which has no form in ASCII, as tokens for ``fold``."""
    if address.local.isascii():
        return write_mailbox(Mailbox(name, address), room=_WORD_LINE - 16)
    words = encoded_words(str(address), _WORD_LINE - 1)
    phrase = write_phrase(name, room=_WORD_LINE - 16)
    return [*phrase, "Internationalized", "Address", *words, "Removed:;"]


def _with_parameters(name: str, value: str) -> bytes:
    """A field of MIME: its value, and its parameters in the form of RFC 2231."""
    from posthouse.message.encode import parameter
    from posthouse.message.reading.parameter_values import read_value

    found = read_value(value.encode())
    if not found.word:
        return text_field(f"Downgraded-{name}", value, utf8=False)
    tokens = [found.word]
    for key in found.parameters:
        tokens[-1] += ";"
        tokens += parameter(key, found.text(key).text)
    return fold(name, tokens)
