"""The operation ``check domain``: what the DNS says of a domain's mail, what is wrong with it, and what to publish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from posthouse.core import LocalError, SettingError
from posthouse.service.operations.base import Context, Operation, Parameter

if TYPE_CHECKING:
    from posthouse.mailauth import Resolver

__all__ = ["CHECK_DOMAIN", "DomainCheck", "DomainTopic", "RecordFinding", "resolver_of"]


class RecordFinding(Struct, frozen=True, kw_only=True):
    """A finding: ``level`` is error, warning or note; ``publish`` is a DNS record as a line of a zone file, or ""."""

    level: str
    text: str
    remedy: str
    publish: str


class DomainTopic(Struct, frozen=True, kw_only=True):
    """What was found about one topic: mx, spf, dkim, dmarc, mta-sts, tls-rpt or dane."""

    topic: str
    summary: str
    records: list[str]
    findings: list[RecordFinding]


class DomainCheck(Struct, frozen=True, kw_only=True):
    """The report on a domain."""

    domain: str
    topics: list[DomainTopic]


def resolver_of(context: Context, zone: str) -> Resolver:
    """A zone that is given as JSON text, else the resolver of the configuration.  Raises ``SettingError``."""
    if zone:
        from posthouse.mailauth import read_zone

        return read_zone(zone)
    return context.routing().resolver


async def _check(context: Context, domain: str, selectors: str = "", zone: str = "") -> DomainCheck:
    from posthouse.mailauth import ask
    from posthouse.mailauth.domain_check import check_domain

    try:
        check = check_domain(domain, [each for each in selectors.replace(",", " ").split() if each])
    except LocalError as error:
        raise SettingError(str(error)) from None
    report = await ask(check, resolver_of(context, zone), seconds=120.0)
    topics = [
        DomainTopic(
            topic=each.topic,
            summary=each.summary,
            records=list(each.records),
            findings=[
                RecordFinding(level=one.level, text=one.text, remedy=one.remedy, publish=one.publish)
                for one in each.findings
            ],
        )
        for each in report.topics
    ]
    return DomainCheck(domain=report.domain, topics=topics)


CHECK_DOMAIN: Final = Operation(
    "check domain",
    "Check the DNS records of a domain: MX, SPF, DKIM, DMARC and TLS.",
    _check,
    DomainCheck,
    (
        Parameter("domain", "The domain."),
        Parameter("selectors", "The selectors of its DKIM keys, with commas between them.", str, ""),
        Parameter("zone", "DNS records as JSON, in place of the DNS.", str, ""),
    ),
    reads=True,
)
