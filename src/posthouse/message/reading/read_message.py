"""A message as it was read: header fields, mailboxes, text, attachments, and every defect with its place.

Nothing that a message holds raises an exception, and the work is linear in its length.  Parts are decoded when they are
asked for.  ``as_bytes`` gives exactly the octets that were read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import Final

from posthouse.message.reading.address_lists import ReadMailbox, read_mailboxes
from posthouse.message.reading.date_values import read_date
from posthouse.message.reading.defects import Defect
from posthouse.message.reading.encoded_text import text_of_octets
from posthouse.message.reading.field_section import Buffer
from posthouse.message.reading.one_time_codes import codes_in
from posthouse.message.reading.part_tree import PartNode
from posthouse.message.reading.read_part import HeaderField, PartSource, ReadPart
from posthouse.message.reading.readable_text import links_in_html, links_in_text, text_of_html
from posthouse.message.reading.text_bodies import Bodies, find_bodies

__all__ = ["ReadAttachment", "ReadMessage", "read_octets"]

#: A Message-ID as readers understand it: no white space and no brackets within.
_MESSAGE_ID: Final = re.compile(rb"<[^<>@\s\[\]()]+@(?:[^<>@\s\[\]()]+|\[[^\[\]\s]+\])>")
_TNEF: Final = frozenset({"application/ms-tnef", "application/vnd.ms-tnef"})


class ReadAttachment(ReadPart):
    """A part that is no text of the message: a file, a picture, an enclosed message."""

    def __init__(self, source: PartSource, node: PartNode, number: str, *, referenced: bool) -> None:
        super().__init__(source, node, number)
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
        return _save(directory, self.filename, self.content)


class _UuencodedAttachment(ReadAttachment):
    """A file that stands in the text of a message in the way of uuencode."""

    def __init__(self, source: PartSource, node: PartNode, number: str, name: str, content: bytes) -> None:
        super().__init__(source, node, number, referenced=False)
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


def _save(directory: str | os.PathLike[str], name: str, content: bytes) -> str:
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

    def __init__(self, buffer: Buffer, start: int = 0, longest_text: int | None = None) -> None:
        self._source = PartSource(buffer, start, longest_text)
        #: The first line of an mbox message ("From …"), b"" without one; it is no part of the message.
        self.mbox_line = bytes(buffer[:start])
        self._tree = self._source.tree
        self._found = self._source.defects

    def __repr__(self) -> str:
        author = None if self.sender is None else self.sender.address
        return f"<ReadMessage {self.message_id or '(no id)'} from {author or '(no author)'}>"

    # -- octets --------------------------------------------------------------------------------------------------------

    def as_bytes(self) -> bytes:
        """Exactly the octets that were read."""
        return bytes(self._source.buffer[:])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write exactly the octets that were read.  Raises ``OSError``."""
        with open(path, "wb") as file:
            file.write(self._source.buffer)

    # -- header fields -------------------------------------------------------------------------------------------------

    @cached_property
    def headers(self) -> tuple[HeaderField, ...]:
        """The header fields in their order."""
        return self._source.fields_of(self._tree)

    def header(self, name: str) -> str:
        """The value of the topmost field of a name, decoded; "" without one."""
        field = self._tree.section.first(name.lower())
        return "" if field is None else self._source.value_of(field)

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
            octets = text_of_octets(field.value, self._source.hints)
            if octets.guessed:
                self._found.add("guessed-charset", field.offset, "its charset is not said, and is guessed", field.name)
            at, named = field.offset, field.name

            def tell(code: str, text: str, at: int = at, named: str = named) -> None:
                self._found.add(code, at, text, named)

            found += read_mailboxes(octets.text, self._source.hints, tell)
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
        return ReadPart(self._source, self._tree, "")

    @cached_property
    def _bodies(self) -> Bodies:
        return find_bodies(self._tree, lambda node: bool(self._source.name_of(node)))

    @cached_property
    def text(self) -> str:
        """The text of the message: its plain text, or its HTML as text."""
        found = []
        for node in self._bodies.text:
            if node.type == "text/html":
                found.append(text_of_html(self._source.text_of(node)))
            elif node.type == "text/plain":
                rest = self._source.uuencoded(node)[1]
                found.append(self._source.text_of(node) if rest is None else rest)
        return "\n\n".join(each.strip("\n") for each in found if each.strip()) if len(found) > 1 else "".join(found)

    @property
    def text_parts(self) -> tuple[ReadPart, ...]:
        """The parts that ``text`` is made of."""
        numbers = dict(_numbered(self._tree))
        texts = (each for each in self._bodies.text if each.type in ("text/plain", "text/html"))
        return tuple(ReadPart(self._source, each, numbers[id(each)]) for each in texts)

    @cached_property
    def html(self) -> str | None:
        """The HTML of the message as its sender wrote it (it is not safe to show), None without it."""
        found = [self._source.text_of(node) for node in self._bodies.html if node.type == "text/html"]
        return "\n".join(found) if found else None

    @cached_property
    def attachments(self) -> tuple[ReadAttachment, ...]:
        """What the message has beside its text, in its order; pictures within its HTML are among it."""
        numbers = dict(_numbered(self._tree))
        shown = (self.html or "").lower()
        found: list[ReadAttachment] = []
        for node in self._bodies.attachments:
            number = numbers[id(node)]
            cid = ReadPart(self._source, node, number).content_id.lower()
            found.append(ReadAttachment(self._source, node, number, referenced=bool(cid) and f"cid:{cid}" in shown))
            if node.type in _TNEF:
                self._found.add(
                    "tnef", node.start, "a part is in the format TNEF of Microsoft Outlook, and is not taken apart"
                )
        for node in self._bodies.text:
            for name, content in self._source.uuencoded(node)[0] if node.type == "text/plain" else ():
                found.append(_UuencodedAttachment(self._source, node, numbers[id(node)], name, content))
                self._found.add("uuencode", node.start, "a file stands in the text in the way of uuencode")
        return tuple(found)

    @cached_property
    def links(self) -> tuple[str, ...]:
        """The web and mail addresses that the message links to, each once: those of its HTML, then of its text."""
        found = dict.fromkeys(links_in_html(self.html) if self.html else ())
        for node in self._bodies.text:
            if node.type == "text/plain":
                found.update(dict.fromkeys(links_in_text(self._source.text_of(node))))
        return tuple(found)

    @cached_property
    def codes(self) -> tuple[str, ...]:
        """One-time codes in the subject and the text, the likeliest first."""
        return tuple(codes_in(f"{self.subject}\n\n{self.text[: 1 << 20]}"))

    # -- defects -------------------------------------------------------------------------------------------------------

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What the message breaks, by place.  All of it is looked at now."""
        _ = self.headers, self.addresses, self.date, self.message_id, self.html, self.attachments
        for node in self._bodies.text:
            _ = self._source.text_of(node)
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


def read_octets(buffer: Buffer, *, longest_text: int | None = None) -> ReadMessage:
    """Read a message from its octets; a first line of mbox is left out.

    With ``longest_text``, only so many octets of each part are made into text and HTML: the text of a large part takes
    several times its size of memory.
    """
    start = 0
    if buffer[:5] == b"From ":
        start = buffer.find(b"\n") + 1
    return ReadMessage(buffer, start, longest_text)
