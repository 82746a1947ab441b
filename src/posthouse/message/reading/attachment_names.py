"""File names of attachments that are safe on every system, whatever the sender wrote."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["safe_file_name", "suffix_of"]

_LONGEST: Final = 200  # octets; file systems take 255, and a number may be added
_SUFFIXES: Final = {
    "text/plain": ".txt",
    "text/html": ".html",
    "message/rfc822": ".eml",
    "text/calendar": ".ics",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "application/pdf": ".pdf",
}
_NOT_IN_NAMES: Final = frozenset('<>:"|?*\x7f')
#: Names that Windows gives to devices, with any suffix.
_DEVICE: Final = re.compile(r"(?i)(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\..*)?")


def suffix_of(kind: str) -> str:
    """The suffix of files of a type, ``.bin`` where none is known."""
    return _SUFFIXES.get(kind, ".bin")


def safe_file_name(name: str, instead: str) -> str:
    """The last component of what the sender wrote, without controls, of at most 200 octets of UTF-8; ``instead`` where
    nothing is left of it."""
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", name[:4096]))[-1]
    name = "".join(
        sign
        for sign in name
        if sign not in _NOT_IN_NAMES and unicodedata.category(sign) not in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn")
    )
    name = " ".join(name.split()).strip(". ")
    if not name:
        return instead
    if _DEVICE.fullmatch(name):
        name = f"_{name}"
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix.encode()) > 16:
        return _cut(name, _LONGEST)
    return f"{_cut(stem, _LONGEST - len(suffix.encode()) - 1)}.{suffix}"


def _cut(text: str, octets: int) -> str:
    return text.encode()[:octets].decode("utf-8", "ignore").rstrip(". ")
