"""Failed logins: who has guessed wrong within the last hour, and how long the next negative answer waits for it.

Only failures are slowed: a program that logs in 500 times an hour with the right password waits for nothing, and a
guesser elsewhere keeps no owner out.  Three counts are asked: of the account and the network together, of the network
at all accounts, and of the account from all networks.  Names that do not exist count like others.  All worker processes
share the counts (``shared_counts``).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from posthouse.service.policy.client_limits import host_of
from posthouse.service.policy.shared_counts import SharedCounts

__all__ = ["FREE", "GUESSES_FROM", "LONGEST", "LoginFailures", "NETWORK_AT_MOST"]

#: Failures that cost nothing: people mistype.
FREE: Final = 3
#: Failures of one network, over all accounts, from which it counts as one that guesses.
GUESSES_FROM: Final = 10
#: Seconds that an answer waits at most; longer, and clients give up and come back at once.
LONGEST: Final = 10.0
#: Failures of one network, over all accounts, from which its failed logins end the session (421).
NETWORK_AT_MOST: Final = 100
#: The part that failures of a whole network, or at an account from everywhere, have in the wait.
_SHARE: Final = 5
_FORGIVEN_AT_MOST: Final = 20_000


class LoginFailures:
    """The failures of the last hour, in bounded memory."""

    def __init__(self, counts: SharedCounts | None = None) -> None:
        self._counts = counts or SharedCounts()
        #: What of a count does not weigh, because its owner has logged in since; of this worker only.
        self._forgiven: OrderedDict[str, float] = OrderedDict()

    def failed(self, user: str, host: str, now: float) -> float:
        """Count a failure at ``now`` (monotonic); returns the seconds that its answer should wait."""
        network = _network(host)
        weight = self._add(network, now) // _SHARE
        if user:
            pair = _pair(user, network)
            weight = max(weight, self._add(_account(user), now) // _SHARE, self._add(pair, now))
        return _delay(int(weight))

    def succeeded(self, user: str, host: str, now: float) -> None:
        """A login with the right password: its owner mistyped before."""
        pair = _pair(user, _network(host))
        failures = self._of(pair, now)
        if failures:
            self._forgiven[pair] = self._forgiven.pop(pair, 0.0) + failures
            if len(self._forgiven) > _FORGIVEN_AT_MOST:
                self._forgiven.popitem(last=False)

    def guesses(self, host: str, now: float) -> bool:
        """Whether a network has failed more often than people mistype."""
        return self._of(_network(host), now) > GUESSES_FROM

    def is_barred(self, host: str, now: float) -> bool:
        """Whether a network has guessed so often that a failure ends its session."""
        return self._of(_network(host), now) >= NETWORK_AT_MOST

    def _add(self, key: str, now: float) -> float:
        self._counts.hour.add(self._counts.cells(f"failed login {key}"), 1, now)
        return self._of(key, now)

    def _of(self, key: str, now: float) -> float:
        failures = self._counts.hour.of(self._counts.cells(f"failed login {key}"), now)
        return max(0.0, failures - self._forgiven.get(key, 0.0))


def _network(host: str) -> str:
    """The network that counts as one client: an IPv4 address, or the /64 of an IPv6 address."""
    return f"network {host_of(host) if host else 'unix socket'}"


def _account(user: str) -> str:
    """The name of an account as it is counted: stores that do not look at case would else count each spelling."""
    return f"account {user.casefold()}"


def _pair(user: str, network: str) -> str:
    return f"{_account(user)}\0{network}"


def _delay(failures: int) -> float:
    over = failures - FREE
    return 0.0 if over <= 0 else min(LONGEST, 0.5 * 2.0 ** min(over - 1, 10))
