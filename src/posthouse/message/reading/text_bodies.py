"""What of a message is its text and what is attached, by the rules of JMAP (RFC 8621 §4.1.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from posthouse.message.reading.part_tree import PartNode

__all__ = ["Bodies", "find_bodies"]


class Bodies(NamedTuple):
    """Parts in their order: what is read where plain text is preferred, where HTML is, and what is attached.

    A picture between two texts is among the text as well as among the attachments.
    """

    text: list[PartNode]
    html: list[PartNode]
    attachments: list[PartNode]


class _Finder:
    def __init__(self, has_name: Callable[[PartNode], bool]) -> None:
        self.text: list[PartNode] = []
        self.html: list[PartNode] = []
        self.attachments: list[PartNode] = []
        self._has_name = has_name

    def visit(self, parts: list[PartNode], within: str, *, alternative: bool, text: bool, html: bool) -> None:
        """Sort the parts of one multipart; ``text`` and ``html`` say which of the bodies its texts belong to."""
        before = len(self.text), len(self.html)
        takes_text, takes_html = text, html
        for nth, part in enumerate(parts):
            if part.multipart:
                kind = part.type.removeprefix("multipart/")
                self.visit(part.parts, kind, alternative=alternative or kind == "alternative", text=text, html=html)
            elif not self._is_inline(part, nth, within):
                self.attachments.append(part)
            elif within == "alternative":
                self._alternative(part, text, html)
            else:
                if alternative and part.type == "text/plain":
                    html = False
                if alternative and part.type == "text/html":
                    text = False
                if text:
                    self.text.append(part)
                if html:
                    self.html.append(part)
                if not (text and html) and part.type not in ("text/plain", "text/html"):
                    self.attachments.append(part)
        if within == "alternative" and takes_text and takes_html:
            self._even_out(*before)

    def _alternative(self, part: PartNode, text: bool, html: bool) -> None:
        if part.type == "text/plain" and text:
            self.text.append(part)
        elif part.type == "text/html" and html:
            self.html.append(part)
        else:
            self.attachments.append(part)

    def _is_inline(self, part: PartNode, nth: int, within: str) -> bool:
        """Whether a part is shown among the text."""
        is_text = part.type in ("text/plain", "text/html")
        is_media = part.type.startswith(("image/", "audio/", "video/"))
        if part.disposition.word == "attachment" or not (is_text or is_media):
            return False
        return nth == 0 or (within != "related" and (is_media or not self._has_name(part)))

    def _even_out(self, texts: int, htmls: int) -> None:
        """Where alternatives have only one form, it stands for the other as well."""
        if len(self.text) == texts and len(self.html) != htmls:
            self.text += self.html[htmls:]
        elif len(self.html) == htmls and len(self.text) != texts:
            self.html += self.text[texts:]


def find_bodies(root: PartNode, has_name: Callable[[PartNode], bool]) -> Bodies:
    """Sort the parts of a message; ``has_name`` says whether a part has a file name."""
    finder = _Finder(has_name)
    finder.visit([root], "mixed", alternative=False, text=True, html=True)
    return Bodies(finder.text, finder.html, finder.attachments)
