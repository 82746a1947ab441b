"""Parts of a daemon that follow from its configuration alone: log, resolver, spool and retry schedule."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from posthouse.core import EventSink, event_sink
from posthouse.net import CachingResolver, Clock, DnsResolver, Resolver
from posthouse.relay import RetrySchedule
from posthouse.service.config.model import Config
from posthouse.service.daemon.event_log import EventLog
from posthouse.service.monitor.monitor import CountingSink
from posthouse.service.monitor.tally import Tally
from posthouse.spool import Durable, SqliteSpool
from posthouse.spool.sqlite.ownership import CATCHER, RELAY

__all__ = ["horizon_of", "kind_of", "log_of", "resolver_of", "schedule_of", "spool_of"]

#: Seconds beyond the longest retry after which no recipient is due: a lease that has just been renewed ends before.
_SLACK = 900.0


def log_of(config: Config, clock: Clock, log: EventSink | Callable[..., object] | None, tally: Tally) -> EventSink:
    """The log, each of whose events is counted."""
    if log is None:
        return EventLog(clock, config.log.format, take=tally.take)
    return CountingSink(event_sink(log), tally.take)


def resolver_of(config: Config, clock: Clock) -> Resolver:
    dns = config.dns
    return CachingResolver(DnsResolver(dns.nameservers, timeout=dns.timeout, tries=dns.tries), clock)


def spool_of(config: Config, *, shared: bool = True, owned: bool = True) -> SqliteSpool:
    """The spool of a configuration, not opened.

    ``shared`` if other processes write to it as well; ``owned`` if the daemon of the configuration opens it, rather
    than a command beside it.
    """
    return SqliteSpool(
        config.data_dir,
        kind=kind_of(config) if owned else "",
        min_free=config.spool.min_free if owned else 0,
        horizon=horizon_of(config) if owned else inf,
        history=config.spool.history,
        history_octets=config.spool.history_size,
        durable=Durable(shared=shared),
    )


def schedule_of(config: Config) -> RetrySchedule:
    relay = config.relay
    return RetrySchedule(relay.retry_first, relay.retry_max, relay.give_up_after, warn_after=relay.warn_after)


def horizon_of(config: Config) -> float:
    """Seconds within which every recipient is due that the daemon of a configuration has deferred or leased."""
    return RetrySchedule(ceiling=config.relay.retry_max).longest + _SLACK


def kind_of(config: Config) -> str:
    """Whether the daemon of a configuration is a catcher: it takes all mail, and none leaves this machine."""
    everything = any(each.name == "*" for each in config.domain)
    kept = all(each.deliver.kind in ("mailbox", "maildir", "discard") for each in config.domain)
    return CATCHER if everything and kept else RELAY
