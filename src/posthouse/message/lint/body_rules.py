"""Lint rules for lines, MIME parts, texts and attachments (RFC 5321 §4.5.3, RFC 2045–2049, RFC 2183)."""

from __future__ import annotations

import re
from typing import Final

from posthouse.message.lint.linted import LintedMessage
from posthouse.message.reading import ReadPart

__all__ = ["check_body"]

_LONGEST_LINE: Final = 998  # octets without the line end (RFC 5322 §2.1.1)
_LONG_LINE: Final = re.compile(rb"[^\r\n]{999}")
_BARE_CR: Final = re.compile(rb"\r(?!\n)")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_ENCODINGS: Final = frozenset({"7bit", "8bit", "binary", "quoted-printable", "base64"})
_SIZE: Final = 25_000_000  # octets that large receivers take
_CLIPPED: Final = 102 * 1024  # octets of HTML behind which Gmail cuts off
_RUNS: Final = re.compile(
    r"(?i)\.(?:ade|adp|apk|appx|bat|cab|chm|cmd|com|cpl|dll|dmg|ex|exe|hta|ins|iso|isp|jar|js|jse|lib|lnk|mde|msc|msi"
    r"|msp|mst|nsh|pif|ps1|scr|sct|shb|sys|vb|vbe|vbs|vhd|vxd|wsc|wsf|wsh)$"
)
_CID: Final = re.compile(r"(?i)\bcid:([^\s\"'<>)]{1,300})")
_ACTIVE: Final = re.compile(r"(?i)<\s*(script|form|iframe|object|embed)\b")
#: Codes of the reader → rule, remedy and source.
_OF_THE_READER: Final[dict[str, tuple[str, str, str]]] = {
    "not-a-field": (
        "not-a-field",
        "Write each field as Name: value, and begin its further lines with a space.",
        "5322 §2.2",
    ),
    "no-empty-line": ("no-empty-line", "Put an empty line behind the last field.", "5322 §2.1"),
    "long-header": ("long-header", "Write fewer and shorter fields.", "5322 §2.1.1"),
    "bad-type": ("bad-content-type", "Write it as type/subtype; parameter=value.", "2045 §5.1"),
    "bad-parameter": ("bad-content-type", "Give the parameter a value, or leave it out.", "2045 §5.1"),
    "no-boundary": ("no-boundary", "Name the boundary in Content-Type.", "2046 §5.1.1"),
    "no-end": (
        "unterminated-multipart",
        "End the multipart with its boundary between two pairs of hyphens.",
        "2046 §5.1.1",
    ),
    "part-after-end": ("unterminated-multipart", "Put the closing delimiter behind the last part.", "2046 §5.1.1"),
    "bad-base64": ("bad-base64", "Encode the part again.", "2045 §6.8"),
    "bad-quoted-printable": (
        "bad-quoted-printable",
        "Encode the part again; an equals sign is written =3D.",
        "2045 §6.7",
    ),
    "lost-characters": ("wrong-charset", "Name the charset that the text is in; best use UTF-8.", "2046 §4.1.2"),
    "guessed-charset": ("wrong-charset", "Name the charset that the text is in; best use UTF-8.", "2046 §4.1.2"),
    "encoded-name": ("encoded-file-name", "Write the name by RFC 2231: filename*=utf-8''…", "2231 §4"),
    "uuencode": ("uuencode", "Attach the file as a part of the message.", "2049"),
    "too-deep": ("too-deep", "Put fewer multiparts within one another.", "2046 §5.1"),
}


def check_body(linted: LintedMessage) -> None:
    """Apply the rules."""
    _lines(linted)
    _defects(linted)
    _mime(linted)
    _texts(linted)
    _attachments(linted)
    if len(linted.octets) > _SIZE:
        linted.findings.warning(
            "large-message",
            1,
            f"The message has {len(linted.octets):,} octets; large receivers take at most {_SIZE:,}.",
            "Send a link to the files.",
        )


def _lines(linted: LintedMessage) -> None:
    octets, findings = linted.octets, linted.findings
    crlf = octets.count(b"\r\n")
    if crlf:  # a file with LF alone is a stored message
        for place in _first(_BARE_LF, octets, octets.count(b"\n") - crlf):
            findings.error(
                "bare-lf",
                linted.line_at(place),
                "A line ends with LF, others with CRLF; hosts refuse such a message or read two out of it.",
                "End every line with CRLF.",
                "RFC 5321 §2.3.8",
            )
    for place in _first(_BARE_CR, octets, octets.count(b"\r") - crlf):
        findings.error(
            "bare-cr",
            linted.line_at(place),
            "A CR stands without LF.",
            "End every line with CRLF, and encode CRs that are data.",
            "RFC 5322 §2.3",
        )
    nul = octets.find(b"\0")
    if nul >= 0:
        findings.error(
            "nul", linted.line_at(nul), "The message has a NUL octet.", "Encode the part as base64.", "RFC 5322 §4"
        )
    for long_line in _LONG_LINE.finditer(octets):
        findings.error(
            "long-line",
            linted.line_at(long_line.start()),
            f"A line has more than {_LONGEST_LINE} octets; hosts break or refuse it, which breaks signatures.",
            "Fold fields; encode texts as quoted-printable or base64.",
            "RFC 5322 §2.1.1",
        )


def _first(pattern: re.Pattern[bytes], octets: bytes, count: int) -> list[int]:
    """The first places of what is known to be there ``count`` times."""
    found: list[int] = []
    if count > 0:
        for match in pattern.finditer(octets):
            found.append(match.start())
            if len(found) >= 20:
                break
    return found


