"""The operation ``report dmarc``: aggregate reports that others sent, summed up (RFC 9990)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from posthouse.core import SettingError
from posthouse.service.operations.base import Context, Operation, Parameter

if TYPE_CHECKING:
    from posthouse.mailauth.dmarc.aggregate import AggregateReport, DomainSummary

__all__ = ["DmarcDomain", "DmarcSource", "DmarcSummary", "REPORT_DMARC", "UnusedFile"]

#: Octets of a file, and files, that are read.
_LARGEST: Final = 64 << 20
_MOST_FILES: Final = 10_000


class DmarcSource(Struct, frozen=True, kw_only=True):
    """A host that sent mail with an author in the domain.

    ``passed`` of its ``messages`` passed DMARC: ``dkim`` by an aligned signature, ``spf`` by aligned SPF.
    ``signed_by`` and ``sent_as`` are the domains for which DKIM and SPF passed, aligned or not; ``overrides`` why
    receivers did not apply the policy.
    """

    source_ip: str
    header_from: str
    messages: int
    passed: int
    dkim: int
    spf: int
    quarantined: int
    rejected: int
    signed_by: list[str]
    sent_as: list[str]
    overrides: list[str]


class DmarcDomain(Struct, frozen=True, kw_only=True):
    """What all reports say of a domain.

    ``policy``, ``subdomains`` and ``testing`` are from the newest report; ``begin`` and ``end`` in seconds since 1970;
    ``errors`` what receivers say is wrong with the record; ``sources`` begins with those that failed most often.
    """

    domain: str
    policy: str
    subdomains: str
    testing: bool
    reporters: list[str]
    reports: int
    begin: int
    end: int
    messages: int
    passed: int
    errors: list[str]
    sources: list[DmarcSource]


class UnusedFile(Struct, frozen=True, kw_only=True):
    """A file that has no report: ``problem`` says why; ``readable`` is False if it could not be opened."""

    path: str
    problem: str
    readable: bool


class DmarcSummary(Struct, frozen=True, kw_only=True):
    """The sum of the reports in some files, and the files that have none."""

    domains: list[DmarcDomain]
    unused: list[UnusedFile]


async def _report(context: Context | None, files: str) -> DmarcSummary:
    from posthouse.mailauth.dmarc.aggregate import summarize

    unused: list[UnusedFile] = []
    found = summarize(_reports([each for each in files.split("\n") if each], unused))
    return DmarcSummary(domains=[_domain(each) for each in found], unused=unused)


def _reports(paths: list[str], unused: list[UnusedFile]) -> Iterator[AggregateReport]:
    from posthouse.mailauth.dmarc.aggregate import UnreadableReport, read_aggregate_report

    for path in _files(paths, unused):
        try:
            yield read_aggregate_report(_octets(path))
        except UnreadableReport as error:
            unused.append(UnusedFile(path=path, problem=str(error), readable=True))
        except OSError as error:
            problem = f"it cannot be read: {error.strerror or error}"
            unused.append(UnusedFile(path=path, problem=problem, readable=False))


def _files(paths: list[str], unused: list[UnusedFile]) -> list[str]:
    """The files, and those in the directories, in the order of their names; a directory without any is unused."""
    found = []
    for path in paths:
        try:
            names = sorted(os.listdir(path))
        except OSError:  # a file, or what the reading will complain of
            found.append(path)
            continue
        places = (os.path.join(path, name) for name in names if not name.startswith("."))
        inside = [each for each in places if os.path.isfile(each)]
        found += inside
        if not inside:
            unused.append(UnusedFile(path=path, problem="no file is in this directory", readable=True))
    if len(found) > _MOST_FILES:
        raise SettingError(f"these are {len(found):,} files", remedy=f"name at most {_MOST_FILES:,} at a time")
    return found


def _octets(path: str) -> bytes:
    from posthouse.mailauth.dmarc.aggregate import UnreadableReport

    with open(path, "rb") as file:
        octets = file.read(_LARGEST + 1)
    if len(octets) > _LARGEST:
        raise UnreadableReport(f"it is larger than {_LARGEST >> 20} MiB")
    return octets


def _domain(found: DomainSummary) -> DmarcDomain:
    return DmarcDomain(
        domain=found.domain,
        policy=found.policy.p,
        subdomains=found.policy.sp or found.policy.p,
        testing=found.policy.testing,
        reporters=list(found.reporters),
        reports=found.reports,
        begin=found.begin,
        end=found.end,
        messages=found.messages,
        passed=found.passed,
        errors=list(found.errors),
        sources=[
            DmarcSource(
                source_ip=each.source_ip,
                header_from=each.header_from,
                messages=each.messages,
                passed=each.passed,
                dkim=each.dkim,
                spf=each.spf,
                quarantined=each.quarantined,
                rejected=each.rejected,
                signed_by=list(each.signed_by),
                sent_as=list(each.sent_as),
                overrides=list(each.overrides),
            )
            for each in found.sources
        ],
    )


REPORT_DMARC: Final = Operation(
    "report dmarc",
    "Sum up aggregate reports that others sent: which hosts use a domain as the author, and whether they pass DMARC.",
    _report,
    DmarcSummary,
    (Parameter("files", "the paths of files or directories, one on each line."),),
    needs_context=False,
    reads=True,
    local=True,
)
