"""Reader of aggregate reports that others send, in the forms of RFC 9990 and of RFC 7489: XML, gzip, zip, or a message.

A report is untrusted input.  It is decompressed and parsed piece by piece, and everything is bounded: octets, records,
depth, the length of a text.  A document type declaration ends the reading, so there are no entities that could grow or
name files (XML bombs, external entities).  Elements that are not known are passed over; what a report does not say is
"" in its values.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Final
from xml.parsers import expat

from posthouse.mailauth.dmarc.aggregate.aggregate_values import (
    AggregateRecord,
    AggregateReport,
    AggregateRow,
    PolicyOverride,
    PolicyPublished,
    ReportedSignature,
    ReportedSpf,
    ReportMetadata,
)

__all__ = ["UnreadableReport", "read_aggregate_report", "read_aggregate_xml"]

_PIECE: Final = 65_536
#: Octets of XML, records, elements inside each other, parts of a record, characters of a text that are read.
_LARGEST: Final = 256 << 20
_MOST_RECORDS: Final = 200_000
_MOST_ELEMENTS: Final = 10_000_000
_DEEPEST: Final = 30
_MOST_PARTS: Final = 200
_LONGEST_TEXT: Final = 2_000
#: Octets of a tag, comment or processing instruction that has not ended: the parser reads it anew with each piece.
_LONGEST_TOKEN: Final = 1 << 20
_MOST_LEAVES: Final = 100  # parts of a message that are looked at
_HIGHEST_COUNT: Final = 10**12

_ENCODINGS: Final = ("utf-8", "utf8", "utf-16", "us-ascii", "iso-8859-1", "windows-1252")
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_KINDS: Final = ("application/gzip", "application/x-gzip", "application/zip", "application/x-zip-compressed")
_TEXTS: Final = ("text/xml", "application/xml")
_NAMES: Final = (".xml", ".xml.gz", ".zip", ".gz")


class UnreadableReport(ValueError):
    """The octets are no aggregate report, or one that is too large; the message is a sentence."""


def read_aggregate_report(octets: bytes) -> AggregateReport:
    """Read a report: an XML document, compressed with gzip or in a zip archive, or a message with one attached.

    Raises:
        UnreadableReport: There is none, or it breaks the rules; says why.
    """
    if octets[:2] == _GZIP:
        return read_aggregate_xml(_gunzipped(octets))
    if octets[:4] == _ZIP:
        return read_aggregate_xml(_unzipped(octets))
    if octets.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<" or octets[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return read_aggregate_xml(_pieces(octets))
    return read_aggregate_report(_attached(octets))


def read_aggregate_xml(pieces: Iterable[bytes]) -> AggregateReport:
    """Read a report from the pieces of its XML document.

    Raises:
        UnreadableReport: See ``read_aggregate_report``.
    """
    reader = _ReportReader()
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > _LARGEST:
            raise UnreadableReport(f"the report has more than {_LARGEST:,} octets")
        reader.feed(piece)
    return reader.finish()


def _pieces(octets: bytes) -> Iterator[bytes]:
    for start in range(0, len(octets), _PIECE):
        yield octets[start : start + _PIECE]


def _gunzipped(octets: bytes) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(31)
    waiting = octets
    try:
        while waiting and not unpacker.eof:
            yield unpacker.decompress(waiting, _PIECE)
            waiting = unpacker.unconsumed_tail
    except zlib.error:
        raise UnreadableReport("the gzip file is damaged") from None
    if not unpacker.eof:
        raise UnreadableReport("the gzip file ends early")


def _unzipped(octets: bytes) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as archive:
            members = [each for each in archive.infolist()[:10] if each.filename.lower().endswith(".xml")]
            if not members:
                raise UnreadableReport("the zip archive has no XML document among its first 10 files")
            with archive.open(members[0]) as member:
                while piece := member.read(_PIECE):
                    yield piece
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        if isinstance(error, UnreadableReport):
            raise
        raise UnreadableReport("the zip archive is damaged, encrypted, or packed in a way that is not known") from None


def _attached(octets: bytes) -> bytes:
    """The report in a message."""
    from posthouse.message.reading import read_octets

    waiting = [read_octets(octets).root]
    for _ in range(_MOST_LEAVES):
        if not waiting:
            break
        part = waiting.pop()
        waiting += reversed(part.parts[:_MOST_LEAVES])
        if part.parts or not (part.type in (*_KINDS, *_TEXTS) or part.filename_raw.lower().endswith(_NAMES)):
            continue
        content = part.content
        if content[:2] == _GZIP or content[:4] == _ZIP or content.lstrip()[:1] == b"<":
            return content
    raise UnreadableReport("this is no XML document, no gzip or zip file, and no message with one attached")


class _RecordParts:
    """A record while it is read."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.overrides: list[PolicyOverride] = []
        self.signatures: list[ReportedSignature] = []
        self.spf: list[ReportedSpf] = []
        self.part: dict[str, str] = {}  # of a reason, a signature or a result of SPF

    @property
    def full(self) -> bool:
        return len(self.overrides) + len(self.signatures) + len(self.spf) >= _MOST_PARTS


