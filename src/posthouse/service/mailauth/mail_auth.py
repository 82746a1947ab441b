"""Message authentication of one process: what outlives a change of the configuration.

The resolver keeps its answers, and keys and secrets are looked at every minute, whatever generation has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from posthouse.core import Content, PosthouseError
from posthouse.delivery import Delivery
from posthouse.message.compose import Composed
from posthouse.net import Clock, DnsResolver, Resolver, Timer
from posthouse.service.config.model import Config
from posthouse.service.mailauth.auth_terms import SignerSource
from posthouse.service.mailauth.broken_signatures import broken_text, signing_domains
from posthouse.service.mailauth.lookups import MailResolver
from posthouse.service.mailauth.reverse_paths import ReversePaths

if TYPE_CHECKING:
    from posthouse.mailauth.dkim import HeaderSection
    from posthouse.server.content_check import CheckedMessage
    from posthouse.service.mailauth.failure_reports import FailureReports
    from posthouse.service.mailauth.judgement import Decision, Judged
    from posthouse.service.mailauth.mail_verification import JudgedSink
    from posthouse.service.mailauth.report_sender import AggregateReports

__all__ = ["MailAuth"]

_LOOK_AGAIN: Final = 60.0  # seconds between two looks at the directory of the keys


class _Current(Protocol):
    """The generation in force."""

    @property
    def signers(self) -> SignerSource | None: ...

    @property
    def reverse_paths(self) -> ReversePaths | None: ...


class MailAuth:
    """The resolver of messages, what is changed in mail that leaves, and the watch over keys and secrets.

    Args:
        resolver: Whom to ask; None for the servers of the configuration, with connections of its own, so that questions
            about messages do not keep the relay's waiting.
        current: Gives the generation in force.
        fault: Is told of what cannot be read, in a sentence.
        submit: Puts a message of the daemon's own into the queue.
        sends: Whether this worker sends aggregate reports; one does.
    """

    def __init__(
        self,
        config: Config,
        resolver: Resolver | None,
        clock: Clock,
        current: Callable[[], _Current],
        fault: Callable[[str], object],
        submit: Callable[[Composed], Awaitable[None]] | None = None,
        sends: bool = True,
    ) -> None:
        dns, questions = config.dns, config.mailauth.dns_questions
        inner = resolver or DnsResolver(dns.nameservers, timeout=dns.timeout, tries=dns.tries, concurrency=questions)
        self.resolver = MailResolver(inner, clock, questions=questions)
        self._clock = clock
        self._current = current
        self._fault = fault
        self._timer: Timer | None = None
        self._look: asyncio.Future[None] | None = None
        self._reporting: asyncio.Future[None] | None = None
        self.reports: AggregateReports | None = None
        if config.mailauth.reports:
            from posthouse.service.mailauth.report_sender import AggregateReports  # few daemons need it

            self.reports = AggregateReports(config, self.resolver, clock, submit if sends else None, fault)
        self.failures: FailureReports | None = None
        if config.mailauth.failure_reports and submit is not None:
            from posthouse.service.mailauth.failure_reports import FailureReports

            self.failures = FailureReports(config, self.resolver, clock, submit, fault)

    def start(self) -> None:
        """Begin to watch keys and secrets."""
        self._timer = self._clock.call_later(_LOOK_AGAIN, self._look_at_files)

    def stop(self) -> None:
        """Watch no longer, and store what was counted for reports."""
        if self._timer is not None:
            self._timer.cancel()
        if self.failures is not None:
            self.failures.close()
        if self.reports is not None:
            self.reports.flush()

    @property
    def judged(self) -> JudgedSink | None:
        """What is told of each message that was judged; None where nobody is."""
        reports, failures = self.reports, self.failures
        if failures is None:
            return None if reports is None else reports.count
        if reports is None:
            return failures.judged
        return partial(_to_all, (reports.count, failures.judged))

    def leaving(self, delivery: Delivery) -> Delivery:
        """A delivery as it leaves for another server."""
        reverse_paths = self._current().reverse_paths
        if reverse_paths is None:
            return delivery
        return delivery._replace(envelope=reverse_paths.leaving(delivery.envelope))

    def converted(self, original: Content, converted: Content) -> tuple[Content, str]:
        """A message that was converted for a host (``delivery.adapt.AfterConversion``); reads both contents."""
        signers = self._current().signers
        if signers is not None and signers.any:
            return signers.signed_again(original, converted)
        return converted, broken_text(signing_domains(original))

    def own_fields(self, content: bytes) -> bytes:
        """The signatures of a message of this server's own; b"" without a key."""
        signers = self._current().signers
        return signers.own_fields(content) if signers is not None and signers.any else b""

    def _look_at_files(self) -> None:
        """Have a thread look whether keys were made or removed, and whether there are new secrets."""
        self.start()
        if self.reports is not None and (self._reporting is None or self._reporting.done()):
            self._reporting = asyncio.ensure_future(self.reports.tick())
        if self._look is not None and not self._look.done():
            return
        signers, reverse_paths = self._current().signers, self._current().reverse_paths
        keys = signers if signers is not None and signers.present else None
        paths = reverse_paths if reverse_paths is not None and reverse_paths.stale else None
        if keys is not None or paths is not None:
            self._look = asyncio.ensure_future(asyncio.to_thread(self._read, keys, paths))

    def _read(self, keys: SignerSource | None, paths: ReversePaths | None) -> None:
        if keys is not None:
            keys.load()
        if paths is not None:
            try:
                paths.load()
            except PosthouseError as error:  # the secrets of before go on
                self._fault(str(error))


def _to_all(
    sinks: Sequence[JudgedSink], message: CheckedMessage, judged: Judged, decision: Decision, header: HeaderSection
) -> None:
    for each in sinks:
        each(message, judged, decision, header)
