"""Tree of MIME parts (RFC 2046), found in one pass over the delimiter lines of a message.

The walk is linear in the length of the message: each line that begins with two hyphens is looked up once among the
boundaries that are open, and nothing is copied.  An enclosed message is one part, which is read when it is asked for.
"""

from __future__ import annotations

import re
from typing import Final

from posthouse.message.headers import Field
from posthouse.message.reading.defects import Defects, quoted
from posthouse.message.reading.field_section import Buffer, Section, read_section
from posthouse.message.reading.parameter_values import StructuredValue, read_value
from posthouse.message.structured import content_type, first_word

__all__ = ["DEPTH_MOST", "PARTS_MOST", "PartNode", "read_tree"]

#: Parts of one message, and multiparts within one another, that are read.
PARTS_MOST: Final = 100_000
DEPTH_MOST: Final = 100
_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+*'%`{|}~-]+/[a-z0-9!#$&^_.+*'%`{|}~-]+")
# No boundary of RFC 2046 has more than 70 octets; longer ones are seen.
_CANDIDATE: Final = re.compile(rb"--([^\r\n]{1,1000}+)(?:\r?\n|\r?\Z)")
# A literal is searched for 20 times as fast as the expression.
_HYPHENS: Final = re.compile(rb"\n--")


class PartNode:
    """One part of a message.

    Attributes:
        section: its header section.
        start, end: its body, in octets of the message.
        type: its type in lower case, as it is read (``text/plain`` where the label is wrong or missing).
        parts: what it consists of; none for a part that is no multipart.
    """

    __slots__ = ("content_type", "disposition", "encoding", "end", "parts", "section", "start", "type")

    def __init__(self, section: Section, start: int, default: str, defects: Defects) -> None:
        self.section = section
        self.start = self.end = start
        self.parts: list[PartNode] = []
        labels = section.all("content-type")
        self.content_type = read_value(labels[0].value) if labels else StructuredValue("", {})
        self.type = self.content_type.word or default
        if _TYPE.fullmatch(self.type) is None:
            defects.add(
                "bad-type", labels[0].offset, f"the type {quoted(self.type)} is none, and is read as text/plain"
            )
            self.type = "text/plain"
        if len(labels) > 1:
            defects.add("second-type", labels[1].offset, "a part has two fields Content-Type; the first counts")
        disposition = section.first("content-disposition")
        self.disposition = read_value(disposition.value) if disposition is not None else StructuredValue("", {})
        for value in (self.content_type, self.disposition):
            empty = [name for name, parameter in value.parameters.items() if not parameter.octets]
            if empty:
                defects.add("bad-parameter", start, f"the parameter {quoted(empty[0])} of a part has no value")
        encoding = section.first("content-transfer-encoding")
        self.encoding = first_word(encoding.value).decode("ascii", "replace") if encoding is not None else ""

    @property
    def multipart(self) -> bool:
        """Whether it consists of parts."""
        return self.type.startswith("multipart/")


class _Open:
    """A multipart that is open, with the level of the walk that it has."""

    __slots__ = ("boundaries", "node", "over")

    def __init__(self, node: PartNode, boundaries: tuple[bytes, ...]) -> None:
        self.node = node
        self.boundaries = boundaries
        self.over = False  # its closing delimiter has been read


class _TreeWalk:
    def __init__(self, buffer: Buffer, end: int, defects: Defects) -> None:
        self._buffer = buffer
        self._end = end
        self._defects = defects
        self._open: list[_Open] = []
        #: Delimiter lines without their hyphens → levels of the multiparts that have them, and whether they close it.
        self._marks: dict[bytes, list[tuple[int, bool]]] = {}
        self._count = 0
        self._last: PartNode | None = None  # the part that is open and no multipart

    def read(self, root: PartNode) -> None:
        self._begin(root)
        at = root.start
        while self._open:
            match = self._candidate(at)
            if match is None:
                break
            at = match.end()
            levels = self._marks.get(match[1].rstrip(b" \t"))
            if levels:
                at = self._delimiter(match, *levels[-1])
                if self._count >= PARTS_MOST:
                    self._defects.add(
                        "too-many-parts", at, f"the message has more than {PARTS_MOST} parts; the rest is one"
                    )
                    break
        self._close(0, self._end)

    def _candidate(self, at: int) -> re.Match[bytes] | None:
        """The next line that may be a delimiter, from this place on."""
        if not at:
            match = _CANDIDATE.match(self._buffer, 0, self._end)
            if match is not None:
                return match
        for found in _HYPHENS.finditer(self._buffer, max(0, at - 1), self._end):
            match = _CANDIDATE.match(self._buffer, found.start() + 1, self._end)
            if match is not None:
                return match
        return None

    def _begin(self, node: PartNode) -> None:
        """Go on in this part."""
        self._count += 1
        boundaries = _boundaries(node) if node.multipart else ()
        if node.multipart and (not boundaries or len(self._open) >= DEPTH_MOST):
            if boundaries:
                self._defects.add(
                    "too-deep",
                    node.start,
                    f"more than {DEPTH_MOST} multiparts are within one another; the rest is not taken apart",
                )
                node.type = "application/octet-stream"
            else:
                self._defects.add(
                    "no-boundary", node.start, f"a part of the type {node.type} names no boundary, and is read as text"
                )
                node.type = "text/plain"
        if not node.multipart:
            self._last = node
            return
        self._last = None
        level = len(self._open)
        self._open.append(_Open(node, boundaries))
        for boundary in boundaries:
            self._marks.setdefault(boundary, []).append((level, False))
            self._marks.setdefault(boundary + b"--", []).append((level, True))

    def _delimiter(self, match: re.Match[bytes], level: int, closing: bool) -> int:
        """Handle a delimiter line; returns where the search goes on."""
        before = match.start()
        if self._buffer[before - 2 : before] == b"\r\n":
            before -= 2
        elif self._buffer[before - 1 : before] == b"\n":
            before -= 1
        self._close(level + 1, before)
        if self._last is not None:
            self._last.end = max(self._last.start, before)
            self._last = None
        multipart = self._open[level]
        if closing:
            multipart.over = True
            return match.end()
        if multipart.over:
            self._defects.add(
                "part-after-end", match.start(), "a part stands behind the end of its multipart; it is read"
            )
        node = _node_at(self._buffer, match.end(), self._end, _default_in(multipart.node), self._defects)
        multipart.node.parts.append(node)
        self._begin(node)
        # The empty line that ends the header section may also be the line end before a delimiter.
        return max(match.end(), node.start - 1)

    def _close(self, level: int, end: int) -> None:
        """End the multiparts from this level on."""
        while len(self._open) > level:
            closed = self._open.pop()
            closed.node.end = end
            for boundary in closed.boundaries:
                self._marks[boundary].pop()
                self._marks[boundary + b"--"].pop()
            if self._last is not None:
                self._last.end = max(self._last.start, end)
                self._last = None
            if not closed.node.parts:
                self._defects.add(
                    "no-parts",
                    closed.node.start,
                    f"no boundary line stands in a {closed.node.type}, which is read as text",
                )
                closed.node.type = "text/plain"
            elif not closed.over:
                self._defects.add("no-end", end, f"the end of a {closed.node.type} is missing; its last part ends here")
        if not level and self._last is not None:
            self._last.end = end


def _default_in(node: PartNode) -> str:
    return "message/rfc822" if node.type == "multipart/digest" else "text/plain"


def _boundaries(node: PartNode) -> tuple[bytes, ...]:
    """The octets that the boundary may have been meant to be."""
    label = node.section.first("content-type")
    if label is None:
        return ()
    return content_type([Field(b"content-type", b"Content-Type: " + label.value)]).boundaries


def _node_at(buffer: Buffer, start: int, end: int, default: str, defects: Defects) -> PartNode:
    section = read_section(buffer, start, end, defects)
    return PartNode(section, section.body, default, defects)


def read_tree(buffer: Buffer, start: int, end: int, defects: Defects) -> PartNode:
    """The message between two places of the buffer as a tree of parts."""
    root = _node_at(buffer, start, end, "text/plain", defects)
    root.end = end
    _TreeWalk(buffer, end, defects).read(root)
    return root
