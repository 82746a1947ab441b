"""Clocks, network channels and DNS resolvers, each as a protocol and with an implementation; no SMTP.

The resolver is imported at its first use, because a client with a configured host asks the system's resolver instead,
and so is what imports asyncio, because blocking code does without.

Over budget: one module for each thing outside, and TLS has six.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily
from posthouse.net.clock import BlockingClock, Clock, Timer
from posthouse.net.stream import Endpoint, Handler, HandlerFactory, Listener, Network, Stream, interleave

if TYPE_CHECKING:
    from posthouse.net.connect import connect_any
    from posthouse.net.resolver import CachingResolver, DnsResolver, Resolver
    from posthouse.net.sockets import SocketNetwork
    from posthouse.net.system_clock import SystemClock
    from posthouse.net.turn_batch import TurnBatch

__all__ = [
    "BlockingClock",
    "CachingResolver",
    "Clock",
    "DnsResolver",
    "Endpoint",
    "Handler",
    "HandlerFactory",
    "Listener",
    "Network",
    "Resolver",
    "SocketNetwork",
    "Stream",
    "SystemClock",
    "Timer",
    "TurnBatch",
    "connect_any",
    "interleave",
]

__getattr__ = lazily(
    __name__,
    {
        "connect": "connect_any",
        "resolver": "CachingResolver DnsResolver Resolver",
        "sockets": "SocketNetwork",
        "system_clock": "SystemClock",
        "turn_batch": "TurnBatch",
    },
)
