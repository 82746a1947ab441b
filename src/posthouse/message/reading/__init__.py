"""Reading of messages: octets in, a message out, whatever they hold.

``read`` takes a message from a file, a path or octets.  Stored mail has LF, CRLF or both as line ends, and may begin
with the line of an mbox.

Over budget: one module for each thing that is read, and the charset of text without a label takes two.
"""

from __future__ import annotations

import mmap
import os
from typing import Final, Protocol

from posthouse.core import LocalError as _LocalError
from posthouse.message.reading.address_lists import ReadMailbox
from posthouse.message.reading.defects import Defect
from posthouse.message.reading.read_message import ReadAttachment, ReadMessage, read_octets
from posthouse.message.reading.read_part import HeaderField, ReadPart

__all__ = [
    "Defect",
    "HeaderField",
    "ReadAttachment",
    "ReadMailbox",
    "ReadMessage",
    "ReadPart",
    "Source",
    "read",
    "read_octets",
]

_MAPPED: Final = 1 << 22  # octets of a file from which on it is mapped into memory, not read


class _OpenFile(Protocol):
    def read(self) -> bytes: ...


#: What a message is read from: its octets, an open binary file, or the path of a file.
Source = bytes | bytearray | memoryview | str | os.PathLike[str] | _OpenFile


def read(source: Source) -> ReadMessage:
    """Read a message.

    Nothing that a message holds raises; ``defects`` says what is wrong with it.

    Args:
        source: Its octets, an open binary file, or the path of a file.

    Raises:
        OSError: The file cannot be read.
        LocalError: The source is text, or nothing that has octets.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return read_octets(bytes(source))
    if isinstance(source, str) and "\n" in source:
        raise _LocalError("a text is no message: give its octets, as text.encode() makes them, or the path of a file")
    if isinstance(source, (str, os.PathLike)):
        return _read_path(source)
    if not hasattr(source, "read"):
        raise _LocalError(
            f"{type(source).__name__} is no message that can be read; give its octets (bytes), the path of a file, or "
            "a file that is open as 'rb'"
        )
    octets = source.read()
    if not isinstance(octets, bytes):
        raise _LocalError("the file is open as text; open it with the mode 'rb'")
    return read_octets(octets)


def _read_path(path: str | os.PathLike[str]) -> ReadMessage:
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size < _MAPPED:
            return read_octets(file.read())
        return read_octets(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
