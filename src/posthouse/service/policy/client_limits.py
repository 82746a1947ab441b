"""Limits on clients across sessions: how many sessions they have open and open anew, and how much they send in an hour.

All counts are shared by the worker processes (``shared_counts``).  A client is an IPv4 address or an IPv6 /64 network,
because one customer has at least that; a *network* is larger, as configured.  The counts of clients and networks are
those of one listener; those of accounts are the same at all listeners.

A message counts when it is accepted.  It is counted before its content comes, so that a limit holds for messages that
come at the same time, and taken back if it is refused or given up: a message to 200 recipients that is refused counts
for nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from posthouse.core import Reply, Verdict
from posthouse.net.clock import Clock
from posthouse.service.config.limit_settings import LimitSettings
from posthouse.service.policy.shared_counts import Cells, Places, SharedCounts, session_places

__all__ = ["ConnectionLimits", "Sending", "SendingLimits", "host_of"]

_IPV6_HOST: Final = 64


def host_of(address: str, prefix_ipv4: int = 32, prefix_ipv6: int = _IPV6_HOST) -> str:
    """What is counted as one client or one network: the first bits of an address; a mapped address is IPv4.

    What is no address (of a client that XCLIENT does not know) is counted as it is.
    """
    if ":" not in address:
        if prefix_ipv4 == 32 or not address[:1].isdigit():
            return address
        first = int(ipaddress.IPv4Address(address))
        return str(ipaddress.IPv4Address(first >> 32 - prefix_ipv4 << 32 - prefix_ipv4))
    found = ipaddress.IPv6Address(address.partition("%")[0])
    if found.ipv4_mapped is not None:
        return host_of(str(found.ipv4_mapped), prefix_ipv4)
    return str(ipaddress.IPv6Address(int(found) >> 128 - prefix_ipv6 << 128 - prefix_ipv6))


class _Group(NamedTuple):
    """A count of sessions with its limits; ``rate`` is 0 where there is none."""

    cells: Cells
    most: int
    rate: int
    too_many: Verdict
    too_fast: Verdict


class _HostCounts(NamedTuple):
    """What the sessions of a client count for: ``keys`` with their limits, the verdict where each is reached, and the
    groups whose new sessions are limited as well."""

    keys: tuple[tuple[Places, int], ...]
    too_many: tuple[Verdict, ...]
    rated: tuple[_Group, ...]


def _too_many(whose: str, setting: str, most: int) -> Verdict:
    text = f"Too many connections{whose} (limit {most}); try again later"
    return Verdict(Reply(421, "4.7.0", text), setting)


def _too_fast(whose: str, setting: str, rate: int) -> Verdict:
    text = f"Too many new connections{whose} within a minute (limit {rate}); try again later"
    return Verdict(Reply(421, "4.7.0", text), setting)


class ConnectionLimits:
    """Limits on the sessions of one listener: in all, of one client, of one network."""

    def __init__(self, settings: LimitSettings, name: str, counts: SharedCounts, clock: Clock) -> None:
        self._settings = settings
        self._name = name
        self._counts = counts
        self._clock = clock
        self._all = session_places(counts.cells(f"{name} sessions"))
        self._too_many = Verdict(Reply(421, "4.7.0", "Too many connections; try again later"), "max_connections")
        self._counts_of: Callable[[str], _HostCounts] = lru_cache(maxsize=4096)(self._host_counts)

    def enter(self, host: str) -> Verdict | None:
        """Count a session in, or say why it is not welcome.

        ``host`` is "" for a unix socket.  Its clients are programs of this machine and have no address of their own, so
        that only ``max_connections`` applies to them.
        """
        keys, too_many, rated = self._counts_of(host)
        sessions = self._counts.sessions
        full = sessions.first_full(keys)
        if full >= 0:
            return too_many[full]
        for group in rated:
            minute, now = self._counts.minute, self._clock.monotonic()
            if minute.of(group.cells, now) >= group.rate:
                return group.too_fast
            minute.add(group.cells, 1, now)
        sessions.add(keys)
        return None

    def leave(self, host: str) -> None:
        """Count a session out."""
        self._counts.sessions.remove(self._counts_of(host).keys)

    def _host_counts(self, host: str) -> _HostCounts:
        groups = self._groups(host) if host else ()
        return _HostCounts(
            (
                (self._all, self._settings.max_connections),
                *((session_places(each.cells), each.most) for each in groups),
            ),
            (self._too_many, *(each.too_many for each in groups)),
            tuple(each for each in groups if each.rate),
        )

    def _groups(self, host: str) -> tuple[_Group, ...]:
        settings, cells = self._settings, self._counts.cells
        most, rate = settings.max_connections_per_host, settings.max_connection_rate_per_host
        own = _Group(
            cells(f"{self._name} host {host_of(host)}"),
            most,
            rate,
            _too_many(" from your host", "max_connections_per_host", most),
            _too_fast(" from your host", "max_connection_rate_per_host", rate),
        )
        most, rate = settings.connections_per_network, settings.max_connection_rate_per_network
        network = host_of(host, settings.network_prefix_ipv4, settings.network_prefix_ipv6)
        return (
            own,
            _Group(
                cells(f"{self._name} network {network}"),
                most,
                rate,
                _too_many(" from your network", "max_connections_per_network", most),
                _too_fast(" from your network", "max_connection_rate_per_network", rate),
            ),
        )


class _Allowance(NamedTuple):
    """An hourly limit of one client or account; ``messages`` and ``recipients`` are 0 where there is none."""

    of_messages: Cells
    of_recipients: Cells
    messages: int
    recipients: int
    too_many_messages: Verdict
    too_many_recipients: Verdict


class Sending:
    """One message that is counted; ``None`` stands for it where no limit applies."""

    __slots__ = ("_allowances", "_counts", "_kept", "_recipients", "_taken_back", "_windows")

    def __init__(self, counts: SharedCounts, allowances: tuple[_Allowance, ...], recipients: int, now: float) -> None:
        self._counts = counts
        self._allowances = allowances
        self._recipients = recipients
        self._kept = self._taken_back = False
        self._windows = [self._add(each, now) for each in allowances]

    def _add(self, allowance: _Allowance, now: float) -> int:
        self._counts.hour.add(allowance.of_messages, 1, now)
        return self._counts.hour.add(allowance.of_recipients, self._recipients, now)

    def keep(self, now: float) -> None:
        """The message is stored: it stays counted, also if its client has vanished meanwhile."""
        if self._taken_back and not self._kept:
            self._windows = [self._add(each, now) for each in self._allowances]
        self._kept = True

    def take_back(self) -> None:
        """The message is refused or given up; it counts no more, unless it is stored already."""
        if self._kept or self._taken_back:
            return
        self._taken_back = True
        for each, window in zip(self._allowances, self._windows, strict=True):
            self._counts.hour.take_back(each.of_messages, 1, window)
            self._counts.hour.take_back(each.of_recipients, self._recipients, window)


class SendingLimits:
    """Limits on the messages and recipients of one listener's clients and accounts within an hour.

    ``host`` is the client's address, "" for a unix socket; ``user`` the account that has logged in, or "".  Without a
    limit each method costs one comparison.
    """

    def __init__(self, settings: LimitSettings, name: str, counts: SharedCounts, clock: Clock) -> None:
        self._settings = settings
        self._name = name
        self._counts = counts
        self._clock = clock
        self._by_host = bool(settings.max_messages_per_hour or settings.max_recipients_per_hour)
        self._by_user = bool(settings.max_login_messages_per_hour or settings.max_login_recipients_per_hour)
        #: No limit applies: the other methods need not be called.
        self.off = not (self._by_host or self._by_user)
        self._of_host: Callable[[str], _Allowance] = lru_cache(maxsize=4096)(self._host_allowance)
        self._of_user: Callable[[str], _Allowance] = lru_cache(maxsize=4096)(self._user_allowance)

    def refuses_message(self, host: str, user: str) -> Verdict | None:
        """At MAIL: why one more message is too many, or None."""
        if self.off:
            return None
        now = self._clock.monotonic()
        for each in self._allowances(host, user):
            if each.messages and self._counts.hour.of(each.of_messages, now) >= each.messages:
                return each.too_many_messages
        return None

    def refuses_recipient(self, host: str, user: str, accepted: int) -> Verdict | None:
        """At RCPT: why one more recipient is too many, or None; ``accepted`` are those of the open transaction."""
        if self.off:
            return None
        now = self._clock.monotonic()
        for each in self._allowances(host, user):
            if each.recipients and self._counts.hour.of(each.of_recipients, now) + accepted >= each.recipients:
                return each.too_many_recipients
        return None

    def begin(self, host: str, user: str, recipients: int) -> Sending | Verdict | None:
        """At DATA or the first BDAT: count the message, or say why it is too many; None if no limit applies."""
        if self.off:
            return None
        allowances = self._allowances(host, user)
        if not allowances:
            return None
        now = self._clock.monotonic()
        hour = self._counts.hour
        for each in allowances:
            if each.messages and hour.of(each.of_messages, now) >= each.messages:
                return each.too_many_messages
            if each.recipients and hour.of(each.of_recipients, now) + recipients > each.recipients:
                return each.too_many_recipients
        return Sending(self._counts, allowances, recipients, now)

    def _allowances(self, host: str, user: str) -> tuple[_Allowance, ...]:
        by_host = (self._of_host(host_of(host)),) if self._by_host and host else ()
        return (*by_host, self._of_user(user)) if self._by_user and user else by_host

    def _host_allowance(self, host: str) -> _Allowance:
        settings = self._settings
        return self._allowance(
            f"{self._name} host {host}",
            "from your host",
            ("max_messages_per_hour", settings.max_messages_per_hour),
            ("max_recipients_per_hour", settings.max_recipients_per_hour),
        )

    def _user_allowance(self, user: str) -> _Allowance:
        settings = self._settings
        return self._allowance(
            f"login {user.casefold()}",  # a store may take a name in any case
            "by this account",
            ("max_login_messages_per_hour", settings.max_login_messages_per_hour),
            ("max_login_recipients_per_hour", settings.max_login_recipients_per_hour),
        )

    def _allowance(self, key: str, whose: str, messages: tuple[str, int], recipients: tuple[str, int]) -> _Allowance:
        def verdict(what: str, setting: str, most: int) -> Verdict:
            text = f"Too many {what} {whose} within an hour (limit {most}); try again later"
            return Verdict(Reply(450, "4.7.1", text), setting)

        return _Allowance(
            self._counts.cells(f"messages {key}"),
            self._counts.cells(f"recipients {key}"),
            messages[1],
            recipients[1],
            verdict("messages", *messages),
            verdict("recipients", *recipients),
        )
