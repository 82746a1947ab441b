"""A message as the command line and the console show it: header fields and text decoded, parts numbered.

``message.reading`` reads it; nothing raises, whatever a message breaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from posthouse.message.reading.encoded_text import decode_words
from posthouse.message.reading.read_message import ReadMessage, read_octets
from posthouse.message.reading.read_part import ReadPart
from posthouse.message.reading.readable_text import links_in_html, links_in_text, text_of_html

__all__ = ["MessagePart", "MessageView", "decoded_field", "links_within", "text_within", "view"]

_MOST_PARTS: Final = 1000
_LONGEST_FIELD: Final = 2000


class MessagePart:
    """One part that is no multipart: ``number`` counts from 1, ``name`` is safe as a file name; ``shown`` if its text
    is in the view's ``text``.  Its content is decoded each time that it is asked for, and not kept if it is large."""

    __slots__ = ("_part", "name", "number", "shown", "type")

    def __init__(self, number: int, part: ReadPart, *, shown: bool) -> None:
        self.number = number
        self.type = part.type
        self.name = part.safe_name(number)
        self.shown = shown
        self._part = part

    @property
    def content(self) -> bytes:
        """Its body with the transfer encoding undone."""
        return self._part.content


class MessageView(NamedTuple):
    """``fields`` are From, To, Cc, Date and Subject as far as there are such, decoded; ``text`` is what people read."""

    fields: tuple[tuple[str, str], ...]
    text: str
    parts: tuple[MessagePart, ...]

    @property
    def attachments(self) -> list[MessagePart]:
        """The parts that the text does not have."""
        return [part for part in self.parts if not part.shown]

    def field(self, name: str) -> str:
        """The value of a header field, "" without one."""
        return next((value for each, value in self.fields if each == name), "")


def text_within(message: ReadMessage, most: int, *, plain: int | None = None) -> str:
    """What people read, within ``plain`` characters (without it, any number).

    Of HTML only the first ``most`` characters are made into text: that takes its time, a second for 2 million.
    """
    parts = message.text_parts
    if all(len(part.content) <= most for part in parts if part.type == "text/html"):
        return message.text[:plain]
    texts = [text_of_html(part.text[:most]) if part.type == "text/html" else part.text[:plain] for part in parts]
    return "\n\n".join(each.strip("\n") for each in texts if each.strip())[:plain]


def links_within(message: ReadMessage, most: int) -> tuple[str, ...]:
    """The links in the first ``most`` characters of the HTML, and in as many of each plain text."""
    html = message.html or ""
    plain = [part for part in message.text_parts if part.type == "text/plain"]
    if max(len(html), *(len(part.content) for part in plain), 0) <= most:
        return message.links
    found = dict.fromkeys(links_in_html(html[:most]))
    for part in plain:
        found.update(dict.fromkeys(links_in_text(part.text[:most])))
    return tuple(found)


def view(octets: bytes, *, most: int | None = None) -> MessageView:
    """The view of a whole message; of its HTML only the first ``most`` characters are made into text, if that is
    given."""
    message = read_octets(octets, longest_text=None if most is None else 16 * most)
    fields = tuple(
        (name, _printable(message.header(name)))
        for name in ("From", "To", "Cc", "Date", "Subject")
        if any(field.name.lower() == name.lower() for field in message.headers)
    )
    texts = {part.number for part in message.text_parts}
    parts = tuple(MessagePart(n, part, shown=part.number in texts) for n, part in enumerate(_leaves(message.root), 1))
    text = message.text if most is None else text_within(message, most)
    return MessageView(fields, text.strip("\n"), parts)


def decoded_field(value: str) -> str:
    """The value of a header field for people: on one line, encoded words decoded."""
    return _printable(decode_words(" ".join(value.split())).text)


def _printable(text: str) -> str:
    """The text for a terminal: signs that show nothing, which may hide or move others, are spaces."""
    return "".join(sign if sign.isprintable() else " " for sign in text).strip()[:_LONGEST_FIELD]


def _leaves(root: ReadPart) -> Iterator[ReadPart]:
    """The parts that are no multipart, in their order; an enclosed message is one part."""
    waiting = [root]
    number = 0
    while waiting and number < _MOST_PARTS:
        part = waiting.pop()
        if part.parts:
            waiting += reversed(part.parts)
        else:
            number += 1
            yield part