class _ReportReader:
    """Reader of one XML document, fed piece by piece."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.XmlDeclHandler = self._declared
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.EntityDeclHandler = self._doctype
        self._parser.buffer_text = True
        self._fed = 0
        self._elements = 0
        self._path: list[str] = []
        self._text: list[str] = []
        self._length = 0
        self._texts: dict[str, str] = {}
        self._errors: list[str] = []
        self._record: _RecordParts | None = None
        self._records: list[AggregateRecord] = []

    def feed(self, piece: bytes) -> None:
        self._fed += len(piece)
        try:
            self._parser.Parse(piece, False)
        except expat.ExpatError as error:
            raise _wrong(error) from None
        if self._fed - max(self._parser.CurrentByteIndex, 0) > _LONGEST_TOKEN:
            raise UnreadableReport(f"the document has a tag or comment of more than {_LONGEST_TOKEN:,} octets")

    def finish(self) -> AggregateReport:
        try:
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise _wrong(error) from None
        found = self._texts
        policy = PolicyPublished(
            self._needed("policy_published/domain").lower(),
            found.get("policy_published/p", "").lower(),
            found.get("policy_published/sp", "").lower(),
            found.get("policy_published/np", "").lower(),
            found.get("policy_published/adkim", "").lower(),
            found.get("policy_published/aspf", "").lower(),
            found.get("policy_published/fo", ""),
            found.get("policy_published/testing", "").lower() == "y",
            found.get("policy_published/discovery_method", ""),
        )
        metadata = ReportMetadata(
            self._needed("report_metadata/org_name"),
            found.get("report_metadata/email", ""),
            self._needed("report_metadata/report_id"),
            self._number("report_metadata/date_range/begin"),
            self._number("report_metadata/date_range/end"),
            found.get("report_metadata/extra_contact_info", ""),
            tuple(self._errors),
            found.get("report_metadata/generator", ""),
        )
        return AggregateReport(metadata, policy, tuple(self._records))

    def _needed(self, path: str) -> str:
        text = self._texts.get(path, "")
        if not text:
            raise UnreadableReport(f"the report does not have {path}")
        return text

    def _number(self, path: str) -> int:
        return _integer(self._needed(path), path)

    def _declared(self, version: str, encoding: str | None, standalone: int) -> None:
        """Refuse an encoding that the parser does not know: it would look among all codecs of this machine."""
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise UnreadableReport(f"the encoding {encoding[:40]!r} is not known")

    def _doctype(self, *declared: object) -> None:
        raise UnreadableReport("the document has a type declaration, which no report needs and attacks use")

    def _start(self, name: str, attributes: object) -> None:
        self._elements += 1
        if self._elements > _MOST_ELEMENTS:
            raise UnreadableReport(f"the document has more than {_MOST_ELEMENTS:,} elements")
        local = name.rpartition(" ")[2]
        if not self._path and local != "feedback":
            raise UnreadableReport(f"the document is a {local[:40]!r} and no aggregate report")
        if len(self._path) == _DEEPEST:
            raise UnreadableReport(f"the document has more than {_DEEPEST} elements inside each other")
        self._path.append(local)
        self._text.clear()
        self._length = 0
        if self._path == ["feedback", "record"]:
            if len(self._records) == _MOST_RECORDS:
                raise UnreadableReport(f"the report has more than {_MOST_RECORDS:,} records")
            self._record = _RecordParts()
        elif self._record is not None and local in ("reason", "dkim", "spf"):
            self._record.part = {}

    def _characters(self, text: str) -> None:
        if self._length < _LONGEST_TEXT:
            self._text.append(text[: _LONGEST_TEXT - self._length])
            self._length += len(text)

    def _end(self, name: str) -> None:
        text = "".join(self._text).strip()
        self._text.clear()
        self._length = 0
        path = "/".join(self._path[1:])
        self._path.pop()
        if self._record is not None:
            self._end_in_record(path.removeprefix("record/"), text, self._record)
        elif path == "report_metadata/error":
            if text and len(self._errors) < _MOST_PARTS:
                self._errors.append(text)
        elif path.startswith(("report_metadata/", "policy_published/")) and text:
            self._texts.setdefault(path, text)

    def _end_in_record(self, path: str, text: str, record: _RecordParts) -> None:
        above, _, last = path.rpartition("/")
        part = record.part
        if path == "record":
            self._records.append(_made(record))
            self._record = None
        elif above in ("row/policy_evaluated/reason", "auth_results/dkim", "auth_results/spf"):
            part.setdefault(last, text)
        elif record.full:
            return
        elif path == "row/policy_evaluated/reason":
            record.overrides.append(PolicyOverride(part.get("type", "").lower(), part.get("comment", "")))
        elif path == "auth_results/dkim":
            record.signatures.append(
                ReportedSignature(
                    part.get("domain", "").lower(),
                    part.get("selector", ""),
                    part.get("result", "").lower(),
                    part.get("human_result", ""),
                )
            )
        elif path == "auth_results/spf":
            record.spf.append(
                ReportedSpf(
                    part.get("domain", "").lower(),
                    part.get("result", "").lower(),
                    part.get("scope", "mfrom").lower(),
                    part.get("human_result", ""),
                )
            )
        elif above in ("row", "row/policy_evaluated", "identifiers"):
            record.texts.setdefault(path, text)


def _made(record: _RecordParts) -> AggregateRecord:
    found = record.texts
    source = found.get("row/source_ip", "")
    try:
        source = str(ip_address(source))
    except ValueError:
        raise UnreadableReport(f"a record has the source {source[:60]!r}, which is no address") from None
    count = _integer(found.get("row/count", ""), "row/count")
    row = AggregateRow(
        source,
        found.get("identifiers/header_from", "").lower().removesuffix("."),
        found.get("row/policy_evaluated/disposition", "").lower(),
        found.get("row/policy_evaluated/dkim", "").lower(),
        found.get("row/policy_evaluated/spf", "").lower(),
        found.get("identifiers/envelope_from", "").lower(),
        found.get("identifiers/envelope_to", "").lower(),
        tuple(record.overrides),
        tuple(record.signatures),
        tuple(record.spf),
    )
    return AggregateRecord(row, count)


def _integer(text: str, path: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 13) or int(text) > _HIGHEST_COUNT:
        raise UnreadableReport(f"{path} is {text[:40]!r} and no number")
    return int(text)


def _wrong(error: expat.ExpatError) -> UnreadableReport:
    return UnreadableReport(f"line {error.lineno} is no XML: {expat.ErrorString(error.code)}")
