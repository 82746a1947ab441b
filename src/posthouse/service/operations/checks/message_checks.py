"""The operation ``check message``: what a receiver makes of SPF, DKIM, ARC and DMARC of a message, and what to
change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from posthouse.core import LocalError, SettingError
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.checks.domain_records import RecordFinding, resolver_of

if TYPE_CHECKING:
    from posthouse.mailauth.all_checks import MessageChecks

__all__ = ["ArcReport", "CHECK_MESSAGE", "DkimReport", "DmarcReport", "MessageAuth", "SignatureReport", "SpfReport"]


class SpfReport(Struct, frozen=True, kw_only=True):
    """SPF: ``path`` has the terms that decided, outermost first, each with its domain; ``lookups`` the answers."""

    result: str
    reason: str
    domain: str
    identity: str
    path: list[str]
    explanation: str
    lookups: list[str]


class SignatureReport(Struct, frozen=True, kw_only=True):
    """One DKIM signature."""

    result: str
    reason: str
    domain: str
    selector: str
    algorithm: str


class DkimReport(Struct, frozen=True, kw_only=True):
    """DKIM: the result that counts, and each signature."""

    result: str
    reason: str
    signatures: list[SignatureReport]


class ArcReport(Struct, frozen=True, kw_only=True):
    """The chain of hosts that have forwarded the message and sealed what they found: ``sealers`` newest first."""

    result: str
    reason: str
    sealers: list[str]


class DmarcReport(Struct, frozen=True, kw_only=True):
    """DMARC: ``disposition`` is what the owner of the author's domain asks receivers to do.

    ``result`` is "unknown", and ``disposition`` empty, where only SPF could tell, which was not checked.
    """

    result: str
    reason: str
    author_domain: str
    disposition: str
    policy: str
    policy_domain: str


class MessageAuth(Struct, frozen=True, kw_only=True):
    """The authentication of a message; ``spf`` is None where no client was named, ``advice`` says what to change."""

    spf: SpfReport | None
    dkim: DkimReport
    arc: ArcReport
    dmarc: DmarcReport
    advice: list[RecordFinding]


async def _check(
    context: Context, message: str, ip: str = "", mail_from: str = "", helo: str = "", zone: str = ""
) -> MessageAuth:
    from posthouse.mailauth import ask
    from posthouse.mailauth.all_checks import check_all
    from posthouse.service.operations.checks.auth_advice import advice_for

    try:
        octets = message.encode("latin-1")
    except UnicodeEncodeError:
        raise SettingError(
            "the message has characters that are no octets", remedy="give its octets as Latin-1"
        ) from None
    if b"\r\n" not in octets:  # a file whose lines end with LF
        octets = octets.replace(b"\n", b"\r\n")
    try:
        check = check_all(
            octets,
            ip=ip or None,
            mail_from=mail_from,
            helo=helo,
            receiver=context.config.hostname,
            now=context.clock.time(),
        )
    except LocalError as error:
        raise SettingError(str(error)) from None
    found = await ask(check, resolver_of(context, zone), seconds=60.0)
    advice = [
        RecordFinding(level=each.level, text=each.text, remedy=each.remedy, publish=each.publish)
        for each in advice_for(found)
    ]
    return _report(found, advice)


def _report(found: MessageChecks, advice: list[RecordFinding]) -> MessageAuth:
    spf = found.spf
    return MessageAuth(
        spf=None
        if spf is None
        else SpfReport(
            result=spf.result,
            reason=spf.reason,
            domain=spf.domain,
            identity=spf.identity,
            path=[f"{each.domain}: {each.term}" for each in spf.path],
            explanation=spf.explanation,
            lookups=[str(each) for each in spf.lookups],
        ),
        dkim=DkimReport(
            result=found.dkim.result,
            reason=found.dkim.reason,
            signatures=[
                SignatureReport(
                    result=each.result,
                    reason=each.reason,
                    domain=each.domain,
                    selector=each.selector,
                    algorithm=each.algorithm,
                )
                for each in found.dkim.signatures
            ],
        ),
        arc=ArcReport(
            result=found.arc.result,
            reason=found.arc.reason,
            sealers=[each.domain for each in reversed(found.arc.sets)],
        ),
        dmarc=_dmarc(found),
        advice=advice,
    )


def _dmarc(found: MessageChecks) -> DmarcReport:
    dmarc, known = found.dmarc, found.dmarc_known
    missing = "the address of the sending host (--ip)" if found.spf is None else "the sender (--from)"
    return DmarcReport(
        result=dmarc.result if known else "unknown",
        reason=dmarc.reason
        if known
        else f"without {missing} it cannot be judged: DKIM passed for no domain aligned with {dmarc.author_domain}",
        author_domain=dmarc.author_domain,
        disposition=dmarc.disposition if known else "",
        policy=dmarc.policy,
        policy_domain=dmarc.policy_domain,
    )


CHECK_MESSAGE: Final = Operation(
    "check message",
    "Check what receivers make of SPF, DKIM, ARC and DMARC of a message.",
    _check,
    MessageAuth,
    (
        Parameter("message", "The message; each octet is one character (Latin-1)."),
        Parameter("ip", "The address of the host that sends it; without one, SPF is left out.", str, ""),
        Parameter("mail_from", "The sender in MAIL FROM; empty for a bounce.", str, ""),
        Parameter("helo", "The name that the host gives in HELO or EHLO.", str, ""),
        Parameter("zone", "DNS records as JSON, in place of the DNS.", str, ""),
    ),
    reads=True,
)
