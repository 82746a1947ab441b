"""Parts of a message that was read, decoded when they are asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from posthouse.message.reading.attachment_names import safe_file_name, suffix_of
from posthouse.message.reading.charsets import decode
from posthouse.message.reading.defects import Defects
from posthouse.message.reading.encoded_text import decode_words, text_of_octets
from posthouse.message.reading.field_section import Buffer, RawField
from posthouse.message.reading.flowed_lines import unflowed
from posthouse.message.reading.part_tree import PartNode, read_tree
from posthouse.message.reading.transfer_encodings import UuencodedFile, decode_body, uuencoded_files

__all__ = ["HeaderField", "PartSource", "ReadPart"]

_WORDS: Final = {
    "bad-base64": "its base64 is broken; what can be read of it is",
    "bad-quoted-printable": "its quoted-printable has an equals sign that begins no escape; it is read as it stands",
    "bad-uuencode": "it is no uuencoded file, and is read as it stands",
    "unknown-encoding": "its transfer encoding is not known, and it is read as it stands",
}
_CONTROLS: Final = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0))))
_CONTROL: Final = re.compile(f"[{re.escape(_CONTROLS)}]")
_KEPT: Final = 1 << 20  # octets of a decoded content that are kept; larger ones are decoded again


@dataclass(frozen=True, slots=True)
class HeaderField:
    """One header field.

    Attributes:
        name: the name, as it is written.
        value: the value for people: on one line, encoded words decoded.
        raw: all octets of the field, its line end included.
        offset: where it begins, in octets from the begin of the message.
    """

    name: str
    value: str
    raw: bytes
    offset: int


class PartSource:
    """The octets of a message, its tree of parts, and the decoded contents that are kept.

    ``longest_text`` is how many octets of a text part, as it was delivered, are made into text: those of whole lines.
    """

    def __init__(self, buffer: Buffer, start: int, longest_text: int | None = None) -> None:
        self.buffer = buffer
        self._longest_text = longest_text
        self.defects = Defects()
        self.tree = read_tree(buffer, start, len(buffer), self.defects)
        self._contents: dict[int, bytes] = {}

    def octets(self, start: int, end: int) -> bytes:
        """The octets between two places of the message."""
        return bytes(self.buffer[start:end])

    def fields_of(self, node: PartNode) -> tuple[HeaderField, ...]:
        """The header fields of a part."""
        return tuple(HeaderField(each.name, self.value_of(each), each.raw, each.offset) for each in node.section.fields)

    def value_of(self, field: RawField) -> str:
        """The value of a header field for people.  White space at its ends is no part of it, unless an encoded word
        has it."""
        octets = text_of_octets(field.value, self.hints)
        words = decode_words(octets.text.strip(" \t\r\n"), self.hints)
        if octets.guessed or words.guessed:
            self.defects.add(
                "guessed-charset", field.offset, "its charset is not said or wrong, and is guessed", field.name
            )
        if octets.damaged or words.damaged:
            self.defects.add("lost-characters", field.offset, "octets of it stand for no characters", field.name)
        return _CONTROL.sub(" ", words.text.strip(_CONTROLS))

    @cached_property
    def hints(self) -> Sequence[str]:
        """The charsets that the parts name, for octets without a label."""
        names: dict[str, None] = {}
        waiting = [self.tree]
        while waiting and len(names) < 8:
            node = waiting.pop()
            waiting += node.parts[:100]
            charset = node.content_type.text("charset").text
            if charset:
                names[charset] = None
        return tuple(names)

    def content_of(self, node: PartNode) -> bytes:
        """The body of a part with its transfer encoding undone."""
        known = self._contents.get(node.start)
        if known is not None:
            return known
        encoding = "" if node.multipart else node.encoding
        content, wrong = decode_body(self.octets(node.start, node.end), encoding)
        if wrong:
            self.defects.add(wrong, node.start, f"a part of the type {node.type}: {_WORDS[wrong]}")
        if len(content) <= _KEPT:
            self._contents[node.start] = content
        return content

    def _content_for_text(self, node: PartNode) -> bytes:
        """The body of a part as far as it is made into text, with its transfer encoding undone."""
        longest = self._longest_text
        if longest is None or node.multipart or node.end - node.start <= longest:
            return self.content_of(node)
        beginning = self.octets(node.start, node.start + longest)
        whole_lines = beginning.rfind(b"\n") + 1
        return decode_body(beginning[:whole_lines] if whole_lines else beginning, node.encoding)[0]

    def text_of(self, node: PartNode, content: bytes | None = None) -> str:
        """The text of a part, or of ``content`` in its charset, with LF line ends."""
        label = node.content_type.text("charset").text
        found = decode(self._content_for_text(node) if content is None else content, label, self.hints)
        if found.guessed and (label or found.charset != "utf-8"):
            self.defects.add(
                "guessed-charset",
                node.start,
                f"the charset of a part is not said or wrong, and is guessed: {found.charset}",
            )
        if found.damaged:
            self.defects.add(
                "lost-characters", node.start, f"octets of a part stand for no characters of {found.charset}"
            )
        text = found.text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
        if node.type == "text/plain" and node.content_type.text("format").text.strip().lower() == "flowed":
            return unflowed(text, delete_space=node.content_type.text("delsp").text.strip().lower() == "yes")
        return text

    def uuencoded(self, node: PartNode) -> tuple[list[UuencodedFile], str | None]:
        """The files in a text part, and the text without them, None if it has none."""
        content = self._content_for_text(node)
        if b"begin" not in content:
            return [], None
        files, rest = uuencoded_files(content)
        return (files, self.text_of(node, rest)) if files else ([], None)

    def name_of(self, node: PartNode) -> str:
        """The file name of a part as its sender wrote it."""
        for value, name in ((node.disposition, "filename"), (node.content_type, "name")):
            found = value.text(name)
            if found.text.strip():
                if found.encoded_word:
                    self.defects.add(
                        "encoded-name",
                        node.start,
                        "a file name is written as an encoded word, which RFC 2047 §5 forbids",
                    )
                return found.text.strip()
        return ""


class ReadPart:
    """One part of a message."""

    def __init__(self, source: PartSource, node: PartNode, number: str) -> None:
        self._source = source
        self._node = node
        #: Its place in the tree, as IMAP counts: ``1.2`` is the second part of the first; the whole message is ``1``
        #: if it is no multipart, else "".
        self.number = number or ("" if node.multipart else "1")

    def __repr__(self) -> str:
        name = self.filename_raw
        return f"<{type(self).__name__} {self.number or '(all)'}: {self.type}{f' {name!r}' if name else ''}>"

    @property
    def type(self) -> str:
        """Its type in lower case, for example ``text/html``."""
        return self._node.type

    @property
    def parts(self) -> tuple[ReadPart, ...]:
        """The parts of a multipart; () for others."""
        dot = f"{self.number}." if self.number else ""
        return tuple(ReadPart(self._source, each, f"{dot}{n}") for n, each in enumerate(self._node.parts, 1))

    @property
    def headers(self) -> tuple[HeaderField, ...]:
        """Its header fields."""
        return self._source.fields_of(self._node)

    @property
    def raw(self) -> bytes:
        """Its body as it stands in the message."""
        return self._source.octets(self._node.start, self._node.end)

    @property
    def content(self) -> bytes:
        """Its body with the transfer encoding undone."""
        return self._source.content_of(self._node)

    @property
    def text(self) -> str:
        """Its content in its charset, with LF line ends; what its octets do not stand for is U+FFFD."""
        return self._source.text_of(self._node)

    @property
    def filename_raw(self) -> str:
        """The name as the sender wrote it, "" without one.  It may name folders; do not open it."""
        return self._source.name_of(self._node)

    def safe_name(self, number: int | str) -> str:
        """A name that is safe for a file, made of the sender's or, without one, of a number."""
        return safe_file_name(self.filename_raw, f"part-{number}{suffix_of(self.type)}")

    @property
    def content_id(self) -> str:
        """Its Content-ID without angle brackets, "" without one."""
        field = self._node.section.first("content-id")
        return field.value.decode("utf-8", "replace").strip().strip("<>").strip() if field is not None else ""