def _defects(linted: LintedMessage) -> None:
    """What the reader has found while it read."""
    for defect in linted.message.defects:
        known = _OF_THE_READER.get(defect.code)
        if known is not None:
            rule, remedy, source = known
            where = f"{defect.field}: " if defect.field else ""
            text = f"{where}{defect.text}."
            linted.findings.error(
                rule, linted.line_at(defect.offset), text[0].upper() + text[1:], remedy, f"RFC {source}"
            )


def _mime(linted: LintedMessage) -> None:
    findings = linted.findings
    mime = [field for field in linted.message.headers if field.name.lower().startswith("content-")]
    if mime and not linted.all("mime-version"):
        findings.error(
            "missing-mime-version",
            linted.line_of(mime[0]),
            "There are MIME fields and no MIME-Version field.",
            "Add MIME-Version: 1.0.",
            "RFC 2045 §4",
        )
    for part in linted.parts:
        _encoding(linted, part)


def _encoding(linted: LintedMessage, part: ReadPart) -> None:
    findings = linted.findings
    fields = [field for field in part.headers if field.name.lower() == "content-transfer-encoding"]
    line = linted.line_at(fields[0].offset) if fields else _line_of_part(linted, part)
    encoding = fields[0].value.strip().lower() if fields else "7bit"
    if fields and encoding not in _ENCODINGS:
        findings.error(
            "unknown-encoding",
            line,
            f"The transfer encoding {encoding[:40]!r} is not known; readers show the part as it stands.",
            "Use 7bit, 8bit, quoted-printable or base64.",
            "RFC 2045 §6.4",
        )
    if part.parts and encoding in ("quoted-printable", "base64"):
        findings.error(
            "encoded-multipart",
            line,
            f"A multipart is encoded as {encoding}.",
            "Encode the parts in it, and leave the multipart as 7bit or 8bit.",
            "RFC 2045 §6.4",
        )
    if not part.parts and encoding == "7bit" and not part.raw.isascii():
        findings.error(
            "undeclared-8bit",
            line,
            "A part has octets beyond ASCII, and no transfer encoding says so.",
            "Name 8bit, or encode it as quoted-printable or base64.",
            "RFC 2045 §6.2",
        )


def _line_of_part(linted: LintedMessage, part: ReadPart) -> int:
    headers = part.headers
    return linted.line_at(headers[0].offset) if headers else linted.line_at(linted.header_end)


def _charset(part: ReadPart) -> str:
    for field in part.headers:
        if field.name.lower() == "content-type":
            match = re.search(r"(?i)charset\s*=\s*\"?([^\s\";]+)", field.value)
            return match[1].lower() if match else ""
    return ""


def _texts(linted: LintedMessage) -> None:
    message, findings = linted.message, linted.findings
    html = message.html
    texts = [part for part in message.text_parts if part.type == "text/plain"]
    if html is not None and not texts:
        findings.warning(
            "no-text-part",
            linted.line_at(linted.header_end),
            "There is HTML and no plain text; filters take such mail for spam, and some readers show nothing.",
            "Send both as multipart/alternative, the text first.",
            "RFC 2046 §5.1.4",
        )
    charsets: dict[str, ReadPart] = {}
    for part in linted.parts:
        if part.type in ("text/plain", "text/html") and (name := _charset(part)) and name not in ("us-ascii", "ascii"):
            charsets.setdefault(name, part)
    if len(charsets) > 1:
        findings.note(
            "mixed-charsets",
            _line_of_part(linted, list(charsets.values())[1]),
            f"The texts are in several charsets: {', '.join(sorted(charsets))}.",
            "Use UTF-8 for all of them.",
        )
    if html is None:
        return
    line = next((_line_of_part(linted, part) for part in linted.parts if part.type == "text/html"), 1)
    if len(html.encode("utf-8", "replace")) > _CLIPPED:
        findings.warning(
            "long-html", line, "The HTML has more than 102 KiB; Gmail cuts the rest off.", "Make it shorter."
        )
    active = _ACTIVE.search(html)
    if active is not None:
        findings.warning(
            "active-html",
            line,
            f"The HTML has a <{active[1].lower()}> element, which mail programs take out.",
            "Link to a page that has it.",
        )
    _inline(linted, html, line)


def _inline(linted: LintedMessage, html: str, line: int) -> None:
    named = {match[1].lower() for match in _CID.finditer(html)}
    there = {part.content_id.lower() for part in linted.parts if part.content_id}
    for each in sorted(named - there)[:20]:
        linted.findings.error(
            "missing-inline-part",
            line,
            f"The HTML shows cid:{each[:60]}, and no part has this Content-ID.",
            "Attach the picture with this Content-ID, or take the reference out.",
            "RFC 2392",
        )
    for part in linted.message.attachments:
        if part.inline and not part.referenced and part.content_id:
            linted.findings.note(
                "unused-inline-part",
                _line_of_part(linted, part),
                f"The part {part.filename} is inline, and the HTML does not show it.",
                "Attach it, or show it by cid:.",
                "RFC 2392",
            )


def _attachments(linted: LintedMessage) -> None:
    for part in linted.message.attachments:
        if _RUNS.search(part.filename) is not None:
            linted.findings.warning(
                "blocked-attachment",
                _line_of_part(linted, part),
                f"Large receivers refuse files such as {part.filename}, which can run.",
                "Send a link to it.",
            )
