"""The check of a domain's mail records: MX, SPF, DKIM, DMARC, MTA-STS, TLS reports and DANE, one after the other."""

from __future__ import annotations

import re
from collections.abc import Sequence

from posthouse.core import LocalError
from posthouse.mailauth.domain_check.domain_report import DomainReport
from posthouse.mailauth.domain_check.mail_hosts import mta_sts, receiving_hosts, tls_reports, tlsa_records
from posthouse.mailauth.domain_check.policy_records import dkim_keys, dmarc_policy
from posthouse.mailauth.domain_check.spf_survey import survey_spf
from posthouse.mailauth.domains import a_labels
from posthouse.mailauth.questions import Check

__all__ = ["check_domain"]

_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")


def check_domain(domain: str, selectors: Sequence[str] = ()) -> Check[DomainReport]:
    """Check the DNS records of a domain that sends or receives mail.

    Args:
        domain: The domain; U-labels become A-labels.
        selectors: The selectors of its DKIM keys; at most 20 are looked at.

    Raises:
        LocalError: ``domain`` is no domain name with two labels or more.
    """
    name = a_labels(domain)
    if name is None or _NAME.fullmatch(name) is None:
        raise LocalError(f"{domain[:253]!r} is no domain name; give one with two labels or more, as example.org")
    return _checked(name, selectors)


def _checked(name: str, selectors: Sequence[str]) -> Check[DomainReport]:
    found = yield from receiving_hosts(name)
    if not found.exists:
        return DomainReport(name, (found.report,))
    spf = yield from survey_spf(name, found.mechanism)
    dkim = yield from dkim_keys(name, selectors)
    dmarc = yield from dmarc_policy(name)
    topics = [found.report, spf, dkim, dmarc]
    if found.hosts:
        topics += [(yield from mta_sts(name)), (yield from tls_reports(name)), (yield from tlsa_records(found.hosts))]
    return DomainReport(name, tuple(topics))
