"""Verification of messages that come in: SPF, DKIM, ARC and DMARC as one content check.

What is asked when:

- **SPF** begins when DATA (or the first BDAT) is accepted: with MAIL and RCPT pipelined that is the same moment as
  MAIL, and mail for mailboxes that do not exist causes no look-up.
- **Keys** of signatures and the policy of the author's domain are asked as soon as the header section has passed.
- **Hashes** are made while the content passes; no octet is read twice, and memory does not grow with the message.
- **Judgement** comes with the end of the content.  Where all answers are known by then, it waits for nothing.

Other sessions go on meanwhile: waiting is a task of this message.  ``judgement`` says what follows from the results.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from posthouse.core import Envelope, Kind, LocalError, Question
from posthouse.mailauth.arc import ArcResult, ArcSealer, ArcVerifier, vouching_set
from posthouse.mailauth.dkim import (
    BodyForm,
    Canonicalization,
    DkimKey,
    DkimResult,
    DkimVerifier,
    HeaderSection,
    MessageHasher,
)
from posthouse.mailauth.dmarc import DmarcResult, check_dmarc
from posthouse.mailauth.spf import SpfResult, check_spf, received_spf
from posthouse.message.trace_fields import quarantine_field
from posthouse.net import Clock
from posthouse.server.content_check import CheckedMessage, CheckResult
from posthouse.service.config.mailauth_settings import MailauthSettings
from posthouse.service.mailauth.judgement import Decision, Judged, decide, method_results, results_field, verdicts
from posthouse.service.mailauth.lookups import KnowingResolver, MessageLookups

__all__ = ["JudgedSink", "Verification", "Verifier"]

#: The domain of the last address in From, as nearly all messages write it.
_DOMAIN: Final = re.compile(rb"@([A-Za-z0-9.-]{1,253})>?[ \t\r\n]")


#: What is told of each message that was judged.
JudgedSink = Callable[[CheckedMessage, Judged, Decision, HeaderSection], object]


class Verifier(NamedTuple):
    """``CheckFactory`` of a listener that verifies.

    Attributes:
        enforce: Whether policies are applied.
        judged: Called with each message, its results, what is done, and its header section: for reports.
        sealing_key: Gives the key with which a message with this envelope is sealed (ARC), because it is sent on to
            other servers; None if it is not.
    """

    resolver: KnowingResolver
    clock: Clock
    settings: MailauthSettings
    authserv_id: str
    enforce: bool
    judged: JudgedSink | None = None
    sealing_key: Callable[[Envelope], DkimKey | None] | None = None

    def __call__(self, message: CheckedMessage) -> Verification | None:
        """The check of one message; None for one that came over a unix socket, which has no address to judge."""
        return Verification(self, message) if message.peer.host else None


class Verification:
    """The check of one message."""

    def __init__(self, terms: Verifier, message: CheckedMessage) -> None:
        self._terms = terms
        self._message = message
        now = terms.clock.time()
        self._lookups = MessageLookups(terms.resolver, terms.clock, terms.settings.dns_time)
        self._verifier = DkimVerifier(now)
        self._chain = ArcVerifier(now)
        key = None if terms.sealing_key is None else terms.sealing_key(message.envelope)
        self._sealer = None if key is None else ArcSealer(key, terms.authserv_id, now=now)
        self._hasher = MessageHasher(self._plan)
        self._author = b""  # known once the header section has passed
        self._spf = self._lookups.run(
            check_spf(
                message.peer.host, message.envelope.sender, message.greet.domain, receiver=message.hostname, now=now
            )
        )

    def _plan(self, header: HeaderSection) -> list[BodyForm]:
        """The header section has passed: ask what will be needed, and say what is to be hashed."""
        forms = [*self._verifier.plan(header), *self._chain.plan(header)]
        if self._sealer is not None:
            forms += self._sealer.plan(header)
        for question in (*self._verifier.questions, *self._chain.questions):
            self._lookups.prefetch(question)
        named = self._author = _author(header)
        author = _DOMAIN.match(named, max(0, named.rfind(b"@")))
        if author is not None:  # a guess, which costs one question if it is wrong
            self._lookups.prefetch(Question(f"_dmarc.{author[1].decode().lower()}", Kind.TXT))
        return forms

    def write(self, chunk: bytes) -> None:
        """Take the next octets of the message."""
        self._hasher.write(chunk)

    def finish(self, size: int, fields: bytes) -> CheckResult | Awaitable[CheckResult]:
        """The message has ended: the result at once where every answer is known, else an awaitable."""
        self._hasher.finish()
        spf, dkim = self._spf, self._lookups.run(self._verifier.check(self._hasher))
        arc = self._lookups.run(self._chain.check(self._hasher))
        if isinstance(spf, asyncio.Task) or isinstance(dkim, asyncio.Task) or isinstance(arc, asyncio.Task):
            return self._later(spf, dkim, arc)
        dmarc = self._dmarc(spf, dkim)
        if isinstance(dmarc, asyncio.Task):
            return self._later(spf, dkim, arc, dmarc)
        return self._concluded(spf, dkim, arc, dmarc)

    def abort(self) -> None:
        """There will be no result."""
        self._lookups.close()

    async def _later(
        self,
        spf: SpfResult | asyncio.Task[SpfResult],
        dkim: DkimResult | asyncio.Task[DkimResult],
        arc: ArcResult | asyncio.Task[ArcResult],
        dmarc: DmarcResult | asyncio.Task[DmarcResult] | None = None,
    ) -> CheckResult:
        spf = await spf if isinstance(spf, asyncio.Task) else spf
        dkim = await dkim if isinstance(dkim, asyncio.Task) else dkim
        arc = await arc if isinstance(arc, asyncio.Task) else arc
        if dmarc is None:
            dmarc = self._dmarc(spf, dkim)
        return self._concluded(spf, dkim, arc, await dmarc if isinstance(dmarc, asyncio.Task) else dmarc)

    def _dmarc(self, spf: SpfResult, dkim: DkimResult) -> DmarcResult | asyncio.Task[DmarcResult]:
        if self._lookups.is_late:
            # The policy of the author's domain gets a time of its own: whoever forges the author chooses the keys that
            # are asked for, and keys whose domain never answers must not make the policy a temporary failure.
            self._lookups.close()
            self._lookups = MessageLookups(self._terms.resolver, self._terms.clock, self._terms.settings.dns_time)
        return self._lookups.run(check_dmarc(self._author + b"\r\n", spf, dkim))

    def _concluded(self, spf: SpfResult, dkim: DkimResult, arc: ArcResult, dmarc: DmarcResult) -> CheckResult:
        self._lookups.close()
        terms = self._terms
        vouching = vouching_set(arc, terms.settings.trusted_sealers, dmarc.author_domain)
        judged = Judged(spf, dkim, arc, dmarc, "" if vouching is None else vouching.domain)
        decision = decide(judged, terms.settings, enforce=terms.enforce)
        if terms.judged is not None and not self._is_report():
            assert self._hasher.header is not None
            terms.judged(self._message, judged, decision, self._hasher.header)
        if decision.refusal is not None:
            return CheckResult(refusal=decision.refusal, verdicts=verdicts(judged, decision))
        field = results_field(terms.authserv_id, judged)
        if terms.settings.received_spf:
            field = received_spf(spf, terms.authserv_id) + field
        field = self._seal(judged) + field
        quarantine = decision.quarantine
        if quarantine and terms.settings.quarantine != "hold":
            field = quarantine_field(quarantine) + field
            quarantine = ""
        return CheckResult(field, None, quarantine, verdicts(judged, decision))

    def _is_report(self) -> bool:
        """Whether the message has the subject of an aggregate report (RFC 9990 §3.5.1), which causes no report."""
        header = self._hasher.header
        assert header is not None
        subjects = (header.fields[place].value for place in header.places(b"subject"))
        return any(each.lower().startswith(b"report domain:") for each in subjects)

    def _seal(self, judged: Judged) -> bytes:
        """The ARC set of a message that is sent on; b"" if it is not sealed."""
        if self._sealer is None:
            return b""
        try:
            return self._sealer.seal(self._hasher, judged.arc, method_results(judged))
        except LocalError:  # no From, or a header section that is too long: no receiver could use the seal
            return b""


def _author(header: HeaderSection) -> bytes:
    """All From fields of a header section, on one line each: what DMARC needs of it."""
    return b"".join([header.canonical(place, Canonicalization.RELAXED) for place in header.places(b"from")])
