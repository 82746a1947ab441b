"""Clocks, network channels and DNS resolvers, each as a protocol and with an implementation; no SMTP.

The resolver is imported at its first use, because a client with a configured host asks the system's resolver instead.

Over budget: one module for each thing outside, and TLS has six.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily
from posthouse.net.clock import Clock, SystemClock, Timer
from posthouse.net.connect import connect_any, interleave
from posthouse.net.sockets import SocketNetwork
from posthouse.net.stream import Endpoint, Handler, HandlerFactory, Listener, Network, Stream
from posthouse.net.turn_batch import TurnBatch

if TYPE_CHECKING:
    from posthouse.net.resolver import CachingResolver, DnsResolver, Resolver

__all__ = [
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

__getattr__ = lazily(__name__, {"resolver": "CachingResolver DnsResolver Resolver"})
