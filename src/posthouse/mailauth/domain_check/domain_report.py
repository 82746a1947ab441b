"""The report on a domain's mail records: what was found, what is wrong with it, and which record to publish."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["DomainFinding", "DomainReport", "FindingLevel", "Topic", "TopicReport", "txt_line"]

Topic = Literal["mx", "spf", "dkim", "dmarc", "mta-sts", "tls-rpt", "dane"]
FindingLevel = Literal["error", "warning", "note"]
"""``error``: mail is lost or refused, or a record has no effect.  ``warning``: large receivers mind, or others can
misuse the domain.  ``note``: it can be better, or could not be found out."""


class DomainFinding(NamedTuple):
    """One finding: what is wrong, and what to do, each a sentence; ``publish`` is the DNS record to publish, as a line
    of a zone file, "" if none can be named."""

    level: FindingLevel
    text: str
    remedy: str
    publish: str = ""


class TopicReport(NamedTuple):
    """What was found about one topic: one sentence, the records as text, and the findings."""

    topic: Topic
    summary: str
    records: tuple[str, ...] = ()
    findings: tuple[DomainFinding, ...] = ()


class DomainReport(NamedTuple):
    """The report on a domain, topic by topic."""

    domain: str
    topics: tuple[TopicReport, ...]

    @property
    def findings(self) -> tuple[DomainFinding, ...]:
        """All findings, the gravest first."""
        levels = ("error", "warning", "note")
        return tuple(sorted((f for t in self.topics for f in t.findings), key=lambda each: levels.index(each.level)))


def txt_line(name: str, text: str) -> str:
    """A TXT record as a line of a zone file, in strings of at most 255 octets (RFC 1035 §3.3.14)."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    strings = [plain[at : at + 250] for at in range(0, len(plain), 250)] or [""]
    return f"{name}. IN TXT " + " ".join(f'"{each}"' for each in strings)
