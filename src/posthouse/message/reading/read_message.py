"""A message as it was read: header fields, mailboxes, text, attachments, and every defect with its place.

Nothing that a message holds raises an exception, and the work is linear in its length.  Parts are decoded when they are
asked for.  ``as_bytes`` gives exactly the octets that were read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

from posthouse.message.reading.address_lists import ReadMailbox, read_mailboxes
from posthouse.message.reading.attachment_names import safe_file_name, suffix_of
from posthouse.message.reading.charsets import decode
from posthouse.message.reading.date_values import read_date
from posthouse.message.reading.defects import Defect, Defects
from posthouse.message.reading.encoded_text import decode_words, text_of_octets
from posthouse.message.reading.field_section import Buffer, RawField
from posthouse.message.reading.part_tree import PartNode, read_tree
from posthouse.message.reading.readable_text import codes_in, links_in_html, links_in_text, text_of_html
from posthouse.message.reading.text_bodies import Bodies, find_bodies
from posthouse.message.reading.transfer_encodings import decode_body, uuencoded_files

__all__ = ["HeaderField", "ReadAttachment", "ReadMessage", "ReadPart", "read_octets"]

_WORDS: Final = {
    "bad-base64": "its base64 is broken; what can be read of it is",
    "bad-quoted-printable": "its quoted-printable has an equals sign that begins no escape; it is read as it stands",
    "bad-uuencode": "it is no uuencoded file, and is read as it stands",
    "unknown-encoding": "its transfer encoding is not known, and it is read as it stands",
}
#: A Message-ID as readers understand it: no white space and no brackets within.
_MESSAGE_ID: Final = re.compile(rb"<[^<>@\s\[\]()]+@(?:[^<>@\s\[\]()]+|\[[^\[\]\s]+\])>")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TNEF: Final = frozenset({"application/ms-tnef", "application/vnd.ms-tnef"})


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


class ReadPart:
    """One part of a message."""

    def __init__(self, message: ReadMessage, node: PartNode, number: str) -> None:
        self._message = message
        self._node = node
        #: Its place in the tree, as IMAP counts: ``1.2`` is the second part of the first; the whole message is ``1``
        #: if it is no multipart, else "".
        self.number = number or ("" if node.multipart else "1")

    @property
    def type(self) -> str:
        """Its type in lower case, for example ``text/html``."""
        return self._node.type

    @property
    def parts(self) -> tuple[ReadPart, ...]:
        """The parts of a multipart; () for others."""
        dot = f"{self.number}." if self.number else ""
        return tuple(ReadPart(self._message, each, f"{dot}{n}") for n, each in enumerate(self._node.parts, 1))

    @property
    def headers(self) -> tuple[HeaderField, ...]:
        """Its header fields."""
        return self._message._fields_of(self._node)

    @property
    def raw(self) -> bytes:
        """Its body as it stands in the message."""
        return self._message._octets(self._node.start, self._node.end)

    @property
    def content(self) -> bytes:
        """Its body with the transfer encoding undone."""
        return self._message._content_of(self._node)

    @property
    def text(self) -> str:
        """Its content in its charset, with LF line ends; what its octets do not stand for is U+FFFD."""
        return self._message._text_of(self._node)

    @property
    def filename_raw(self) -> str:
        """The name as the sender wrote it, "" without one.  It may name folders; do not open it."""
        return self._message._name_of(self._node)

    def safe_name(self, number: int | str) -> str:
        """A name that is safe for a file, made of the sender's or, without one, of a number."""
        return safe_file_name(self.filename_raw, f"part-{number}{suffix_of(self.type)}")

    @property
    def content_id(self) -> str:
        """Its Content-ID without angle brackets, "" without one."""
        field = self._node.section.first("content-id")
        return field.value.decode("utf-8", "replace").strip().strip("<>").strip() if field is not None else ""


class ReadAttachment(ReadPart):
    """A part that is no text of the message: a file, a picture, an enclosed message."""

    def __init__(self, message: ReadMessage, node: PartNode, number: str, *, referenced: bool) -> None:
        super().__init__(message, node, number)
        #: Whether the HTML of the message shows it (``cid:``).
        self.referenced = referenced

    @property
    def filename(self) -> str:
        """A name that is safe for a file: no folder, no control characters, at most 200 octets."""
        return self.safe_name(self.number)

    @property
    def inline(self) -> bool:
        """Whether it is to be shown within the message."""
        return self.referenced or self._node.disposition.word == "inline"

    def message(self) -> ReadMessage:
        """The enclosed message, of an attachment of type message/rfc822 or message/global."""
        return read_octets(self.content)

    def save(self, directory: str | os.PathLike[str]) -> str:
        """Write it into a directory under its safe name; returns the path.

        A file that exists is never overwritten and a link never followed: the name gets a number then.  Raises
        ``OSError``.
        """
        return save(directory, self.filename, self.content)


