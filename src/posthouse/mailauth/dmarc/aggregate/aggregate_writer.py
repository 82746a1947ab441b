"""Writer of aggregate reports: XML in pieces, the compressed file, and the message that carries it (RFC 9990 §3).

The rows are written one by one while they are compressed, so a report of a million rows needs the memory of its
compressed file.  Equal arguments give equal octets.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from posthouse.core import Address, LocalError
from posthouse.mailauth.dmarc.aggregate.aggregate_values import (
    AggregateRecord,
    AggregateRow,
    PolicyPublished,
    ReportMetadata,
)
from posthouse.message.compose import Composed, compose

__all__ = ["NAMESPACE", "ReportFile", "aggregate_xml", "compose_aggregate", "report_file"]

NAMESPACE: Final = "urn:ietf:params:xml:ns:dmarc-2.0"

#: Octets of a file that is sent; most mail servers take a message of 10 MiB, and base64 makes 4 of 3.
_LARGEST: Final = 7 << 20
_LONGEST_TEXT: Final = 1_000  # characters of one text
#: What XML 1.0 cannot hold, escaped or not.
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ID: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:[.@][A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_NO_FILE_NAME: Final = re.compile(r"[^A-Za-z0-9.-]")
_UNIQUE: Final = re.compile(r"[A-Za-z0-9]+")


class ReportFile(NamedTuple):
    """A report as a file.

    Args:
        name: Its name (RFC 9990 §3.5.2); a report that is sent again has the same.
        octets: XML, compressed with gzip.
        records: How many records are in it.
        complete: False if the file would have become too large with the next record.
    """

    name: str
    octets: bytes
    records: int
    complete: bool = True


def aggregate_xml(
    metadata: ReportMetadata, policy: PolicyPublished, records: Iterable[AggregateRecord]
) -> Iterator[bytes]:
    """The pieces of a report: the opening, then one for each record, then the end."""
    yield (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<feedback xmlns="{NAMESPACE}">\n  <version>1.0</version>\n'
        + _block("report_metadata", _metadata(metadata), 1)
        + _block("policy_published", _policy(policy), 1)
    ).encode()
    for record in records:
        yield _block("record", _record(record), 1).encode()
    yield b"</feedback>\n"


def report_file(
    metadata: ReportMetadata,
    policy: PolicyPublished,
    records: Iterable[AggregateRecord],
    *,
    receiver: str,
    unique_id: str = "",
    largest: int = _LARGEST,
) -> ReportFile:
    """A report as a compressed file.

    Args:
        metadata: Who reports, and of what time.
        policy: What the report is about.
        records: The rows; what does not fit is left out, so those with the highest numbers come first.
        receiver: The domain of the receiver of the mail, which reports.
        unique_id: Letters and digits that tell this report from others about the same domain and time.
        largest: Octets of the largest file.

    Raises:
        LocalError: ``unique_id`` has other characters, or there is no record.
    """
    if unique_id and _UNIQUE.fullmatch(unique_id) is None:
        raise LocalError(f"the unique id {unique_id!r:.40} of a report has characters that are no letters and digits")
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)  # 31: a gzip file, without a name and a time
    packed = bytearray()
    written, complete = -1, True  # the opening is no record
    for piece in aggregate_xml(metadata, policy, records):
        # Flushing bounds what the packer holds back; a record is small, so each hundredth is enough.
        packed += packer.compress(piece)
        written += 1
        if written % 100 == 99:
            packed += packer.flush(zlib.Z_SYNC_FLUSH)
            if len(packed) > largest:
                complete = False
                packed += packer.compress(b"</feedback>\n")
                break
    else:
        written -= 1  # nor is the end
    if written < 1:
        raise LocalError("a report needs at least one record")
    packed += packer.flush()
    parts = [_name(receiver), _name(policy.domain), str(metadata.begin), str(metadata.end), *filter(None, [unique_id])]
    return ReportFile("!".join(parts) + ".xml.gz", bytes(packed), written, complete)


def compose_aggregate(
    file: ReportFile,
    metadata: ReportMetadata,
    policy: PolicyPublished,
    *,
    sender: Address,
    to: Sequence[Address],
    receiver: str,
    date: tuple[float, int],
    message_id: str,
) -> Composed:
    """The message that carries a report (RFC 9990 §3.5.2).

    Its reverse-path is null, so that a report that cannot be delivered causes no other message.  ``sender`` is the
    author: the message must pass DMARC for its domain, by a DKIM signature.

    Args:
        file: The report.
        metadata: That of the report.
        policy: That of the report.
        sender: The address in From.
        to: Where the report goes.
        receiver: The domain that reports.
        date: Seconds since 1970, and the zone's offset in minutes.
        message_id: With or without ``<`` and ``>``.

    Raises:
        LocalError: The id of the report has characters that a subject cannot have, or there is no recipient.
    """
    if _ID.fullmatch(metadata.report_id) is None:
        raise LocalError(f"the id {metadata.report_id!r:.40} of a report is no dot-atom (RFC 9990 §3.5.1)")
    made = compose(
        from_=sender,
        to=list(to),
        date=date,
        message_id=message_id,
        subject=f"Report Domain: {policy.domain} Submitter: {receiver} Report-ID: <{metadata.report_id}>",
        text=(
            f"This is a DMARC aggregate report about {policy.domain} by {metadata.org_name}.\n"
            f"It has {file.records} records, and stands in the attachment {file.name}.\n"
        ),
        attachments=[(file.name, file.octets, "application/gzip")],
        headers=[("Auto-Submitted", "auto-generated")],
    )
    return made._replace(envelope=made.envelope._replace(sender=None))


_Node = tuple[str, "str | list[_Node]"]


def _metadata(found: ReportMetadata) -> list[_Node]:
    return [
        ("org_name", found.org_name),
        ("email", found.email),
        *_given("extra_contact_info", found.contact),
        ("report_id", found.report_id),
        ("date_range", [("begin", str(found.begin)), ("end", str(found.end))]),
        *_given("error", "; ".join(found.errors)),
        *_given("generator", found.generator),
    ]


def _policy(found: PolicyPublished) -> list[_Node]:
    return [
        ("domain", found.domain),
        *_given("discovery_method", found.discovery),
        ("p", found.p),
        ("sp", found.sp or found.p),  # a tag that is not given has its default (RFC 9990, appendix A)
        *_given("np", found.np),
        *_given("fo", found.fo),
        *_given("adkim", found.adkim),
        *_given("aspf", found.aspf),
        ("testing", "y" if found.testing else "n"),
    ]


def _record(found: AggregateRecord) -> list[_Node]:
    row: AggregateRow = found.row
    evaluated: list[_Node] = [("disposition", row.disposition), ("dkim", row.dkim), ("spf", row.spf)]
    evaluated += [("reason", [("type", each.kind), *_given("comment", each.comment)]) for each in row.overrides]
    results: list[_Node] = [
        (
            "dkim",
            [
                ("domain", each.domain),
                ("selector", each.selector),
                ("result", each.result),
                *_given("human_result", each.comment),
            ],
        )
        for each in row.signatures
    ]
    results += [
        (
            "spf",
            [
                ("domain", each.domain),
                ("scope", each.scope),
                ("result", each.result),
                *_given("human_result", each.comment),
            ],
        )
        for each in row.spf_results
    ]
    return [
        ("row", [("source_ip", row.source_ip), ("count", str(found.messages)), ("policy_evaluated", evaluated)]),
        (
            "identifiers",
            [
                *_given("envelope_to", row.envelope_to),
                ("envelope_from", row.envelope_from),
                ("header_from", row.header_from),
            ],
        ),
        ("auth_results", results),
    ]


def _given(name: str, text: str) -> list[_Node]:
    return [(name, text)] if text else []


def _block(name: str, content: list[_Node], depth: int) -> str:
    indent = "  " * depth
    inside = ""
    for each, value in content:
        if isinstance(value, str):
            inside += f"{indent}  <{each}>{_text(value)}</{each}>\n"
        else:
            inside += _block(each, value, depth + 1)
    return f"{indent}<{name}>\n{inside}{indent}</{name}>\n"


def _text(text: str) -> str:
    return _NO_XML.sub("\ufffd", text[:_LONGEST_TEXT]).translate(_ESCAPES)


def _name(domain: str) -> str:
    return _NO_FILE_NAME.sub("-", domain)
