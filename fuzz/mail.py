"""Targets for messages: header sections, structured fields, MIME, reports."""

from __future__ import annotations

import contextlib

from posthouse.core import Address, Bytes, LocalError, PosthouseError
from posthouse.message import headers as header_section
from posthouse.message.authors import authors
from posthouse.message.conversion import convert
from posthouse.message.dsn.read import read_dsn
from posthouse.message.dsn.report import is_report
from posthouse.message.field_writing import written_field
from posthouse.message.headers import HEADER_LIMIT
from posthouse.message.lint import lint_message
from posthouse.message.lint.finding import MOST_FINDINGS
from posthouse.message.mailboxes import parse_mailboxes
from posthouse.message.message_view import view
from posthouse.message.mime import needs
from posthouse.message.reading import read
from posthouse.message.reading.attachment_names import safe_file_name
from posthouse.message.reports import read_report
from posthouse.message.structured import first_word, parse_content_type, unquoted, without_comments
from posthouse.message.submitted import completed

__all__ = ["fields", "headers", "mime", "reports"]


def headers(data: bytes) -> None:
    """Header sections: the parts are the whole, and what submission adds does not disturb what is there."""
    found = header_section.split(data)
    assert len(found.headers) <= HEADER_LIMIT + 2
    listed = header_section.fields(found.headers)
    for field in listed:
        assert b"\r\n" not in field.value
    header_section.count_received(found.headers)
    header_section.first_values(found.headers, (b"from", b"message-id"))
    with contextlib.suppress(PosthouseError, ValueError):
        authors(found.headers)
    without = b"".join(header_section.without(Bytes(data), b"bcc").chunks())
    assert len(without) <= len(data)
    if header_section.first(listed, b"bcc") is None:
        assert without == data
    sender = Address("ann", "example.org") if len(data) % 2 else None
    completed(found.headers, "Mon, 23 Nov 2026 08:46:22 +0800", "<1@example.org>", sender)


def fields(data: bytes) -> None:
    """Values of structured fields: comments, quoted strings, parameters, mailboxes; written ones never break a line."""
    for reader in (without_comments, unquoted, first_word, parse_content_type):
        reader(data)
    text = data.decode("utf-8", "replace")
    try:
        mailboxes = parse_mailboxes(text)
    except LocalError:
        mailboxes = []
    for each in mailboxes:
        assert "\n" not in str(each)
    for name in ("Subject", "From", "X-Any", "Message-ID", "List-Id", "Keywords"):
        try:
            line = written_field(name, text, utf8=len(data) % 2 == 0)
        except LocalError:
            continue
        assert line.endswith(b"\r\n")
        assert b"\n" not in line.replace(b"\r\n ", b"").replace(b"\r\n\t", b"")[:-2]
    name = safe_file_name(text, "part-1.txt")
    assert name
    assert not set(name) & set("/\\\0\n")


def mime(data: bytes) -> None:
    """Whole messages: shown to a person, and converted for a host with 7 bits without becoming 8-bit or endless."""
    shown = view(data)
    shown.field("subject")
    assert len(shown.attachments) <= len(data)
    assert not any(set(part.name) & set("/\\\0\n") for part in shown.parts)
    message = read(data)
    assert message.as_bytes() == data
    assert all(0 <= defect.offset <= len(data) for defect in message.defects)
    assert all(each.filename for each in message.attachments)
    _ = message.links, message.codes, message.root.parts
    needs([data])
    for to_7bit, raw_headers in ((True, False), (True, True), (False, False)):
        converted = convert(Bytes(data), to_7bit=to_7bit, raw_headers=raw_headers)
        if not hasattr(converted, "chunks"):
            continue  # it says why it cannot be converted
        octets = b"".join(converted.chunks())
        assert converted.size is None or converted.size == len(octets)
        if to_7bit and not raw_headers:
            assert octets.isascii()


def reports(data: bytes) -> None:
    """Reports that others have written, and what the lint says of any message."""
    is_report(data)
    status = read_dsn(data)
    if status is not None:
        repr(status)
        assert len(status.recipients) <= len(data)
    report = read_report(data)
    if report is not None:
        repr(report)
        assert len(report.recipients) <= len(data)
        assert all(0 <= each.bounce.confidence <= 1 for each in report.recipients if each.bounce is not None)
    findings = lint_message(data, now=0.0, bulk=True)
    assert len(findings) <= MOST_FINDINGS
    assert all(1 <= each.line <= data.count(b"\n") + 1 for each in findings)
