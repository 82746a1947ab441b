"""Failed logins: who has guessed wrong lately, and how long the next answer waits for it.

Only failures are slowed, and each pair of account and network for itself, so that a guesser elsewhere keeps no owner
out, and a program that logs in 500 times an hour with the right password waits for nothing.  A network that guesses at
many accounts, known or not, is slowed by its own count.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final, NamedTuple

__all__ = ["FREE", "LONGEST", "LoginFailures", "MEMORY", "NETWORK_AT_MOST", "network_of"]

#: Failures that cost nothing: people mistype.
FREE: Final = 3
#: Seconds that an answer waits at most; longer, and clients give up and come back at once.
LONGEST: Final = 10.0
#: Failures of one network, over all accounts, from which its logins are refused for a while (454).
NETWORK_AT_MOST: Final = 100
#: Seconds after which a failure is forgotten.
MEMORY: Final = 3_600.0
_ENTRIES: Final = 20_000


class _Count(NamedTuple):
    failures: int
    last: float


def network_of(host: str) -> str:
    """The network that counts as one client: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class LoginFailures:
    """The failures of the last hour, in bounded memory: the oldest are forgotten first."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, str], _Count] = OrderedDict()

    def failed(self, user: str, host: str, now: float) -> float:
        """Count a failure at ``now`` (monotonic); returns the seconds that its answer should wait."""
        network = network_of(host)
        of_all = self._add(("", network), now)
        of_pair = self._add((user, network), now) if user else of_all
        return _delay(max(of_pair, of_all // 5))

    def succeeded(self, user: str, host: str) -> None:
        """A login with the right password: its owner mistyped before."""
        self._counts.pop((user, network_of(host)), None)

    def is_barred(self, host: str, now: float) -> bool:
        """Whether a network has guessed so often that its logins are not looked at for now."""
        found = self._counts.get(("", network_of(host)))
        return found is not None and found.failures >= NETWORK_AT_MOST and now - found.last < MEMORY

    def _add(self, key: tuple[str, str], now: float) -> int:
        before = self._counts.pop(key, None)
        failures = 1 if before is None or now - before.last >= MEMORY else before.failures + 1
        self._counts[key] = _Count(failures, now)
        while len(self._counts) > _ENTRIES:
            self._counts.popitem(last=False)
        return failures


def _delay(failures: int) -> float:
    over = failures - FREE
    return 0.0 if over <= 0 else min(LONGEST, 0.5 * 2.0 ** min(over - 1, 10))
