"""Attachments of a message: what is attached, and the forms in which a caller may give it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final, Self, cast

from posthouse.core import LocalError
from posthouse.message.composing.frozen import FrozenValue
from posthouse.message.composing.sources import Readable, StreamCopy, content_key, copy_of
from posthouse.message.mailboxes import check_text

__all__ = ["Attachable", "Attachment", "AttachmentContent", "AttachmentsLike", "InlineLike", "attached", "inlined"]

#: What an attachment is made of: its octets, its text, the path of a file, or an open binary file.
AttachmentContent = bytes | bytearray | memoryview | str | os.PathLike[str] | Readable | StreamCopy

_CONTENT_ID = r"[!-;=?-~]{1,200}"


class Attachment(FrozenValue):
    """An attached file or picture.

    Args:
        content: Its octets; a ``str`` is its text, which is sent in UTF-8 octet for octet; a ``Path`` is a file, which
            is read when the message is sent; an open binary file or another stream is read now, to its end, and kept
            in a temporary file if it is longer than 1 MiB.
        name: The file's name for the reader, in any script; that of the ``Path`` or the open file if it is left out.
        content_type: ``type/subtype``, which may have parameters (``text/csv; header=present``), or "" to guess it
            from the name.  A text without a charset gets ``charset="utf-8"`` if it is UTF-8 beyond ASCII; if it is
            neither, its charset is not known, and it travels as application/octet-stream.
        content_id: The name by which HTML shows it (``cid:logo`` shows ``logo``), "" for none (RFC 2392).

    Raises:
        LocalError: A name or type cannot stand in a header field, or the stream gives text.
        OSError: The stream cannot be read.
    """

    __slots__ = ("content", "content_id", "content_type", "name")

    FIELDS = ("content", "name", "content_type", "content_id")

    #: Octets, the absolute path of a file, or the copy of a stream.
    content: bytes | os.PathLike[str] | StreamCopy
    name: str
    content_type: str
    content_id: str

    def __init__(
        self, content: AttachmentContent, name: str = "", content_type: str = "", *, content_id: str = ""
    ) -> None:
        for what, given in (("name", name), ("content type", content_type), ("content id", content_id)):
            if not isinstance(given, str):
                raise LocalError(f"the {what} of an attachment is a str and not {type(given).__name__}")
        name = name or _name_of(content)
        check_text("the file name", name)
        check_text("the content type", content_type)
        if content_type:
            from posthouse.message.composing.file_types import parsed_type

            parsed_type(content_type)
        self._set(
            content=_kept(content), name=name, content_type=content_type, content_id=_checked_id(content_id, name)
        )

    @classmethod
    def from_data_url(cls, url: str, name: str = "", *, content_id: str = "") -> Self:
        """An attachment from a ``data:`` URL (RFC 2397).  Raises ``LocalError`` if it is none."""
        from posthouse.message.composing.data_url import parse_data_url

        octets, kind = parse_data_url(url)
        return cls(octets, name, kind, content_id=content_id)

    def replace(
        self,
        *,
        content: AttachmentContent | None = None,
        name: str | None = None,
        content_type: str | None = None,
        content_id: str | None = None,
    ) -> Attachment:
        """Another attachment with these arguments in place of its own."""
        return Attachment(
            self.content if content is None else content,
            self.name if name is None else name,
            self.content_type if content_type is None else content_type,
            content_id=self.content_id if content_id is None else content_id,
        )

    __replace__ = replace  # copy.replace of Python 3.13

    def _key(self) -> tuple[object, ...]:
        return (content_key(self.content), self.name, self.content_type, self.content_id)

    def __repr__(self) -> str:
        what = f"{len(self.content)} octets" if isinstance(self.content, bytes) else "a stream"
        if isinstance(self.content, os.PathLike):
            what = os.fspath(self.content)
        return f"<Attachment {self.name!r}: {what}>"


def _name_of(content: AttachmentContent) -> str:
    """The name of a file that is given as a path, or is open."""
    path: object = content
    if not isinstance(content, (bytes, bytearray, memoryview, str, os.PathLike)):
        path = getattr(content, "name", "")  # an open file's; the number of its descriptor if it was opened by one
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    return os.path.basename(path) if isinstance(path, str) and path is not content else ""


def _kept(content: AttachmentContent) -> bytes | os.PathLike[str] | StreamCopy:
    if isinstance(content, (bytes, StreamCopy)):
        return content
    if isinstance(content, (bytearray, memoryview)):
        return bytes(content)
    if isinstance(content, str):
        try:
            return content.encode()
        except UnicodeEncodeError as error:
            raise LocalError(
                f"the text of an attachment holds an unpaired surrogate at position {error.start + 1}; remove it"
            ) from error
    if isinstance(content, os.PathLike):
        from pathlib import Path  # imported by whoever has a path

        return Path(os.path.abspath(content))
    if not callable(getattr(content, "read", None)):
        raise LocalError(
            f"an attachment is bytes, a text, a Path or an open binary file, and not {type(content).__name__}"
        )
    return copy_of(content)


def _checked_id(content_id: str, name: str) -> str:
    import re

    content_id = content_id.removeprefix("<").removesuffix(">")
    if content_id and re.fullmatch(_CONTENT_ID, content_id) is None:
        raise LocalError(
            f"the content id {content_id!r} of the attachment {name!r} has a character that is not printable ASCII, or "
            "more than 200; name it with letters and digits"
        )
    return content_id


Attachable = Attachment | AttachmentContent | tuple[str, AttachmentContent] | tuple[str, AttachmentContent, str]
AttachmentsLike = Attachable | Iterable[Attachable] | Mapping[str, AttachmentContent]
InlineLike = Mapping[str, Attachment | AttachmentContent] | Iterable[Attachable]


_SINGLE: Final = (str, bytes, bytearray, memoryview, os.PathLike, StreamCopy, Attachment)


def attached(given: AttachmentsLike) -> tuple[Attachment, ...]:
    """The attachments that a caller gave, each with a name.

    Raises ``LocalError`` for a bare ``str``: it may be meant as a path or as text.
    """
    if isinstance(given, Mapping):
        found = [
            each.replace(name=name) if isinstance(each, Attachment) else Attachment(each, name)
            for name, each in given.items()
        ]
    elif isinstance(given, _SINGLE) or callable(getattr(given, "read", None)):
        found = [_one(cast("Attachable", given))]
    elif isinstance(given, Iterable):
        found = [_one(each) for each in given]
    else:
        raise LocalError(f"attachments are a list and not {type(given).__name__}; put a Path or an Attachment into it")
    return tuple(each if each.name else _named(each, number) for number, each in enumerate(found, 1))


def _one(given: Attachable) -> Attachment:
    if isinstance(given, Attachment):
        return given
    if isinstance(given, str):
        if given[:5].lower() == "data:":
            return Attachment.from_data_url(given)
        shown = given if len(given) <= 40 else f"{given[:40]}…"
        raise LocalError(
            f"an attachment is the str {shown!r}, which may be a path or a text; write Path({shown!r}) for a file, or "
            'Attachment("…", name="notes.txt") for a text'
        )
    if isinstance(given, tuple):
        name, content, *kind = given
        return Attachment(content, name, *kind)
    return Attachment(given)


def _named(one: Attachment, number: int) -> Attachment:
    """The attachment with a name that its type ends, because readers show nothing useful for one without a name."""
    from posthouse.message.composing.file_types import extension_of, parsed_type

    end = extension_of(parsed_type(one.content_type)[0]) if one.content_type else ".bin"
    return one.replace(name=f"attachment-{number}{end}")


def inlined(given: InlineLike) -> tuple[Attachment, ...]:
    """The parts that HTML shows, each with a content id: its key in a mapping, else its own or its name."""
    if not isinstance(given, Iterable):
        raise LocalError(f"inline is a mapping of names to pictures and not {type(given).__name__}; give {{'logo': …}}")
    pairs: Iterable[tuple[str, Attachable]]
    pairs = given.items() if isinstance(given, Mapping) else (("", each) for each in given)
    found: list[Attachment] = []
    for key, each in pairs:
        one = _one(each)
        found.append(one.replace(content_id=key or one.content_id or one.name))
        if not found[-1].content_id:
            raise LocalError("an inline part has no name; give inline={'logo': …} and show it with src=\"cid:logo\"")
    ids = [one.content_id for one in found]
    double = next((each for each in ids if ids.count(each) > 1), None)
    if double is not None:
        raise LocalError(f"two inline parts have the content id {double!r}; give each its own")
    return tuple(found)
