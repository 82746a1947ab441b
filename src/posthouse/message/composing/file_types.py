"""Content types of attached files: guessed from the name, and the charset of texts found in their octets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from posthouse.core import LocalError
from posthouse.message.encode import parameter

__all__ = ["charset_of", "extension_of", "guessed_type", "is_text", "parsed_type", "written_type"]

_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+"  # RFC 2045 §5.1
_WRITTEN_TYPE: Final = rf"(?s)\s*{_TOKEN}/{_TOKEN}\s*(;.*)?"
# The usual types, so that they are the same on every system; the table of ``mimetypes`` is slow to import, and the
# system's files and the registry of Windows change it.
_USUAL = {
    "avif": "image/avif",
    "bmp": "image/bmp",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "eml": "message/rfc822",
    "gif": "image/gif",
    "htm": "text/html",
    "html": "text/html",
    "ics": "text/calendar",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "log": "text/plain",
    "md": "text/markdown",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odt": "application/vnd.oasis.opendocument.text",
    "pdf": "application/pdf",
    "png": "image/png",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "svg": "image/svg+xml",
    "tgz": "application/gzip",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "txt": "text/plain",
    "vcf": "text/vcard",
    "webp": "image/webp",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "text/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "zip": "application/zip",
}
# Ends of names beside the usual one of the same type.
_SECOND = frozenset(("htm", "jpeg", "log", "tgz", "tif", "yml"))
# File types that are text although their type is not text/…; readers need the charset of those too.
_TEXT_APPLICATIONS = frozenset(
    f"application/{name}"
    for name in ("javascript", "sql", "toml", "x-csh", "x-httpd-php", "x-latex", "x-perl", "x-sh", "x-tcl", "x-tex")
)


def guessed_type(name: str) -> str:
    """The content type that a file's name stands for, application/octet-stream if none is known."""
    found = _USUAL.get(name.rpartition(".")[2].lower()) if "." in name else None
    if found is not None:
        return found
    import mimetypes  # slow to import

    kind, encoding = mimetypes.guess_type(name, strict=False)
    if encoding == "gzip":
        return "application/gzip"
    return kind if kind and not encoding else "application/octet-stream"


def extension_of(kind: str) -> str:
    """The end of a file's name for a content type, ".bin" if none is known."""
    found = next((end for end, each in _USUAL.items() if each == kind and end not in _SECOND), None)
    if found is not None:
        return f".{found}"
    import mimetypes

    return mimetypes.guess_extension(kind, strict=False) or ".bin"


def is_text(kind: str) -> bool:
    """Whether readers need the charset of this type."""
    return kind.startswith("text/") or kind in _TEXT_APPLICATIONS


def parsed_type(text: str) -> tuple[str, dict[str, str]]:
    """``type/subtype`` in lower case, and its parameters.  Raises ``LocalError`` if the text is no content type."""
    from posthouse.message.structured import parse_content_type  # needed with a content type only

    # A reader makes the best of what is behind a type; of what is written here nothing may get lost.
    found = parse_content_type(text.encode("utf-8")) if re.fullmatch(_WRITTEN_TYPE, text) else None
    if found is None:
        raise LocalError(
            f"{text!r} is not a content type; write type/subtype, as in image/png, and parameters as in text/plain; "
            "charset=utf-8"
        )
    return found.kind, {name: found.text(name) for name in found.parameters}


def charset_of(chunks: Iterable[bytes]) -> str | None:
    """The charset of a text: "utf-8", "" for ASCII, which needs no name (RFC 2046 §4.1.2), None if it is unknown."""
    from codecs import getincrementaldecoder

    decoder = getincrementaldecoder("utf-8")()
    ascii_only = True
    try:
        for chunk in chunks:
            if b"\0" in chunk:
                return None
            if not ascii_only or not chunk.isascii():
                ascii_only = False
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return None
    return "" if ascii_only else "utf-8"


def written_type(kind: str, parameters: dict[str, str], last: Sequence[str] = ()) -> list[str]:
    """A content type as tokens for ``fold``; ``last`` is one more parameter in tokens."""
    written = [parameter(name, value) for name, value in parameters.items()]
    if last:
        written.append(list(last))
    made = [kind]
    for one in written:
        made[-1] += ";"
        made += one
    return made
