"""Message authentication of one process: what outlives a change of the configuration.

The resolver keeps its answers, and the keys are looked at every minute, whatever generation has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from posthouse.net import Clock, DnsResolver, Resolver, Timer
from posthouse.service.config.model import Config
from posthouse.service.mailauth.auth_terms import SignerSource
from posthouse.service.mailauth.lookups import MailResolver

__all__ = ["MailAuth"]

_LOOK_AGAIN: Final = 60.0  # seconds between two looks at the directory of the keys


class MailAuth:
    """The resolver of messages, and the watch over the keys.

    Args:
        resolver: Whom to ask; None for the servers of the configuration, with connections of its own, so that questions
            about messages do not keep the relay's waiting.
        signers: Gives what signs now.
    """

    def __init__(
        self, config: Config, resolver: Resolver | None, clock: Clock, signers: Callable[[], SignerSource | None]
    ) -> None:
        dns, questions = config.dns, config.mailauth.dns_questions
        inner = resolver or DnsResolver(dns.nameservers, timeout=dns.timeout, tries=dns.tries, concurrency=questions)
        self.resolver = MailResolver(inner, clock, questions=questions)
        self._clock = clock
        self._signers = signers
        self._timer: Timer | None = None
        self._look: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Begin to watch the keys."""
        self._timer = self._clock.call_later(_LOOK_AGAIN, self._look_at_keys)

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_at_keys(self) -> None:
        """Look whether keys were made or removed; a thread reads them."""
        self.start()
        signers = self._signers()
        if signers is not None and signers.present and (self._look is None or self._look.done()):
            self._look = asyncio.ensure_future(asyncio.to_thread(signers.load))
