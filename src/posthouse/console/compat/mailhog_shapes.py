"""The shapes of MailHog's answers: paths, contents, and bodies as they were sent, not decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from posthouse.console.compat.mailpit_shapes import rfc3339

if TYPE_CHECKING:
    from posthouse.message.reading.read_message import ReadMessage
    from posthouse.message.reading.read_part import HeaderField, ReadPart
    from posthouse.service.operations.inboxes.mail_answers import MailEntry

__all__ = ["item_of", "mime_parts"]

_MOST_PARTS: Final = 1_000


def item_of(entry: MailEntry, message: ReadMessage, octets: bytes) -> Mapping[str, Any]:
    """One message: its envelope as paths, and its content whole."""
    recipients = entry.envelope or entry.inboxes
    head, body = _split(octets)
    parts = mime_parts(message)
    return {
        "ID": entry.queue_id,
        "From": _path(entry.sender),
        "To": [_path(each) for each in recipients],
        "Content": {"Headers": _headers(message.headers), "Body": body, "Size": entry.size, "MIME": None},
        "Created": rfc3339(entry.received),
        "MIME": {"Parts": [_part(each) for each in parts]} if parts else None,
        "Raw": {
            "From": entry.sender,
            "To": list(recipients),
            "Data": head + body,
            "Helo": "",
        },
    }


def mime_parts(message: ReadMessage) -> Sequence[ReadPart]:
    """The parts of a multipart message, one level deep."""
    return tuple(message.root.parts[:_MOST_PARTS])


def _path(address: str) -> Mapping[str, Any]:
    local, _, domain = address.rpartition("@")
    return {"Relays": None, "Mailbox": local, "Domain": domain, "Params": ""}


def _headers(fields: Sequence[HeaderField]) -> Mapping[str, Sequence[str]]:
    """Names as sent → values, unfolded and not decoded."""
    found: dict[str, list[str]] = {}
    for each in fields:
        value = each.raw.partition(b":")[2].decode("utf-8", "replace")
        found.setdefault(each.name, []).append(" ".join(line.strip() for line in value.splitlines()).strip())
    return found


def _split(octets: bytes) -> tuple[str, str]:
    """Header section with its empty line, and body."""
    at = octets.find(b"\r\n\r\n")
    end = at + 4 if at >= 0 else len(octets)
    return octets[:end].decode("utf-8", "replace"), octets[end:].decode("utf-8", "replace")


def _part(part: ReadPart) -> Mapping[str, Any]:
    body = part.raw.decode("utf-8", "replace")
    return {"Headers": _headers(part.headers), "Body": body, "Size": len(body), "MIME": None}