class UuencodedAttachment(ReadAttachment):
    """A file that stands in the text of a message in the way of uuencode."""

    def __init__(self, message: ReadMessage, node: PartNode, number: str, name: str, content: bytes) -> None:
        super().__init__(message, node, number, referenced=False)
        self._name = name
        self._content = content

    @property
    def type(self) -> str:
        return "application/octet-stream"

    @property
    def filename_raw(self) -> str:
        return self._name

    @property
    def content(self) -> bytes:
        return self._content


def save(directory: str | os.PathLike[str], name: str, content: bytes) -> str:
    """Write a new file into a directory."""
    stem, dot, suffix = name.rpartition(".")
    if not dot or not stem:
        stem, suffix, dot = name, "", ""
    for nth in range(1, 10_000):
        path = os.path.join(os.fspath(directory), name if nth == 1 else f"{stem} ({nth}){dot}{suffix}")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except FileExistsError:
            continue
        with open(descriptor, "wb") as file:
            file.write(content)
        return path
    raise FileExistsError(f"{os.fspath(directory)} has 9,999 files of the name {name} already")


class ReadMessage:
    """One message; ``posthouse.read`` makes it."""

    def __init__(self, buffer: Buffer, start: int = 0) -> None:
        self._buffer = buffer
        self._found = Defects()
        #: The first line of an mbox message ("From …"), b"" without one; it is no part of the message.
        self.mbox_line = bytes(buffer[:start])
        self._start = start
        self._tree = read_tree(buffer, start, len(buffer), self._found)
        self._contents: dict[int, bytes] = {}

    # -- octets --------------------------------------------------------------------------------------------------------

    def as_bytes(self) -> bytes:
        """Exactly the octets that were read."""
        return bytes(self._buffer[:])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write exactly the octets that were read.  Raises ``OSError``."""
        with open(path, "wb") as file:
            file.write(self._buffer)

    def _octets(self, start: int, end: int) -> bytes:
        return bytes(self._buffer[start:end])

    # -- header fields -------------------------------------------------------------------------------------------------

    @cached_property
    def headers(self) -> tuple[HeaderField, ...]:
        """The header fields in their order."""
        return self._fields_of(self._tree)

    def _fields_of(self, node: PartNode) -> tuple[HeaderField, ...]:
        return tuple(HeaderField(each.name, self._value(each), each.raw, each.offset) for each in node.section.fields)

    def header(self, name: str) -> str:
        """The value of the topmost field of a name, decoded; "" without one."""
        field = self._tree.section.first(name.lower())
        return "" if field is None else self._value(field)

    def _value(self, field: RawField) -> str:
        octets = text_of_octets(field.value, self._hints)
        words = decode_words(octets.text, self._hints)
        if octets.guessed or words.guessed:
            self._found.add(
                "guessed-charset", field.offset, "its charset is not said or wrong, and is guessed", field.name
            )
        if octets.damaged or words.damaged:
            self._found.add("lost-characters", field.offset, "octets of it stand for no characters", field.name)
        return _CONTROL.sub(" ", words.text).strip()

    @cached_property
    def _hints(self) -> Sequence[str]:
        """The charsets that the parts name, for octets without a label."""
        names: dict[str, None] = {}
        waiting = [self._tree]
        while waiting and len(names) < 8:
            node = waiting.pop()
            waiting += node.parts[:100]
            charset = node.content_type.text("charset").text
            if charset:
                names[charset] = None
        return tuple(names)

    @property
    def subject(self) -> str:
        """The subject, "" without one."""
        return self.header("subject")

    @property
    def message_id(self) -> str:
        """The Message-ID without angle brackets, "" without one."""
        field = self._tree.section.first("message-id")
        if field is not None and _MESSAGE_ID.fullmatch(field.value) is None:
            self._found.add("bad-message-id", field.offset, "it is no id as RFC 5322 §3.6.4 has it", field.name)
        return next(iter(self._ids("message-id")), "")

    @property
    def in_reply_to(self) -> tuple[str, ...]:
        """The ids of In-Reply-To, without angle brackets."""
        return self._ids("in-reply-to")

    @property
    def references(self) -> tuple[str, ...]:
        """The ids of References, without angle brackets."""
        return self._ids("references")

    def _ids(self, name: str) -> tuple[str, ...]:
        field = self._tree.section.first(name)
        if field is None:
            return ()
        text = field.value.decode("utf-8", "replace")
        if "<" not in text:
            return tuple(text.split())
        return tuple("".join(each.partition(">")[0].split()) for each in text.split("<")[1:])

    @cached_property
    def date(self) -> datetime | None:
        """The instant of the Date field, None without one that can be read."""
        field = self._tree.section.first("date")
        if field is None:
            return None
        instant, proper = read_date(field.value)
        if instant is None or not proper:
            code, text = (
                ("bad-date", "it is no date")
                if instant is None
                else ("odd-date", "it is not written as RFC 5322 §3.3 has it")
            )
            self._found.add(code, field.offset, text, field.name)
        return instant

    # -- mailboxes -----------------------------------------------------------------------------------------------------

    def mailboxes(self, name: str) -> tuple[ReadMailbox, ...]:
        """The mailboxes of all fields of a name."""
        found: list[ReadMailbox] = []
        for field in self._tree.section.all(name.lower()):
            octets = text_of_octets(field.value, self._hints)
            if octets.guessed:
                self._found.add("guessed-charset", field.offset, "its charset is not said, and is guessed", field.name)
            at, named = field.offset, field.name

            def tell(code: str, text: str, at: int = at, named: str = named) -> None:
                self._found.add(code, at, text, named)

            found += read_mailboxes(octets.text, self._hints, tell)
        return tuple(found)

    @cached_property
    def sender(self) -> ReadMailbox | None:
        """The first mailbox of From, None without one."""
        return next(iter(self.mailboxes("from")), None)

    @cached_property
    def to(self) -> tuple[ReadMailbox, ...]:
        """The mailboxes of To."""
        return self.mailboxes("to")

    @cached_property
    def cc(self) -> tuple[ReadMailbox, ...]:
        """The mailboxes of Cc."""
        return self.mailboxes("cc")

    @cached_property
    def bcc(self) -> tuple[ReadMailbox, ...]:
        """The mailboxes of Bcc, of a message that was saved before it was sent."""
        return self.mailboxes("bcc")

    @cached_property
    def reply_to(self) -> tuple[ReadMailbox, ...]:
        """The mailboxes of Reply-To."""
        return self.mailboxes("reply-to")

    @property
    def addresses(self) -> tuple[ReadMailbox, ...]:
        """All mailboxes of From, Sender, Reply-To, To, Cc and Bcc that have an address, each address once."""
        found: dict[str, ReadMailbox] = {}
        for name in ("from", "sender", "reply-to", "to", "cc", "bcc"):
            for each in self.mailboxes(name):
                if each.address is not None:
                    found.setdefault(str(each.address), each)
        return tuple(found.values())

    # -- bodies --------------------------------------------------------------------------------------------------------

    @property
    def root(self) -> ReadPart:
        """The message as a tree of parts."""
        return ReadPart(self, self._tree, "")

    @cached_property
    def _bodies(self) -> Bodies:
        return find_bodies(self._tree, lambda node: bool(self._name_of(node)))

    @cached_property
    def text(self) -> str:
        """The text of the message: its plain text, or its HTML as text."""
        found = []
        for node in self._bodies.text:
            if node.type == "text/html":
                found.append(text_of_html(self._text_of(node)))
            elif node.type == "text/plain":
                rest = self._uuencoded(node)[1]
                found.append(self._text_of(node) if rest is None else rest)
        return "\n\n".join(each.strip("\n") for each in found if each.strip()) if len(found) > 1 else "".join(found)

    @property
    def text_parts(self) -> tuple[ReadPart, ...]:
        """The parts that ``text`` is made of."""
        numbers = dict(_numbered(self._tree))
        texts = (each for each in self._bodies.text if each.type in ("text/plain", "text/html"))
        return tuple(ReadPart(self, each, numbers[id(each)]) for each in texts)

    @cached_property
    def html(self) -> str | None:
        """The HTML of the message as its sender wrote it (it is not safe to show), None without it."""
        found = [self._text_of(node) for node in self._bodies.html if node.type == "text/html"]
        return "\n".join(found) if found else None

    @cached_property
    def attachments(self) -> tuple[ReadAttachment, ...]:
        """What the message has beside its text, in its order; pictures within its HTML are among it."""
        numbers = dict(_numbered(self._tree))
        shown = (self.html or "").lower()
        found: list[ReadAttachment] = []
        for node in self._bodies.attachments:
            number = numbers[id(node)]
            cid = ReadPart(self, node, number).content_id.lower()
            found.append(ReadAttachment(self, node, number, referenced=bool(cid) and f"cid:{cid}" in shown))
            if node.type in _TNEF:
                self._found.add(
                    "tnef", node.start, "a part is in the format TNEF of Microsoft Outlook, and is not taken apart"
                )
        for node in self._bodies.text:
            for name, content in self._uuencoded(node)[0] if node.type == "text/plain" else ():
                found.append(UuencodedAttachment(self, node, numbers[id(node)], name, content))
                self._found.add("uuencode", node.start, "a file stands in the text in the way of uuencode")
        return tuple(found)

    @cached_property
    def links(self) -> tuple[str, ...]:
        """The web and mail addresses that the message links to, each once: those of its HTML, then of its text."""
        found = dict.fromkeys(links_in_html(self.html) if self.html else ())
        for node in self._bodies.text:
            if node.type == "text/plain":
                found.update(dict.fromkeys(links_in_text(self._text_of(node))))
        return tuple(found)

    @cached_property
    def codes(self) -> tuple[str, ...]:
        """One-time codes in the subject and the text, the likeliest first."""
        return tuple(codes_in(f"{self.subject}\n\n{self.text[: 1 << 20]}"))

    def _content_of(self, node: PartNode) -> bytes:
        known = self._contents.get(node.start)
        if known is not None:
            return known
        encoding = "" if node.multipart else node.encoding
        content, wrong = decode_body(self._octets(node.start, node.end), encoding)
        if wrong:
            self._found.add(wrong, node.start, f"a part of the type {node.type}: {_WORDS[wrong]}")
        if len(content) <= 1 << 20:  # larger ones are decoded again rather than kept
            self._contents[node.start] = content
        return content

    def _text_of(self, node: PartNode, content: bytes | None = None) -> str:
        label = node.content_type.text("charset").text
        found = decode(self._content_of(node) if content is None else content, label, self._hints)
        if found.guessed and (label or found.charset != "utf-8"):
            self._found.add(
                "guessed-charset",
                node.start,
                f"the charset of a part is not said or wrong, and is guessed: {found.charset}",
            )
        if found.damaged:
            self._found.add(
                "lost-characters", node.start, f"octets of a part stand for no characters of {found.charset}"
            )
        return found.text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")

    def _uuencoded(self, node: PartNode) -> tuple[list[tuple[str, bytes]], str | None]:
        """The files in a text part, and the text without them, None if it has none."""
        content = self._content_of(node)
        if b"begin" not in content:
            return [], None
        files, rest = uuencoded_files(content)
        return (files, self._text_of(node, rest)) if files else ([], None)

    def _name_of(self, node: PartNode) -> str:
        """The file name of a part as its sender wrote it."""
        for value, name in ((node.disposition, "filename"), (node.content_type, "name")):
            found = value.text(name)
            if found.text.strip():
                if found.encoded_word:
                    self._found.add(
                        "encoded-name",
                        node.start,
                        "a file name is written as an encoded word, which RFC 2047 §5 forbids",
                    )
                return found.text.strip()
        return ""

    # -- defects -------------------------------------------------------------------------------------------------------

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What the message breaks, by place.  All of it is looked at now."""
        _ = self.headers, self.addresses, self.date, self.message_id, self.text, self.html, self.attachments
        for each in self.attachments:
            _ = each.filename_raw, each.content
        return tuple(sorted(self._found.found, key=lambda defect: defect.offset))


def _numbered(root: PartNode) -> Iterator[tuple[int, str]]:
    """Each part's number, by the identity of its node."""
    waiting = [(root, "")]
    while waiting:
        node, number = waiting.pop()
        yield id(node), number or "1"
        dot = f"{number}." if number else ""
        waiting += [(each, f"{dot}{n}") for n, each in enumerate(node.parts, 1)]


def read_octets(buffer: Buffer) -> ReadMessage:
    """Read a message from its octets; a first line of mbox is left out."""
    start = 0
    if buffer[:5] == b"From ":
        start = buffer.find(b"\n") + 1
    return ReadMessage(buffer, start)
